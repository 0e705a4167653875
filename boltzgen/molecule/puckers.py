"""Rings of five to seven atoms that change their shape, by elements and bonds alone."""

from dataclasses import dataclass

import networkx

from boltzgen.molecule.graph import LARGEST_RIGID_RING, MolecularGraph, Quadruple

#: Smaller rings are flat, or nearly so.
_SMALLEST = 5
#: From here on one tetrahedral atom is enough: a ring with it leaves the plane, to either side.
_BOAT = 7


@dataclass(frozen=True)
class Pucker:
    """A ring torsion that changes with the shape of the ring.

    Attributes:
        torsion: a-b-c-d along the ring; the bond is b-c.
        size: atoms of the ring, 5 to 7.
    """

    torsion: Quadruple
    size: int

    @property
    def fold(self) -> int:
        """The torsion keeps to 1/fold of the circle about zero.

        In rings of five and six atoms it is at most some 50 and 75 degrees at minima of the energy, in those
        of seven 90.
        """
        return 2 if self.size < _BOAT else 1

    def ends(self, j: int) -> tuple[int, int]:
        """The ring's atoms beyond the bond: that on atom j of it, and that on the other."""
        a, b, _, d = self.torsion
        return (a, d) if b == j else (d, a)


def puckers(graph: MolecularGraph) -> dict[frozenset[int], list[Pucker]]:
    """The ring torsions that change with the shapes of rings, by their bonds.

    A ring changes its shape if two neighbours in it are tetrahedral (four neighbours, or oxygen and sulfur
    with two); of seven atoms if one is. Bonds of it between two other atoms (double, aromatic, amide) keep
    their torsion. A bond that several rings share has one for each, that of the smallest first.
    """
    bonds = networkx.Graph((i, j) for i, near in enumerate(graph.neighbours) for j in near if i < j)
    tetrahedral = {
        i
        for i, near in enumerate(graph.neighbours)
        if len(near) == 4 or (len(near) == 2 and graph.elements[i] in ("O", "S"))
    }
    found: dict[frozenset[int], list[Pucker]] = {}
    for ring in sorted(_rings(bonds), key=lambda ring: (len(ring), ring)):
        n = len(ring)
        inside = [i in tetrahedral for i in ring]
        flexible = any(inside[k - 1] and inside[k] for k in range(n)) or (n >= _BOAT and any(inside))
        if not _SMALLEST <= n or not flexible:
            continue
        for k in range(n):
            a, b, c, d = (ring[(k + m) % n] for m in range(4))
            if b in tetrahedral or c in tetrahedral:
                found.setdefault(frozenset((b, c)), []).append(Pucker((a, b, c, d), n))
    return found


def may_invert(graph: MolecularGraph, i: int) -> bool:
    """Whether rings let atom i pass to the other side of its neighbours.

    They do where it is in none, or two of its bonds are in rings that change their shape.
    """
    held = sum(i in bond for bond in graph.ring_bonds(len(graph.elements)))
    return held == 0 or (held == 2 and sum(i in bond for bond in puckers(graph)) == 2)


def _rings(bonds: networkx.Graph) -> set[tuple[int, ...]]:
    """The smallest ring through each bond, of up to seven atoms, from its lowest atom in either direction."""
    found = set()
    for i, j in bonds.edges:
        others = networkx.restricted_view(bonds, [], [(i, j)])
        try:
            ring = networkx.shortest_path(others, i, j)
        except networkx.NetworkXNoPath:
            continue
        if len(ring) <= LARGEST_RIGID_RING:
            at = ring.index(min(ring))
            ring = [*ring[at:], *ring[:at]]
            found.add(min(tuple(ring), (ring[0], *ring[:0:-1])))
    return found
