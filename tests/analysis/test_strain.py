"""What a pose costs: alanine dipeptide in C7ax, in another order of atoms, beside draws of its generator."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from boltzgen.analysis.states import state_energies
from boltzgen.analysis.strain import placed, strain
from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.energy.base import Energy
from boltzgen.energy.choose import energy_for
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.generator.relax import relaxed
from boltzgen.molecule.matching import atom_orders
from boltzgen.molecule.system import System
from boltzgen.samples.sdf import Connections, read_pose
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.samples.writer import SamplesWriter
from tests.helpers.command_line import call, refused
from tests.helpers.molecules import peptide
from tests.helpers.sdf import molecule

NAME = "alanine_dipeptide"
KT = 8.31446261815324e-3 * 300


@pytest.fixture(scope="module")
def samples() -> WeightedSamples:
    return BoltzmannGenerator.load(NAME).sample(16_000, seed=3)


@pytest.fixture(scope="module")
def folder(samples: WeightedSamples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Samples, and poses in an order of their own: the two ends' atoms first."""
    path = tmp_path_factory.mktemp("strain")
    with SamplesWriter(path / "s.h5", System.load(NAME), 300.0) as writer:
        writer.write(samples)
    c7ax = samples.x[(samples.torsion("phi") > 0) & (samples.torsion("psi") < 0)]
    (path / "c7ax.sdf").write_text(pose(samples, c7ax[0].double()))
    (path / "c7eq.sdf").write_text(pose(samples, samples.x[samples.u.argmin()].double()))
    (path / "mirror.sdf").write_text(pose(samples, samples.x[0].double() * torch.tensor([1.0, 1.0, -1.0])))
    return path


def pose(samples: WeightedSamples, x: torch.Tensor) -> str:
    """An SDF file with the atoms backwards."""
    lines = molecule(samples.mdtraj_topology).splitlines()
    atoms, bonds = lines[4:26], lines[26:47]
    places = [f"{10 * a:10.4f}{10 * b:10.4f}{10 * c:10.4f}" for a, b, c in x.tolist()]
    atoms = [place + atom[30:] for place, atom in zip(places, atoms, strict=True)][::-1]
    turned = [f"{23 - int(b[:3]):3d}{23 - int(b[3:6]):3d}{b[6:]}" for b in bonds]
    return "\n".join([*lines[:4], *atoms, *turned, "M  END", "$$$$", ""])


def test_a_strained_pose(folder: Path, samples: WeightedSamples) -> None:
    found = strain(folder / "s.h5", folder / "c7ax.sdf", NAME)
    states = state_energies(folder / "s.h5", find=True)
    row = next(row for row in states.rows if row.name == found.conformer)
    assert found.population.value == pytest.approx(row.population.value)
    assert 0.0005 < found.population.value < 0.01
    assert found.free_energy.value == pytest.approx(-KT * math.log(found.population.value))
    assert found.free_energy.low == pytest.approx(-KT * math.log(found.population.high))
    assert found.unit == "kJ/mol" and found.temperature == 300.0
    assert found.pose_energy > found.relaxed_energy + 20
    assert 0.01 < found.moved < 0.2
    # C7eq is some 4 kJ/mol below C7ax in this force field, and below every draw.
    assert 2 < found.strain < 15
    assert found.strain == pytest.approx(found.relaxed_energy - found.lowest_energy)
    assert found.lowest_conformer != found.conformer
    assert found.lowest_energy < KT * float(samples.u.min())


def test_a_pose_in_the_lowest_minimum(folder: Path) -> None:
    found = strain(folder / "s.h5", folder / "c7eq.sdf", System.load(NAME), unit="kT")
    other = strain(folder / "s.h5", folder / "c7ax.sdf", NAME, unit="kT")
    assert found.unit == found.free_energy.unit == "kT"
    assert found.strain < other.strain
    assert found.lowest_energy == pytest.approx(other.lowest_energy, abs=1e-3)
    assert found.population.value > 0.3


def test_the_lowest_conformer_is_that_of_the_minimum(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not that of the draw which was relaxed into it."""
    lowest = strain(folder / "s.h5", folder / "c7eq.sdf", NAME)
    first: list[tuple[torch.Tensor, float]] = []

    def all_into_one(coordinates: MolecularCoordinates, energy: Energy, start: torch.Tensor) -> Any:
        end, u = relaxed(coordinates, energy, start)
        first.append((end, u))
        return (end, u) if len(first) == 1 else (first[0][0], first[0][1] - len(first))

    monkeypatch.setattr("boltzgen.analysis.strain.relaxed", all_into_one)
    found = strain(folder / "s.h5", folder / "c7eq.sdf", NAME)
    assert len(first) > 2
    assert found.lowest_energy == pytest.approx(found.relaxed_energy - len(first) * KT)
    assert found.lowest_conformer == found.conformer == lowest.conformer


def test_atoms_in_another_order_are_found_again(folder: Path, samples: WeightedSamples) -> None:
    system = System.load(NAME)
    coordinates = MolecularCoordinates(system)
    connections, x = read_pose(folder / "c7eq.sdf")
    own = samples.x[samples.u.argmin()].double()
    found = placed(system, coordinates, connections, torch.from_numpy(x), "pose")
    # Up to the format's digits and, perhaps, names of a methyl's hydrogens.
    heavy = [i for i, e in enumerate(system.graph.elements) if e != "H"]
    torch.testing.assert_close(found[heavy], own[heavy], atol=1e-5, rtol=0)
    energy = energy_for(system)
    assert float(energy(found)) == pytest.approx(float(energy(own)), abs=0.2)
    assert bool(coordinates.in_domain(coordinates.inverse(found)[0]))


def test_molecules_that_differ_have_no_order() -> None:
    ethanol = (["C", "C", "O", *"HHHHHH"], [[1, 3, 4, 5], [0, 2, 6, 7], [1, 8], [0], [0], [0], [1], [1], [2]])
    ether = (["C", "O", "C", *"HHHHHH"], [[1, 3, 4, 5], [0, 2], [1, 6, 7, 8], [0], [0], [0], [2], [2], [2]])
    assert list(atom_orders(*ethanol, *ether)) == []
    assert list(atom_orders(*ethanol, *ethanol)) == [list(range(9))]
    assert len(list(atom_orders(*ether, *ether))) == 2


def test_poses_that_are_refused(
    folder: Path, samples: WeightedSamples, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = (folder / "c7eq.sdf").read_text()
    cases = {
        "other enantiomer": (folder / "mirror.sdf").read_text(),
        "is another molecule than alanine_dipeptide": text.replace(" N  ", " P  "),
        "flat or no numbers": molecule(samples.mdtraj_topology),
        "is no SDF file of a pose": text[:300],
    }
    for message, content in cases.items():
        (tmp_path / "a.sdf").write_text(content)
        at = ("strain", folder / "s.h5", tmp_path / "a.sdf", "--system", NAME)
        refused(call(capfd, *at), message)
    refused(call(capfd, *at[:2], tmp_path / "b.sdf", *at[3:]), "no SDF file at")


def test_the_command(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    at = ("strain", folder / "s.h5", folder / "c7ax.sdf", "--system", NAME)
    code, out, _ = call(capfd, *at, "--units", "kcal/mol")
    assert code == 0
    said = " ".join(out.split())
    code, printed, _ = call(capfd, *at, "--units", "kcal/mol", "--json")
    assert code == 0
    found = json.loads(printed)
    assert f"strain energy {found['strain']:.2f} kcal/mol" in said
    assert f"conformer {found['conformer']}" in said
    assert found["free_energy"]["unit"] == "kcal/mol"


def test_a_minimum_with_a_coordinate_held() -> None:
    system = System.load(NAME)
    coordinates, energy = MolecularCoordinates(system), energy_for(system)
    y = coordinates.inverse(system.positions)[0]
    free, u = relaxed(coordinates, energy, y)
    held, above = relaxed(coordinates, energy, torch.cat((y[:1] + 0.5, y[1:])), fixed=[0])
    assert held[0] == y[0] + 0.5 and above > u
    for end, fixed in ((free, []), (held, [0])):
        leaf = end.clone().requires_grad_()
        (gradient,) = torch.autograd.grad(energy(coordinates(leaf)[0]), leaf)
        rest = np.delete(gradient.numpy(), fixed)
        assert np.abs(rest).max() < 0.01
    with pytest.raises(ValueError, match="atoms lie on each other"):
        relaxed(coordinates, energy, y * math.nan)


def test_connections_know_their_bonds(samples: WeightedSamples) -> None:
    own = Connections.parse(molecule(samples.mdtraj_topology))
    assert own.pairs == {frozenset((a.index, b.index)) for a, b in samples.mdtraj_topology.bonds}


def test_hydrogens_of_a_ch2_group_are_told_apart() -> None:
    """A file may have them in either order; the domain has one."""
    system = peptide("ace_ser_nme")
    coordinates = MolecularCoordinates(system)
    elements, neighbours = system.graph.elements, system.graph.neighbours
    beta = next(
        sorted(j for j in around if elements[j] == "H")
        for i, around in enumerate(neighbours)
        if elements[i] == "C" and sum(elements[j] == "H" for j in around) == 2
    )
    atoms = tuple(f"{'':1s}{element:3s} 0" for element in elements)
    pairs = sorted({tuple(sorted((i, j))) for i, around in enumerate(neighbours) for j in around})
    bonds = tuple(f"{i + 1:3d}{j + 1:3d}  1  0" for i, j in pairs)
    connections = Connections("serine", atoms, bonds, ("M  END",))
    exchanged = system.positions.clone()
    exchanged[beta] = exchanged[beta[::-1]]
    assert not bool(coordinates.in_domain(coordinates.inverse(exchanged)[0]))
    for x in (system.positions, exchanged):
        found = placed(system, coordinates, connections, x, "pose")
        torch.testing.assert_close(found[beta], system.positions[beta])
