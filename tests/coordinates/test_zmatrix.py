"""Z-matrices: each atom once, references placed first, backbone torsions are coordinates."""

import pytest

from boltzgen.coordinates.zmatrix import TorsionKind, ZMatrix
from boltzgen.molecule.graph import MolecularGraph
from boltzgen.molecule.system import System

#: name -> (elements, bonds)
GRAPHS = {
    "ethane": ("CCHHHHHH", [(0, 1), (0, 2), (0, 3), (0, 4), (1, 5), (1, 6), (1, 7)]),
    "cyclopropane": ("CCCHHHHHH", [(0, 1), (1, 2), (2, 0), (0, 3), (0, 4), (1, 5), (1, 6), (2, 7), (2, 8)]),
    "hydrogen peroxide": ("HOOH", [(0, 1), (1, 2), (2, 3)]),
    "neopentane-like": ("CCCCC", [(0, 1), (0, 2), (0, 3), (0, 4)]),
}


def graph_of(name: str) -> MolecularGraph:
    if name == "alanine dipeptide":
        return System.load("alanine_dipeptide").graph
    elements, bonds = GRAPHS[name]
    return MolecularGraph.from_bonds(list(elements), bonds)


@pytest.mark.parametrize("name", [*GRAPHS, "alanine dipeptide"])
def test_references_are_bonded_and_placed_before(name: str) -> None:
    graph = graph_of(name)
    zmatrix = ZMatrix.from_graph(graph)
    placed: list[int] = []
    for k, row in enumerate(zmatrix.rows):
        references = [row.bonded, row.second, row.third][: min(k, 3)]
        assert len(set(references)) == len(references)
        assert set(references) <= set(placed)
        if k >= 1:
            assert row.bonded in graph.neighbours[row.atom]
        if k >= 2:
            assert row.second in graph.neighbours[row.bonded]
        placed.append(row.atom)
    assert sorted(placed) == list(range(len(graph.elements)))


@pytest.mark.parametrize("name", [*GRAPHS, "alanine dipeptide"])
def test_one_proper_torsion_for_each_bond_that_turns(name: str) -> None:
    rows = ZMatrix.from_graph(graph_of(name)).torsion_rows
    proper = [frozenset((r.bonded, r.second)) for r in rows if r.kind is TorsionKind.PROPER]
    assert len(set(proper)) == len(proper)
    assert all(r.kind is not None for r in rows)


@pytest.mark.parametrize("name", [*GRAPHS, "alanine dipeptide"])
def test_levels_refer_to_earlier_levels_only(name: str) -> None:
    zmatrix = ZMatrix.from_graph(graph_of(name))
    placed = {row.atom for row in zmatrix.rows[:3]}
    for level in zmatrix.levels():
        for k in level:
            row = zmatrix.rows[k]
            assert {row.bonded, row.second, row.third} <= placed
        placed |= {zmatrix.rows[k].atom for k in level}
    assert len(placed) == len(zmatrix.rows)


def test_backbone_torsions_are_coordinates() -> None:
    system = System.load("alanine_dipeptide")
    proper = {
        (r.atom, r.bonded, r.second, r.third)
        for r in ZMatrix.from_graph(system.graph).torsion_rows
        if r.kind is TorsionKind.PROPER
    }
    for quadruple in (
        *system.torsions.values(),
        *(system.graph.omega(b) for b in system.graph.peptide_bonds()),
    ):
        assert quadruple in proper or quadruple[::-1] in proper


def test_too_small_a_molecule_says_so() -> None:
    with pytest.raises(ValueError, match="at least 4 atoms, got 3"):
        ZMatrix.from_graph(MolecularGraph.from_bonds("HOH", [(0, 1), (1, 2)]))
