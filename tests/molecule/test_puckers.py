"""Ring torsions that change with the shape of a ring, and coordinates that follow them."""

import math

import pytest
import torch

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.coordinates.zmatrix import TorsionKind, ZMatrix
from boltzgen.molecule.graph import MolecularGraph
from boltzgen.molecule.puckers import may_invert, puckers, shape_torsions
from boltzgen.molecule.system import System
from tests.helpers.molecules import bare, peptide


def ring(*hydrogens: int, extra: tuple[tuple[int, int], ...] = ()) -> MolecularGraph:
    """Carbons in a ring with so many hydrogens each, and bonds across it."""
    n = len(hydrogens)
    bonds = [(i, (i + 1) % n) for i in range(n)] + list(extra)
    carried = [i for i, count in enumerate(hydrogens) for _ in range(count)]
    bonds += [(i, n + k) for k, i in enumerate(carried)]
    return MolecularGraph.from_bonds("C" * n + "H" * len(carried), bonds)


@pytest.mark.parametrize(
    ("graph", "expected", "fold"),
    [
        pytest.param(ring(2, 2, 2, 2), 0, 2, id="cyclobutane"),
        pytest.param(ring(2, 2, 2, 2, 2), 5, 2, id="cyclopentane"),
        pytest.param(ring(1, 1, 2, 1, 1), 0, 2, id="cyclopentadiene"),
        pytest.param(ring(1, 1, 2, 2, 2), 4, 2, id="cyclopentene, without its double bond"),
        pytest.param(ring(1, 1, 1, 1, 1, 1), 0, 2, id="benzene"),
        pytest.param(ring(2, 2, 2, 2, 2, 2), 6, 2, id="cyclohexane"),
        pytest.param(ring(1, 1, 2, 1, 1, 2), 0, 2, id="1,4-cyclohexadiene"),
        pytest.param(ring(2, 1, 1, 1, 1, 1, 1), 7, 1, id="cycloheptatriene"),
        pytest.param(ring(2, 2, 2, 2, 2, 2, 2, 2), 0, 2, id="cyclooctane, too large"),
        pytest.param(ring(1, 2, 2, 1, 2, 2, extra=((0, 3),)), 0, 2, id="bicyclo[2.2.0]hexane"),
    ],
)
def test_rings_that_change_their_shape(graph: MolecularGraph, expected: int, fold: int) -> None:
    found = puckers(graph)
    assert len(found) == expected
    for bond, (one,) in found.items():
        a, b, c, d = one.torsion
        assert bond == {b, c}
        assert all(j in graph.neighbours[i] for i, j in ((a, b), (b, c), (c, d)))
        trigonal = all(len(graph.neighbours[i]) == 3 for i in (b, c))
        assert one.fold == (2 if trigonal else fold)


def test_a_bond_that_rings_share_turns_with_both() -> None:
    """Cyclopentane and cycloheptane."""
    graph = ring(1, 2, 2, 2, 1, 2, 2, 2, 2, 2, extra=((0, 4),))
    found = puckers(graph)
    assert len(found) == 11
    assert [one.fold for one in found[frozenset((0, 4))]] == [2, 1]
    assert [one.fold for one in found[frozenset((1, 2))]] == [2]
    assert [one.fold for one in found[frozenset((6, 7))]] == [1]


def chair(sign: float) -> System:
    """Six sulfur atoms, bonds of 0.205 nm."""
    corners = [(0.15 * math.cos(k * math.pi / 3), 0.15 * math.sin(k * math.pi / 3)) for k in range(6)]
    height = [sign * 0.035 * (-1) ** k for k in range(6)]
    placed = [(10 * x, 10 * y, 10 * z) for (x, y), z in zip(corners, height, strict=True)]
    return bare("S " * 6, [(k, (k + 1) % 6) for k in range(6)], placed)


def test_both_chairs_are_opposite_places_on_the_same_circles() -> None:
    up, down = chair(1.0), chair(-1.0)
    coordinates = MolecularCoordinates(up)
    assert (coordinates.n_full, coordinates.n_periodic) == (3, 3)
    y = coordinates.inverse(torch.stack((up.positions, down.positions)))[0]
    assert coordinates.in_domain(y).all()
    torch.testing.assert_close(y[0, :3], -y[1, :3], atol=1e-9, rtol=0)
    torsions = coordinates.full_torsions(y)
    torch.testing.assert_close(y[:, :3], 2 * torsions, atol=1e-9, rtol=0)
    assert (torsions.abs().rad2deg() > 30).all()
    # The rest is the same.
    torch.testing.assert_close(y[0, 3:], y[1, 3:], atol=1e-9, rtol=0)


def test_a_ring_torsion_keeps_to_half_of_the_circle() -> None:
    system = chair(1.0)
    coordinates = MolecularCoordinates(system)
    y = coordinates.inverse(system.positions)[0].repeat(3, 1)
    y[0, 1], y[1, 1], y[2, 1] = math.radians(2 * 89), math.radians(2 * 91), math.radians(-2 * 91)
    back = coordinates.inverse(coordinates(y)[0])[0]
    torch.testing.assert_close(back, y, atol=1e-9, rtol=0)
    conditions = coordinates.domain_conditions(back)
    assert conditions.pop("turned ring").tolist() == [True, False, False]
    assert all(met.all() for met in conditions.values())
    assert coordinates.in_domain(back).tolist() == [True, False, False]


def test_what_closing_atoms_carry_follows_the_ring() -> None:
    """Their offsets are from each other's bond, which is that of the ring wherever it is placed."""
    graph = ring(2, 2, 2, 2, 2, 2, 2)
    rows = ZMatrix.from_graph(graph).rows
    parents = {row.atom: row.bonded for row in rows}
    ((i, j),) = [
        (i, j)
        for i, near in enumerate(graph.neighbours)
        for j in near
        if i < j and parents[i] != j and parents[j] != i
    ]
    carried = {row.atom: row for row in rows if row.bonded in (i, j)}
    assert len(carried) == 4
    for row in carried.values():
        assert row.kind is TorsionKind.OFFSET
        assert row.third == (j if row.bonded == i else i)


@pytest.mark.parametrize("exchanged", [False, True])
@pytest.mark.parametrize("hydrogens", [(2, 2, 2, 2, 2), (2,) * 6, (2,) * 7, (1, 1, 2, 2, 2, 2)])
def test_all_torsions_of_a_ring_are_of_ring_atoms(hydrogens: tuple[int, ...], exchanged: bool) -> None:
    """With a chain on the ring, whose end is the root, or without: it is in the ring."""
    graph = ring(*hydrogens)
    if exchanged:  # a hydrogen for a chain of three carbons
        elements, n = [*graph.elements], len(hydrogens)
        elements[n] = "C"
        bonds = [(i, j) for i, near in enumerate(graph.neighbours) for j in near if i < j]
        first = len(elements)
        bonds += [(n, first), (first, first + 1)]
        graph = MolecularGraph.from_bonds([*elements, "C", "C"], bonds)
    found = puckers(graph)
    rows = [
        row
        for row in ZMatrix.from_graph(graph).torsion_rows
        if row.kind is TorsionKind.RING and frozenset((row.bonded, row.second)) in found
    ]
    # The atoms are placed by n - 3 torsions, some of which may be about double bonds.
    assert 2 <= len(rows) <= len(hydrogens) - 3
    for row in rows:
        (one,) = found[frozenset((row.bonded, row.second))]
        assert one.ends(row.bonded) == (row.atom, row.third)


def test_nitrogens_that_rings_hold_do_not_invert() -> None:
    """Pyrrolidine and piperidine invert; aziridine and bridgeheads do not."""

    def amine(n: int, extra: tuple[tuple[int, int], ...] = ()) -> MolecularGraph:
        graph = ring(*(2 - sum(k in bond for bond in extra) for k in range(n)), extra=extra)
        bonds = [(i, j) for i, near in enumerate(graph.neighbours) for j in near if i < j]
        gone = max(graph.neighbours[0])  # a hydrogen of atom 0, which is then the nitrogen
        kept = [i for i in range(len(graph.elements)) if i != gone]
        place = {i: k for k, i in enumerate(kept)}
        elements = ["N" if i == 0 else graph.elements[i] for i in kept]
        return MolecularGraph.from_bonds(
            elements, [(place[i], place[j]) for i, j in bonds if gone not in (i, j)]
        )

    assert [may_invert(amine(n), 0) for n in (3, 4, 5, 6, 7)] == [False, False, True, True, True]
    assert not may_invert(amine(8, ((0, 4),)), 0)
    assert not may_invert(amine(7, ((0, 3),)), 0)  # of a ring of five and one of four
    assert not may_invert(amine(9), 0)


def test_rings_of_small_molecules_have_named_torsions() -> None:
    """As many as tell the shape; proline's are among its chi."""
    assert [len(torsions) for torsions in shape_torsions(ring(2, 2, 2, 2, 2, 2))] == [3]
    assert shape_torsions(ring(1, 1, 1, 1, 1, 1)) == []
    # Cyclohexene's double bond, and those on it, tell less.
    (found,) = shape_torsions(ring(1, 1, 2, 2, 2, 2))
    assert [set(torsion[1:3]) for torsion in found] == [{2, 3}, {3, 4}, {4, 5}]
    assert list(chair(1.0).torsions) == ["ring S0-S1-S2-S3", "ring S1-S2-S3-S4", "ring S2-S3-S4-S5"]
    assert chair(1.0).rotamers["ring S1-S2-S3-S4"].division == "ring"
    assert not any(name.startswith("ring") for name in peptide("ace_pro_nme").torsions)
