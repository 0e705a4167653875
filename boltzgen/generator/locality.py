"""Which coordinates of a molecule are near which, so that layers can be local: their cost then grows linearly
with the molecule.
"""

from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.flow.coupling import Neighbourhood
from boltzgen.flow.networks import Part

#: About how many narrow coordinates share a network.
PIECE = 64
#: Bonds from a coordinate's centre to those on which its distribution depends directly, and to the torsions
#: that it sees.
REACH, VIEW = 3, 4


@dataclass(frozen=True)
class Locality:
    """Neighbourhoods in the bond graph. A coordinate's centre is the atom that the atom it places is bonded
    to.

    Attributes:
        distance: int64 (n_stiff, n_stiff), bonds between centres.
        pieces: narrow coordinates, in groups that follow the chain.
        views: for each piece the circles whose axis is within `VIEW` bonds of a centre in it.
    """

    distance: Tensor
    pieces: list[list[int]]
    views: list[list[int]]

    @classmethod
    def of(cls, coordinates: MolecularCoordinates) -> "Locality":
        n, rows = coordinates.n_atoms, coordinates.zmatrix.rows
        bonds = _bond_distances(coordinates.graph.neighbours)

        def row(k: int) -> int:
            """Row of internal coordinate k: bonds, then angles, then torsions."""
            return k + 1 if k < n - 1 else (k - (n - 1) + 2 if k < 2 * n - 3 else k - (2 * n - 3) + 3)

        placed = [rows[row(k)] for k in coordinates.order]
        circles, narrow = placed[: coordinates.n_periodic], placed[coordinates.n_periodic :]
        centres = torch.tensor([r.bonded for r in narrow])
        place = {atom: k for k, atom in enumerate(coordinates.zmatrix.along_branches())}
        along = sorted(range(len(narrow)), key=lambda i: (place[narrow[i].bonded], i))
        n_pieces = max(1, round(len(along) / PIECE))
        pieces = [
            sorted(along[len(along) * p // n_pieces : len(along) * (p + 1) // n_pieces])
            for p in range(n_pieces)
        ]
        axes = [[r.bonded, r.second] for r in circles]
        views = []
        for piece in pieces:
            near = [int(bonds[centres[piece]][:, axis].min()) <= VIEW for axis in axes]
            views.append([k for k in range(len(circles)) if near[k] or n_pieces == 1])
        return cls(bonds[centres][:, centres], pieces, views)

    def columns(self, reach: int | None) -> list[list[int]]:
        """For each narrow coordinate those before it whose centres are within `reach` bonds (None: all)."""
        if reach is None:
            return [list(range(i)) for i in range(len(self.distance))]
        return [
            torch.nonzero(self.distance[i, :i] <= reach).flatten().tolist() for i in range(len(self.distance))
        ]

    def parts(self, owners: list[tuple[int, ...]]) -> list[Part]:
        """A network for each piece, which sees the features all of whose owners (circles) are in its view."""
        return [Part(_seen(owners, view), piece) for piece, view in zip(self.pieces, self.views, strict=True)]

    def neighbourhoods(self, active: list[int], owners: list[tuple[int, ...]]) -> list[Neighbourhood]:
        """A coupling's networks: each moves the active coordinates of a piece and sees the passive ones
        within `REACH` and the features in view.
        """
        passive = [i for i in range(len(self.distance)) if i not in set(active)]
        found = []
        for piece, view in zip(self.pieces, self.views, strict=True):
            moved = [i for i in active if i in set(piece)]
            if moved:
                near = (
                    passive
                    if len(self.pieces) == 1
                    else [i for i in passive if int(self.distance[i, piece].min()) <= REACH]
                )
                found.append(Neighbourhood(moved, near, _seen(owners, view)))
        return found


def _seen(owners: list[tuple[int, ...]], view: list[int]) -> list[int]:
    return [k for k, circles in enumerate(owners) if set(circles) <= set(view)]


def _bond_distances(neighbours: tuple[tuple[int, ...], ...]) -> Tensor:
    """Bonds on the shortest path between any two atoms, int64 (n_atoms, n_atoms)."""
    n = len(neighbours)
    distance = torch.full((n, n), n, dtype=torch.long)
    for start in range(n):
        found, queue = {start: 0}, deque([start])
        while queue:
            i = queue.popleft()
            for j in neighbours[i]:
                if j not in found:
                    found[j] = found[i] + 1
                    queue.append(j)
        distance[start, list(found)] = torch.tensor(list(found.values()))
    return distance
