"""Which coordinates of a molecule are near which: what makes layers local.

The cost of local layers grows linearly with the molecule.
"""

from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.flow.coupling import Neighbourhood
from boltzgen.flow.networks import Part

#: About how many stiff coordinates share a network.
PIECE = 64
#: Bonds from a piece's centres to those of the stiff coordinates that a coupling's network sees.
COUPLING_CUTOFF = 3
#: Bonds from a piece's centres to the axes of the periodic torsions that its networks see.
RECEPTIVE_FIELD = 4
#: Bonds between centres of stiff coordinates whose correlation the torsions may change.
COVARIANCE_CUTOFF = 1


@dataclass(frozen=True)
class Locality:
    """Neighbourhoods in the bond graph.

    A coordinate's centre is the atom that the atom it places is bonded to.

    Attributes:
        distance: int64 (n_stiff, n_stiff), bonds between centres.
        pieces: stiff coordinates, in groups that follow the chain.
        torsions: for each piece the periodic torsions whose axis is within `RECEPTIVE_FIELD` bonds of a
            centre in it; all of them where there is one piece.
    """

    distance: Tensor
    pieces: list[list[int]]
    torsions: list[list[int]]

    @classmethod
    def of(cls, coordinates: MolecularCoordinates) -> "Locality":
        """The neighbourhoods of a molecule's stiff coordinates."""
        bonds = _bond_distances(coordinates.graph.neighbours)
        placed = [coordinates.zmatrix.row_of(k) for k in coordinates.order]
        periodic, stiff = placed[: coordinates.n_periodic], placed[coordinates.n_periodic :]
        centres = torch.tensor([r.bonded for r in stiff])
        place = {atom: k for k, atom in enumerate(coordinates.zmatrix.along_branches())}
        along = sorted(range(len(stiff)), key=lambda i: (place[stiff[i].bonded], i))
        n_pieces = max(1, round(len(along) / PIECE))
        pieces = [
            sorted(along[len(along) * p // n_pieces : len(along) * (p + 1) // n_pieces])
            for p in range(n_pieces)
        ]
        axes = [[r.bonded, r.second] for r in periodic]
        torsions = []
        for piece in pieces:
            near = [int(bonds[centres[piece]][:, axis].min()) <= RECEPTIVE_FIELD for axis in axes]
            torsions.append([k for k in range(len(periodic)) if near[k] or n_pieces == 1])
        return cls(bonds[centres][:, centres], pieces, torsions)

    def parts(self, owners: list[tuple[int, ...]]) -> list[Part]:
        """A network for each piece, which sees the features all of whose owners are torsions near it."""
        return [
            Part(_seen(owners, torsions), piece)
            for piece, torsions in zip(self.pieces, self.torsions, strict=True)
        ]

    def columns(self) -> list[list[int]]:
        """For each stiff coordinate those before it within `COVARIANCE_CUTOFF`."""
        return [
            [j for j in range(i) if int(self.distance[i, j]) <= COVARIANCE_CUTOFF]
            for i in range(len(self.distance))
        ]

    def neighbourhoods(self, active: list[int], owners: list[tuple[int, ...]]) -> list[Neighbourhood]:
        """A coupling's networks: each moves the active coordinates of a piece.

        It sees the passive coordinates within `COUPLING_CUTOFF` and the features of the torsions near it.
        """
        passive = [i for i in range(len(self.distance)) if i not in set(active)]
        found = []
        for piece, torsions in zip(self.pieces, self.torsions, strict=True):
            moved = [i for i in active if i in set(piece)]
            if moved:
                near = (
                    passive
                    if len(self.pieces) == 1
                    else [i for i in passive if int(self.distance[i, piece].min()) <= COUPLING_CUTOFF]
                )
                found.append(Neighbourhood(moved, near, _seen(owners, torsions)))
        return found


def _seen(owners: list[tuple[int, ...]], torsions: list[int]) -> list[int]:
    """Features all of whose owners are among the torsions."""
    return [k for k, own in enumerate(owners) if set(own) <= set(torsions)]


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
