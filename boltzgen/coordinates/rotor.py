"""Symmetric rotors in internal coordinates: mean torsions, and the labelling of equivalent atoms."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from boltzgen.coordinates.zmatrix import TorsionKind, ZMatrix
from boltzgen.geometry import dihedral, wrap
from boltzgen.molecule.graph import Rotor


@dataclass(frozen=True)
class RotorTorsions:
    """A rotor whose leading end has torsion tau_1 and whose other ends have the offsets delta from it.

    The mean torsion is tau = tau_1 + (sum of delta) / fold, a change of variables with unit Jacobian; a
    relabelling moves it by 360 degrees / fold. The domain has tau within half of that of its reference, which
    is exact whatever the other coordinates:

    * three ends: the offsets of the second and the third have opposite signs, and every gap between
      neighbours, going round, is below 180 degrees; cyclic relabellings keep that, so that of the six
      labellings of such a conformation exactly one is inside;
    * two ends: the offset lies in (0, 2 pi); the exchange mirrors it about pi and moves tau by pi.

    Attributes:
        rotor: what was perceived.
        leader: internal coordinate of tau_1.
        offsets: internal coordinates of the other ends' offsets; of three ends the positive one first.
        ends: atoms in the order of leader and offsets.
        frame: centre, axis and the atom that defines torsion zero.
    """

    rotor: Rotor
    leader: int
    offsets: tuple[int, ...]
    ends: tuple[int, ...]
    frame: tuple[int, int, int]

    @classmethod
    def find(cls, zmatrix: ZMatrix, rotor: Rotor) -> "RotorTorsions | None":
        """Where the z-matrix has the rotor; None if it reaches the rotor from one of its branches."""
        first, n = 2 * len(zmatrix.rows) - 3, len(rotor.ends)
        here = [
            (first + k, row)
            for k, row in enumerate(zmatrix.torsion_rows)
            if row.bonded == rotor.centre and row.second == rotor.axis
        ]
        kinds = [row.kind for _, row in here]
        if kinds != [TorsionKind.PROPER] + [TorsionKind.OFFSET] * (n - 1) or {
            row.atom for _, row in here
        } != set(rotor.ends):
            return None
        leader = here[0][1]
        return cls(
            rotor,
            here[0][0],
            tuple(k for k, _ in here[1:]),
            tuple(row.atom for _, row in here),
            (leader.bonded, leader.second, leader.third),
        )

    @property
    def fold(self) -> int:
        """Number of equivalent ends, 2 or 3."""
        return self.rotor.fold

    def oriented(self, reference: Tensor, names: Sequence[str]) -> "RotorTorsions":
        """The same with the positive offset first, going by reference internal coordinates (3n - 6,).

        Errors call atoms by their names.

        Raises:
            ValueError: three ends lie on one side.
        """
        if self.fold == 2:
            return self
        a, b = self.offsets
        turned = (
            self
            if reference[a] > 0
            else replace(self, offsets=(b, a), ends=(self.ends[0], self.ends[2], self.ends[1]))
        )
        if not reference[turned.offsets[0]] > 0 > reference[turned.offsets[1]]:
            raise ValueError(
                f"expected the three equivalent atoms on {names[self.rotor.centre]} to be spread around it, "
                "got some on one side; check the input structure"
            )
        return turned

    def mean(self, r: Tensor) -> Tensor:
        """Mean torsion (...) of internal coordinates r (..., 3n - 6), radians."""
        return r[..., self.leader] + sum(r[..., k] for k in self.offsets) / self.fold

    def spread(self, r: Tensor) -> Tensor:
        """Whether the offsets of r (..., 3n - 6) are those of a labelling in the domain, bool (...).

        It says nothing of the mean torsion.
        """
        if self.fold == 2:
            delta = r[..., self.offsets[0]]
            return (delta > 0) & (delta < 2 * math.pi)
        # The gaps between neighbouring ends, going round: each in (0, pi), a condition that relabelling
        # leaves alone.
        first, last = r[..., self.offsets[0]], -r[..., self.offsets[1]]
        return (first > 0) & (first < math.pi) & (last > 0) & (last < math.pi) & (first + last > math.pi)

    def canonical(self, x: Tensor, reference: Tensor) -> Tensor:
        """Conformations x (..., n_atoms, 3) with this rotor's atoms labelled as the domain has them.

        `reference` is its mean torsion in the reference, a scalar in radians.
        """
        torsions = torch.stack(
            [dihedral(*(x[..., i, :].double() for i in (end, *self.frame))) for end in self.ends], dim=-1
        )
        if self.fold == 2:
            return self._exchanged(x, torsions, reference)
        labels = _threefold(torsions, reference)
        y = x.clone()
        ends = list(self.ends)
        y[..., ends, :] = torch.take_along_dim(x[..., ends, :], labels.unsqueeze(-1), dim=-2)
        return y

    def _exchanged(self, x: Tensor, torsions: Tensor, reference: Tensor) -> Tensor:
        delta = torch.remainder(torsions[..., 1] - torsions[..., 0], 2 * math.pi)
        # On the domain's edge labels are kept, so that rounding cannot turn them to and fro.
        swap = 2 * wrap(torsions[..., 0] + delta / 2 - reference).abs() > math.pi + 1e-9
        order = torch.arange(x.shape[-2], device=x.device)
        for i, j in self.rotor.exchange:
            order[i], order[j] = j, i
        return torch.where(swap[..., None, None], x[..., order, :], x)


def _threefold(torsions: Tensor, reference: Tensor) -> Tensor:
    """Which of three ends takes each label, int64 (..., 3), from their torsions (..., 3).

    Labels stay as they are if no labelling is inside. The torsions, sorted, fix the handed order of the
    labels up to a cyclic shift, and each shift moves the mean torsion by 120 degrees.
    """
    third = 2 * math.pi / 3
    torsions = torch.nan_to_num(torsions)
    ordered, order = torsions.sort(dim=-1)
    # With the labels in ascending order the offsets are s2 - s1 and s3 - s1 - 2 pi, and tau = (s1 + s2 + s3 -
    # 2 pi) / 3.
    tau = (ordered.sum(-1) - 2 * math.pi) / 3
    shift = -torch.floor((wrap(tau - reference) + third / 2) / third)
    places = torch.remainder(shift.unsqueeze(-1) + torch.arange(3, device=torsions.device), 3).long()
    labels = order.gather(-1, places)
    going_round = torch.cat((ordered.diff(dim=-1), 2 * math.pi - ordered[..., 2:] + ordered[..., :1]), dim=-1)
    spread = ((going_round > 0) & (going_round < math.pi)).all(-1)
    # A labelling on the domain's edge is kept, so that rounding cannot turn it to and fro.
    gaps = torch.remainder(torsions.roll(-1, -1) - torsions, 2 * math.pi)
    offset = wrap(torsions[..., 0] + (gaps[..., 0] - gaps[..., 2]) / 3 - reference)
    kept = (gaps < math.pi).all(-1) & (3 * offset.abs() <= math.pi + 1e-9)
    return torch.where((spread & ~kept).unsqueeze(-1), labels, torch.arange(3, device=torsions.device))
