"""Histograms of correlated, weighted frames whose errors come from the scatter of independent walkers."""

import math
from dataclasses import dataclass

import numpy as np

#: Walkers are gathered into at most this many groups; groups are as independent as walkers, and their scatter
#: gives the errors.
MAX_GROUPS = 32


def angle_bins(angle: np.ndarray, n_bins: int) -> np.ndarray:
    """Bin of each angle [radians] among equal ones from -180 to 180 degrees, int64 of the same shape.

    -180 and 180 degrees are one angle, in the first bin. An angle that is not a number (a draw without
    weight) is put into bin 0.
    """
    turns = np.nan_to_num(np.asarray(angle, dtype=np.float64) / (2 * np.pi) + 0.5)
    return np.floor(np.mod(turns, 1.0) * n_bins).astype(np.int64) % n_bins


@dataclass(frozen=True)
class Axis:
    """The bins of one coordinate.

    Attributes:
        name: what it is, for instance ``"bond C5-N7"``.
        unit: ``"nm"``, ``"radians"`` or ``"kT"``.
        low, high: of the equal inner bins; -pi and pi of a periodic coordinate. Of any other, one open bin
            lies on either side of them.
        n_bins: in all, the open ones included.
        is_periodic: whether the last bin is next to the first.
    """

    name: str
    unit: str
    low: float
    high: float
    n_bins: int
    is_periodic: bool

    @classmethod
    def periodic(cls, name: str, n_bins: int) -> "Axis":
        """Equal bins over -pi to pi, for a torsion."""
        return cls(name, "radians", -math.pi, math.pi, n_bins, is_periodic=True)

    @classmethod
    def spanning(
        cls, name: str, unit: str, values: np.ndarray, weights: np.ndarray, n_bins: int, *, width: float = 5.0
    ) -> "Axis":
        """Equal bins over the mean +- `width` standard deviations, and an open one on either side.

        Mean and deviation are those of values (n,) under weights (n,).
        """
        mean = float(np.average(values, weights=weights))
        spread = math.sqrt(max(float(np.average((values - mean) ** 2, weights=weights)), 1e-20))
        return cls(name, unit, mean - width * spread, mean + width * spread, n_bins, is_periodic=False)

    @property
    def edges(self) -> np.ndarray:
        """Edges of the bins, (n_bins + 1,): -inf and inf at the open ends."""
        if self.is_periodic:
            return np.linspace(self.low, self.high, self.n_bins + 1)
        return np.concatenate(([-np.inf], np.linspace(self.low, self.high, self.n_bins - 1), [np.inf]))

    def bins(self, values: np.ndarray) -> np.ndarray:
        """Bin of each value, int64 of the same shape; NaN (a draw without weight) is put into bin 0."""
        if self.is_periodic:
            return angle_bins(values, self.n_bins)
        scaled = (
            (np.asarray(values, dtype=np.float64) - self.low) / (self.high - self.low) * (self.n_bins - 2)
        )
        inner = np.floor(np.clip(np.nan_to_num(scaled, nan=-1.0), -1.0, self.n_bins - 2)).astype(np.int64)
        return inner + 1


@dataclass(frozen=True, eq=False)
class Histogram:
    """Shares of the bins, kept apart for each group of walkers.

    Attributes:
        groups: share of the whole weight that each group has in each bin, float64 (n_groups, n_bins); all of
            it sums to one.
    """

    groups: np.ndarray

    @classmethod
    def normalised(cls, sums: np.ndarray) -> "Histogram":
        """Of sums of weights (n_groups, n_bins); groups without any weight are left out.

        Raises:
            ValueError: fewer than two groups have weight, so that there is no scatter to take errors from.
        """
        kept = sums[sums.sum(axis=1) > 0]
        if len(kept) < 2:
            raise ValueError(
                f"expected frames with weight from at least two independent walkers, got {len(kept)}; "
                "errors come from their scatter"
            )
        return cls(kept / kept.sum())

    @property
    def probability(self) -> np.ndarray:
        """Share of each bin, (n_bins,)."""
        return self.groups.sum(axis=0)

    @property
    def halves(self) -> np.ndarray:
        """Shares (2, n_bins) from every other group of walkers, and from the rest."""
        return np.stack([half.sum(axis=0) / half.sum() for half in (self.groups[::2], self.groups[1::2])])

    @property
    def standard_error(self) -> np.ndarray:
        """Standard error of each bin's share, (n_bins,)."""
        return self.combined_error(np.eye(self.groups.shape[1]))

    def combined_error(self, bins: np.ndarray) -> np.ndarray:
        """Standard errors (m,) of sums of shares, with coefficients `bins` (m, n_bins).

        By the jackknife over groups of walkers, see `jackknife_error`.
        """
        return jackknife_error(self.groups @ bins.T, self.groups.sum(axis=1))

    @property
    def degrees_of_freedom(self) -> int:
        """Of the standard errors: the number of groups less one."""
        return len(self.groups) - 1

    @property
    def n_effective(self) -> float:
        """Number of independent draws whose shares would scatter as much; see `effective_count`."""
        return effective_count(self.groups)


def effective_count(groups: np.ndarray) -> float:
    """Effective number of independent draws of groups' shares (n_groups, n_bins).

    The shares p of N independent draws have variances p (1 - p) / N, which add up to (1 - sum p^2) / N over
    the bins; here the variances are the jackknife's, so that correlation in time, unequal weights and slow
    exchange between modes all count. inf without any scatter.
    """
    p = groups.sum(axis=0) / groups.sum()
    variance = float(np.square(jackknife_error(groups, groups.sum(axis=1))).sum())
    return (1.0 - float(np.square(p).sum())) / variance if variance > 0 else math.inf


def jackknife_error(sums: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Standard errors (m,) of the ratios sum_g sums[g] / sum_g weights[g] of independent groups g.

    Sums are (n_groups, m), weights (n_groups,). The delete-one-group jackknife, (G - 1) / G times the sum of
    squared deviations of the G leave-one-out ratios (Efron, 1982).
    """
    n_groups = len(weights)
    left_out = (sums.sum(axis=0) - sums) / (weights.sum() - weights)[:, None]
    return np.sqrt((n_groups - 1) / n_groups * np.square(left_out - left_out.mean(axis=0)).sum(axis=0))


def walker_groups(walker: np.ndarray, max_groups: int = MAX_GROUPS) -> np.ndarray:
    """Group of each frame, int64 (n,): its walker's rank among the walkers, modulo `max_groups`."""
    return np.unique(walker, return_inverse=True)[1].reshape(-1) % max_groups
