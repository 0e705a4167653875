"""Rings of five to seven atoms that change their shape, by elements and bonds alone."""

from dataclasses import dataclass
from functools import cache

import networkx

from boltzgen.molecule.graph import MolecularGraph, Quadruple

#: Smaller rings are flat, or nearly so.
_SMALLEST = 5
#: From here on one tetrahedral atom is enough: a ring with it leaves the plane, to either side.
_BOAT = 7


@dataclass(frozen=True)
class Pucker:
    """A ring torsion that changes with the shape of the ring.

    Attributes:
        torsion: a-b-c-d along the ring; the bond is b-c.
        fold: the torsion keeps to 1/fold of the circle about zero. In rings of five and six atoms it is at
            most some 50 and 75 degrees at minima of the energy, in those of seven 90, but about bonds of
            trigonal atoms less.
    """

    torsion: Quadruple
    fold: int

    def ends(self, j: int) -> tuple[int, int]:
        """The ring's atoms beyond the bond: that on atom j of it, and that on the other."""
        a, b, _, d = self.torsion
        return (a, d) if b == j else (d, a)


def puckers(graph: MolecularGraph) -> dict[frozenset[int], list[Pucker]]:
    """The ring torsions that change with the shapes of rings, by their bonds.

    A ring changes its shape if two neighbours in it are tetrahedral (four neighbours, or oxygen and sulfur
    with two); of seven atoms if one is. Bonds of it between two other atoms (double, aromatic, amide) keep
    their torsion, but in a ring of seven: the boats of diazepam differ in those as well. A bond that several
    rings share has one for each, that of the smallest first.
    """
    found: dict[frozenset[int], list[Pucker]] = {}
    for ring in _flexible(graph):
        for torsion in _turning(graph, ring):
            turns = any(_is_tetrahedral(graph, i) for i in torsion[1:3])
            fold = 1 if len(ring) >= _BOAT and turns else 2
            found.setdefault(frozenset(torsion[1:3]), []).append(Pucker(torsion, fold))
    return found


def shape_torsions(graph: MolecularGraph) -> list[list[Quadruple]]:
    """Of each ring that changes its shape, as many torsions as tell its shape: three less than its atoms.

    Those about bonds of two tetrahedral atoms come first, those about bonds of none are left out.
    """

    def tetrahedral(torsion: Quadruple) -> int:
        return sum(_is_tetrahedral(graph, i) for i in torsion[1:3])

    found = []
    for ring in _flexible(graph):
        turning = [torsion for torsion in _turning(graph, ring) if tetrahedral(torsion)]
        turning.sort(key=tetrahedral, reverse=True)
        found.append(turning[: len(ring) - 3])
    return found


@cache
def _flexible(graph: MolecularGraph) -> list[tuple[int, ...]]:
    """Rings that change their shape, the smallest first."""
    found = []
    for ring in sorted(_rings(graph), key=lambda ring: (len(ring), ring)):
        inside = [_is_tetrahedral(graph, i) for i in ring]
        neighbours = any(inside[k - 1] and inside[k] for k in range(len(ring)))
        if len(ring) >= _SMALLEST and (neighbours or (len(ring) >= _BOAT and any(inside))):
            found.append(ring)
    return found


def _turning(graph: MolecularGraph, ring: tuple[int, ...]) -> list[Quadruple]:
    """Its torsions, one for each bond with a tetrahedral atom; of seven atoms one for each bond."""
    n = len(ring)
    around = [(ring[k], ring[(k + 1) % n], ring[(k + 2) % n], ring[(k + 3) % n]) for k in range(n)]
    return [
        (a, b, c, d)
        for a, b, c, d in around
        if n >= _BOAT or _is_tetrahedral(graph, b) or _is_tetrahedral(graph, c)
    ]


def _is_tetrahedral(graph: MolecularGraph, i: int) -> bool:
    return len(graph.neighbours[i]) == 4 or (
        len(graph.neighbours[i]) == 2 and graph.elements[i] in ("O", "S")
    )


def may_invert(graph: MolecularGraph, i: int) -> bool:
    """Whether rings let atom i pass to the other side of its neighbours.

    They do where it is in none, or two of its bonds are in rings that change their shape.
    """
    held = sum(i in bond for bond in graph.ring_bonds(len(graph.elements)))
    return held == 0 or (held == 2 and sum(i in bond for bond in puckers(graph)) == 2)


def _rings(graph: MolecularGraph) -> set[tuple[int, ...]]:
    """The smallest ring through each bond, of up to seven atoms, from its lowest atom in either direction."""
    found, bonds = set(), networkx.Graph(map(tuple, graph.ring_bonds()))
    for bond in bonds.edges:
        ring = networkx.shortest_path(networkx.restricted_view(bonds, [], [bond]), *bond)
        at = ring.index(min(ring))
        ring = [*ring[at:], *ring[:at]]
        found.add(min(tuple(ring), (ring[0], *ring[:0:-1])))
    return found
