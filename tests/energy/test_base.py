"""Which energies a system takes: its own at any temperature, and those that do not say whose they are."""

from collections.abc import Callable

import pytest
import torch
from openmm import app
from torch import Tensor

from boltzgen.energy.base import CountedEnergy, Energy, check_energy_of
from boltzgen.energy.forcefield import ForceFieldEnergy
from boltzgen.energy.openmm import OpenMMEnergy
from boltzgen.evaluation.draws import draw
from boltzgen.evaluation.reference import Reference
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.molecule.system import System
from tests.helpers.molecules import peptide


class Own(Energy):
    """An energy that has no system."""

    def potential(self, x: Tensor) -> Tensor:
        return x.square().sum((-1, -2))


def with_exchanged_hydrogens(system: System) -> System:
    """The same atoms, but the bonds of the first two hydrogens of different atoms are exchanged."""
    atoms = list(system.topology.atoms())
    hydrogens = [a.index for a in atoms if a.element is app.element.hydrogen]
    first = hydrogens[0]
    second = next(k for k in hydrogens if system.graph.neighbours[k] != system.graph.neighbours[first])
    place = {first: second, second: first}
    topology = app.Topology()
    chain = topology.addChain("A")
    copies = []
    for residue in system.topology.residues():
        copy = topology.addResidue(residue.name, chain, residue.id)
        copies += [topology.addAtom(a.name, a.element, copy) for a in residue.atoms()]
    for a, b in system.topology.bonds():
        topology.addBond(copies[place.get(a.index, a.index)], copies[place.get(b.index, b.index)])
    return System(topology, system.openmm_system, system.positions, name="exchanged")


#: Energies of alanine dipeptide in ff96 and OBC1.
RIGHT: dict[str, Callable[[System], Energy]] = {
    "its own": ForceFieldEnergy,
    "at another temperature": lambda system: ForceFieldEnergy(system).at(1000.0),
    "counted": lambda system: CountedEnergy(ForceFieldEnergy(system).at(400.0)),
    "by OpenMM": OpenMMEnergy,
    "of the same folder, read again": lambda _: ForceFieldEnergy(System.load("alanine_dipeptide")),
    "of another name and place": lambda system: ForceFieldEnergy(
        System(system.topology, system.openmm_system, system.positions + 0.3, name="other", temperature=500.0)
    ),
    "that does not say": lambda system: Own(system.n_atoms, 300.0),
}
WRONG: dict[str, tuple[Callable[[System], Energy], str]] = {
    "other atoms or order": (
        lambda _: ForceFieldEnergy(System.load("alanine_dipeptide_amber99sbildn")),
        "'alanine_dipeptide_amber99sbildn', the generator of 'alanine_dipeptide': atom 1 is ACE1:C "
        "there and ACE1:H1 here",
    ),
    "counted": (
        lambda _: CountedEnergy(ForceFieldEnergy(System.load("alanine_dipeptide_vacuum"), 300.0)),
        "'alanine_dipeptide_vacuum'.*: force field or domain differ; .*WeightedSamples.from_energies",
    ),
    "by OpenMM": (
        lambda _: OpenMMEnergy(System.load("alanine_dipeptide_vacuum")),
        "force field or domain differ",
    ),
    "other bonds": (lambda system: ForceFieldEnergy(with_exchanged_hydrogens(system)), "the bonds differ"),
    "another molecule": (lambda _: ForceFieldEnergy(peptide("ace_gly_nme")), "that has 19 atoms, this 22"),
    "that does not say": (
        lambda _: Own(19, 300.0),
        "another system, the generator of .* that has 19 atoms, this 22",
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_energies_of_a_system_are_taken(alanine: System, name: str) -> None:
    check_energy_of(alanine, RIGHT[name](alanine))


@pytest.mark.parametrize("name", WRONG)
def test_energies_of_another_system_are_refused(alanine: System, name: str) -> None:
    make, message = WRONG[name]
    with pytest.raises(ValueError, match=f"the energy is of .*{message}"):
        check_energy_of(alanine, make(alanine))


def test_whoever_brings_an_energy_to_a_system_is_told(alanine: System) -> None:
    wrong = ForceFieldEnergy(System.load("alanine_dipeptide_vacuum"), 300.0)
    generator = BoltzmannGenerator.load("alanine_dipeptide")
    samples = generator.sample(64, seed=0)
    reference = Reference.from_frames(
        alanine, samples.x, samples.u, torch.zeros(64), torch.arange(64) % 4, n_configurations=8
    )
    for call in (
        lambda: generator.sample(8, wrong),
        lambda: draw(generator, wrong, reference, n=8),
        lambda: BoltzmannGenerator.for_system(alanine, wrong),
    ):
        with pytest.raises(ValueError, match="force field or domain differ"):
            call()
