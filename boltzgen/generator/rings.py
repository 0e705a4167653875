"""Rings whose torsions are tied together, which the flow cannot follow."""

from boltzgen.molecule.graph import LARGEST_RIGID_RING, MolecularGraph
from boltzgen.molecule.labels import atom_names
from boltzgen.molecule.system import System


def check_rings(system: System) -> None:
    """Raise ValueError where a molecule has rings that turn.

    The torsions of a ring of more than seven atoms are tied together: it closes for a set of measure zero of
    them, to which no flow that starts with free torsions finds the way.
    """
    graph = system.graph
    if bonds := sorted(tuple(sorted(bond)) for bond in large_ring_bonds(graph)):
        raise ValueError(
            f"the bonds {_listed(system, bonds)} are in a ring of more than {LARGEST_RIGID_RING} atoms, "
            "whose torsions are tied together by its closing: generators are for molecules whose torsions "
            "turn freely; open the ring (reduce a disulfide bridge), or sample it by molecular dynamics"
        )


def large_ring_bonds(graph: MolecularGraph) -> set[frozenset[int]]:
    """Bonds of rings, none of them in a ring of up to seven atoms."""
    return graph.ring_bonds(len(graph.elements)) - graph.ring_bonds()


def _listed(system: System, bonds: list[tuple[int, ...]]) -> str:
    names = atom_names(system.topology)
    found = [f"{names[i]} - {names[j]}" for i, j in bonds[:3]]
    return ", ".join(found) + (f" and {len(bonds) - 3} more" if len(bonds) > 3 else "")
