"""Rings of more than seven atoms are refused before anything is trained; others are not."""

import re

import openmm
import pytest
import torch
from openmm import app

from boltzgen.energy.openmm import OpenMMEnergy
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.generator.rings import check_rings, large_ring_bonds
from boltzgen.molecule.graph import MolecularGraph
from boltzgen.molecule.system import System
from tests.helpers.molecules import FOLDER


def ring(n: int, hydrogens: int) -> MolecularGraph:
    """n carbons in a ring, each with so many hydrogens."""
    bonds = [(i, (i + 1) % n) for i in range(n)]
    bonds += [(i, n + hydrogens * i + k) for i in range(n) for k in range(hydrogens)]
    return MolecularGraph.from_bonds("C" * n + "H" * n * hydrogens, bonds)


@pytest.mark.parametrize(
    ("n", "hydrogens", "large"),
    [(3, 2, 0), (5, 2, 0), (6, 2, 0), (6, 1, 0), (7, 2, 0), (8, 2, 8), (12, 1, 12)],
)
def test_by_the_size_of_a_ring(n: int, hydrogens: int, large: int) -> None:
    assert len(large_ring_bonds(ring(n, hydrogens))) == large


@pytest.mark.parametrize("name", ["ace_pro_nme", "ace_trp_nme", "ace_tyr_nme", "phe_pro_trp"])
def test_rings_of_amino_acids_are_fine(name: str) -> None:
    system = System.from_pdb(FOLDER / f"{name}.pdb", ["amber99sbildn.xml"])
    check_rings(system)


def cycloalkane(n: int) -> System:
    """(CH2)n without a force field."""
    graph, topology, masses = ring(n, 2), app.Topology(), openmm.System()
    residue = topology.addResidue("RNG", topology.addChain())
    atoms = [
        topology.addAtom(f"{symbol}{k + 1}", app.Element.getBySymbol(symbol), residue)
        for k, symbol in enumerate(graph.elements)
    ]
    for i, near in enumerate(graph.neighbours):
        masses.addParticle(atoms[i].element.mass)
        for j in near:
            if i < j:
                topology.addBond(atoms[i], atoms[j])
    positions = torch.randn(3 * n, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return System(topology, masses, positions)


def test_a_large_one_is_refused() -> None:
    message = "C1 - C2, C1 - C9, C2 - C3 and 6 more are in a ring of more than 7 atoms"
    message = re.sub(r"(C\d)", r"\1 \\(RNG 1\\)", message)
    system = cycloalkane(9)
    with pytest.raises(ValueError, match=message):
        check_rings(system)
    with pytest.raises(ValueError, match=message):
        BoltzmannGenerator.for_system(system, OpenMMEnergy(system))
