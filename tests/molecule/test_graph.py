"""What a bond graph says: alanine dipeptide, whatever the order of its atoms, and small molecules that look
alike.
"""

import random

import numpy as np
import pytest

from boltzgen.molecule.graph import MolecularGraph, backbone_pairs
from boltzgen.molecule.system import System
from tests.helpers.molecules import BUTANOL


@pytest.fixture(scope="module")
def alanine() -> MolecularGraph:
    return System.load("alanine_dipeptide").graph


def graph(elements: str, *bonds: tuple[int, int]) -> MolecularGraph:
    return MolecularGraph.from_bonds(elements.split(), bonds)


#: N-methylformamide, with HC(=O)-N: an amide without a carbon before it.
N_METHYLFORMAMIDE = graph("H C O N H C H H H", (0, 1), (1, 2), (1, 3), (3, 4), (3, 5), (5, 6), (5, 7), (5, 8))
#: Acetamide, CH3-C(=O)-NH2.
ACETAMIDE = graph("C C O N H H H H H", (0, 1), (1, 2), (1, 3), (3, 4), (3, 5), (0, 6), (0, 7), (0, 8))
#: N,N-dimethylformamide: a tertiary amide, as before proline.
DIMETHYLFORMAMIDE = graph(
    "H C O N C C H H H H H H",
    (0, 1),
    (1, 2),
    (1, 3),
    (3, 4),
    (3, 5),
    (4, 6),
    (4, 7),
    (4, 8),
    (5, 9),
    (5, 10),
    (5, 11),
)
#: CH3-NH3+.
METHYLAMMONIUM = graph("C N H H H H H H", (0, 1), (0, 2), (0, 3), (0, 4), (1, 5), (1, 6), (1, 7))
#: CHFClBr and CH2FCl.
CHIRAL, ACHIRAL = (
    graph("C H F Cl Br", (0, 1), (0, 2), (0, 3), (0, 4)),
    graph("C H H F Cl", (0, 1), (0, 2), (0, 3), (0, 4)),
)


def test_alanine_dipeptide(alanine: MolecularGraph) -> None:
    assert [(r.centre, r.axis, r.ends) for r in alanine.rotors()] == [
        (1, 4, (0, 2, 3)),
        (10, 8, (11, 12, 13)),
        (18, 16, (19, 20, 21)),
    ]
    assert alanine.peptide_bonds() == [(4, 6), (14, 16)]
    assert [alanine.omega(bond) for bond in alanine.peptide_bonds()] == [(1, 4, 6, 8), (8, 14, 16, 18)]
    assert alanine.stereocentres() == [8]


@pytest.mark.parametrize("seed", range(5))
def test_order_of_atoms_does_not_matter(alanine: MolecularGraph, seed: int) -> None:
    order = list(range(22))
    random.Random(seed).shuffle(order)
    new = {old: k for k, old in enumerate(order)}
    bonds = [(new[i], new[j]) for i in range(22) for j in alanine.neighbours[i] if i < j]
    shuffled = MolecularGraph.from_bonds([alanine.elements[i] for i in order], bonds)
    assert {(order[r.centre], frozenset(order[h] for h in r.ends)) for r in shuffled.rotors()} == {
        (r.centre, frozenset(r.ends)) for r in alanine.rotors()
    }
    assert {(order[c], order[n]) for c, n in shuffled.peptide_bonds()} == set(alanine.peptide_bonds())
    assert [order[i] for i in shuffled.stereocentres()] == [8]


def test_equivalent_atoms_share_a_class(alanine: MolecularGraph) -> None:
    classes = alanine.equivalence_classes()
    for rotor in alanine.rotors():
        assert len({classes[h] for h in rotor.ends}) == 1
    assert len(set(classes)) == 22 - 6


def test_only_secondary_amides_are_peptide_bonds() -> None:
    assert N_METHYLFORMAMIDE.peptide_bonds() == [(1, 3)]
    assert ACETAMIDE.peptide_bonds() == []
    assert DIMETHYLFORMAMIDE.peptide_bonds() == []


def test_omega_of_a_formamide_starts_at_its_hydrogen() -> None:
    assert N_METHYLFORMAMIDE.omega((1, 3)) == (0, 1, 3, 5)


def test_stereocentres_need_four_different_neighbours() -> None:
    assert CHIRAL.stereocentres() == [0]
    assert ACHIRAL.stereocentres() == []
    assert BUTANOL.stereocentres() == [1]


def test_threefold_rotors_have_three_equivalent_terminal_atoms() -> None:
    assert [(r.centre, r.ends) for r in BUTANOL.rotors()] == [(0, (7, 8, 9)), (3, (12, 13, 14))]
    assert graph("C H H H H", (0, 1), (0, 2), (0, 3), (0, 4)).rotors() == []
    assert graph("C H H H F", (0, 1), (0, 2), (0, 3), (0, 4)).rotors() == [], "no bond to turn about"
    assert [r.ends for r in METHYLAMMONIUM.rotors()] == [(2, 3, 4), (5, 6, 7)]


def test_reachable_stops_at_the_blocked_atom() -> None:
    assert BUTANOL.reachable(0, blocked=1) == {0, 7, 8, 9}
    assert BUTANOL.reachable(5) == set(range(15))


def test_several_molecules_are_refused() -> None:
    with pytest.raises(ValueError, match=r"one molecule.*2 atoms not bonded .*\(number 3, number 4\)"):
        graph("H H H H", (0, 1), (2, 3))


@pytest.mark.parametrize(
    ("torsions", "pairs"),
    [
        ({"phi": (4, 6, 8, 14), "psi": (6, 8, 14, 16)}, [("phi", "psi")]),
        # Without caps the first residue has no phi and the last no psi, so that numbers do not match.
        (
            {"phi1": (2, 4, 5, 6), "phi2": (6, 8, 9, 10), "psi1": (0, 1, 2, 4), "psi2": (4, 5, 6, 8)},
            [("phi1", "psi2")],
        ),
        ({"psi": (6, 8, 14, 16)}, []),
        ({}, []),
    ],
)
def test_phi_goes_with_the_psi_of_its_residue(
    torsions: dict[str, tuple[int, int, int, int]], pairs: list[tuple[str, str]]
) -> None:
    assert backbone_pairs(torsions) == pairs


@pytest.mark.parametrize("seed", range(8))
def test_an_exchange_moves_nothing_that_it_need_not(seed: int) -> None:
    """4-ethyltoluene in any order of atoms: turning the ring leaves the hydrogens of CH2 and CH3 in place."""
    ring = [(k, (k + 1) % 6) for k in range(6)]
    hydrogens = [(1, 9), (2, 10), (4, 11), (5, 12), (6, 13), (6, 14), (6, 15), (7, 16), (7, 17), (8, 18)]
    bonds = [*ring, (0, 6), (3, 7), (7, 8), *hydrogens, (8, 19), (8, 20)]
    place = np.random.default_rng(seed).permutation(21).tolist()
    elements = dict(zip(place, "CCCCCCCCCHHHHHHHHHHHH", strict=True))
    graph = MolecularGraph.from_bonds(
        [elements[k] for k in range(21)], [(place[i], place[j]) for i, j in bonds]
    )
    expected = {frozenset((place[i], place[j])) for i, j in ((1, 5), (2, 4), (9, 12), (10, 11))}
    found = {(rotor.axis, rotor.centre): rotor for rotor in graph.rotors()}
    for axis, centre in ((6, 0), (7, 3)):
        assert set(map(frozenset, found[place[axis], place[centre]].exchange)) == expected
