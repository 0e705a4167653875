"""Rings whose shape changes, which the flow cannot follow."""

from boltzgen.molecule.graph import LARGEST_RIGID_RING, MolecularGraph
from boltzgen.molecule.labels import atom_names
from boltzgen.molecule.system import System

#: Saturated rings of up to so many atoms pucker over low barriers (proline).
_LARGEST_PUCKER = 5


def check_rings(system: System) -> None:
    """Raise ValueError where a molecule has rings that turn.

    The torsions of a ring of more than seven atoms are tied together: it closes for a set of measure zero of
    them, to which no flow that starts with free torsions finds the way. A saturated ring of six or seven
    atoms flips between chairs; its torsions are stiff coordinates here, so that a generator would have the
    chair of the structure alone, and neither its weights nor short simulations would tell.
    """
    graph = system.graph
    if bonds := sorted(tuple(sorted(bond)) for bond in large_ring_bonds(graph)):
        raise ValueError(
            f"the bonds {_listed(system, bonds)} are in a ring of more than {LARGEST_RIGID_RING} atoms, "
            "whose torsions are tied together by its closing: generators are for molecules whose torsions "
            "turn freely; open the ring (reduce a disulfide bridge), or sample it by molecular dynamics"
        )
    if bonds := sorted(tuple(sorted(bond)) for bond in flipping_ring_bonds(graph)):
        raise ValueError(
            f"the bonds {_listed(system, bonds)} are in a saturated ring of six or seven atoms, which flips "
            "between chairs: a generator would know only the chair of the structure; sample it by molecular "
            "dynamics"
        )


def large_ring_bonds(graph: MolecularGraph) -> set[frozenset[int]]:
    """Bonds of rings, none of them in a ring of up to seven atoms."""
    return graph.ring_bonds(len(graph.elements)) - graph.ring_bonds()


def flipping_ring_bonds(graph: MolecularGraph) -> set[frozenset[int]]:
    """Bonds between atoms with four neighbours, in a ring of six or seven atoms and in no smaller one."""
    rings = graph.ring_bonds() - graph.ring_bonds(_LARGEST_PUCKER)
    return {bond for bond in rings if all(len(graph.neighbours[i]) == 4 for i in bond)}


def _listed(system: System, bonds: list[tuple[int, ...]]) -> str:
    names = atom_names(system.topology)
    found = [f"{names[i]} - {names[j]}" for i, j in bonds[:3]]
    return ", ".join(found) + (f" and {len(bonds) - 3} more" if len(bonds) > 3 else "")
