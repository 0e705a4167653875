"""Populations of basins and free-energy differences between them, from log-weights, with 95 % intervals."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from boltzgen.free_energy.intervals import (
    Interval,
    WeightSum,
    log_ratio_interval,
    percent_interval,
    share_interval,
)


@dataclass(frozen=True)
class BasinPopulation:
    """The weighted population of one basin.

    Attributes:
        name: of the basin.
        population: its share of the total weight.
        low, high: 95 % interval of the population; None where it is not estimated. If `is_upper_bound`:
            low = 0 and high a one-sided 95 % upper bound.
        n_raw: draws in the basin with a weight above zero.
        n_effective: Kish's effective number of draws within the basin.
        delta_f_kT: free energy relative to the most populated basin, -ln(population ratio), in kT; inf for an
            empty basin.
        delta_f_low, delta_f_high: its 95 % interval; if `is_upper_bound`, delta_f_low is a one-sided lower
            bound and delta_f_high inf. -inf and inf: not estimated. Of the most populated basin itself they
            are 0, or not estimated where no other basin's are.
        is_upper_bound: fewer than 10 effective draws, so that there is a bound but no interval.
    """

    name: str
    population: float
    low: float | None
    high: float | None
    n_raw: int
    n_effective: float
    delta_f_kT: float
    delta_f_low: float
    delta_f_high: float
    is_upper_bound: bool

    def __str__(self) -> str:
        """Name, population and interval in percent."""
        interval = percent_interval(self.low, self.high)
        return f"{self.name} {100 * self.population:.3g} % ({interval})"


@dataclass(frozen=True)
class FreeEnergyDifference:
    """F(end) - F(start) in kT with its 95 % interval.

    A basin with too few draws for an interval leaves one side of it infinite; where both are, the interval is
    not estimated.
    """

    delta_f: float
    low: float
    high: float

    @property
    def is_estimated(self) -> bool:
        """At least one limit is known."""
        return math.isfinite(self.low) or math.isfinite(self.high)

    def times(self, unit: float) -> "FreeEnergyDifference":
        """The same in other units: `unit` is what one kT is, for instance ``units.kt(300.0)`` for kJ/mol."""
        return FreeEnergyDifference(self.delta_f * unit, self.low * unit, self.high * unit)


def basin_populations(labels: np.ndarray, log_w: np.ndarray, names: Sequence[str]) -> list[BasinPopulation]:
    """Weighted populations of basins with 95 % intervals.

    The intervals are those of `intervals.log_ratio_interval`, which also says when there is only a bound, and
    when nothing is estimated. docs/results/intervals.md has how often they cover.

    Args:
        labels: basin of each draw, int (n,), index into `names` or -1 for none of them.
        log_w: log-weights (n,); -inf is weight zero.
        names: names of the basins.

    Returns:
        One entry for each name, in order.
    """
    return _of_draws(labels, log_w, len(names)).populations(names)


def free_energy_difference(
    labels: np.ndarray, log_w: np.ndarray, names: Sequence[str], start: str, end: str
) -> FreeEnergyDifference:
    """F(end) - F(start) = -ln(p_end / p_start) in kT, with its 95 % interval.

    Arguments are those of `basin_populations`.

    Raises:
        ValueError: no basin of that name.
    """
    for name in (start, end):
        if name not in names:
            raise ValueError(f"no basin called {name!r}; this molecule has: {', '.join(names) or 'none'}")
    regions = _of_draws(labels, log_w, len(names))
    return regions.difference(list(names).index(start), list(names).index(end))


@dataclass(frozen=True)
class RegionSums:
    """Sums of normalised weights over regions, from which populations and differences follow.

    Attributes:
        inside: of the draws in each region.
        outside: gives those of the draws outside of the k-th.
        largest: weight of all draws.
    """

    inside: Sequence[WeightSum]
    outside: Callable[[int], WeightSum]
    largest: float

    def populations(self, names: Sequence[str]) -> list[BasinPopulation]:
        """One for each region, by their names; see `basin_populations`."""
        reference = int(np.argmax([s.total for s in self.inside]))
        differences = [self.difference(reference, k) for k in range(len(names))]
        others = [delta for k, delta in enumerate(differences) if k != reference]
        if others and not any(delta.is_estimated for delta in others):
            differences[reference] = FreeEnergyDifference(0.0, -math.inf, math.inf)
        rows = []
        for k, (name, delta) in enumerate(zip(names, differences, strict=True)):
            inside, share = self.inside[k], self.share(k)
            rows.append(
                BasinPopulation(
                    name=name,
                    population=inside.total,
                    low=None if share is None else share.low,
                    high=None if share is None else share.high,
                    n_raw=inside.n,
                    n_effective=inside.n_effective,
                    delta_f_kT=delta.delta_f,
                    delta_f_low=delta.low,
                    delta_f_high=delta.high,
                    is_upper_bound=share is not None and inside.is_rare,
                )
            )
        return rows

    def share(self, k: int) -> Interval | None:
        """Interval of a region's population."""
        return share_interval(self.inside[k], self.outside(k), self.largest)

    def difference(self, start: int, end: int) -> FreeEnergyDifference:
        """-ln(p_end / p_start) with its interval."""
        if start == end:
            return FreeEnergyDifference(0.0, 0.0, 0.0)
        a, b = self.inside[start], self.inside[end]
        found = log_ratio_interval(a, b, self.largest)
        return FreeEnergyDifference(_minus_log_ratio(b.total, a.total), found.low, found.high)


def _of_draws(labels: np.ndarray, log_w: np.ndarray, n_basins: int) -> RegionSums:
    """Of draws with labels and log-weights (n,)."""
    labels, log_w = np.asarray(labels), np.asarray(log_w, dtype=np.float64)
    _check(labels, log_w, n_basins)
    weights = np.exp(log_w - log_w.max())
    weights = weights / weights.sum()
    return RegionSums(
        [WeightSum.build(weights[labels == k]) for k in range(n_basins)],
        lambda k: WeightSum.build(weights[labels != k]),
        float(weights.max()),
    )


def _minus_log_ratio(numerator: float, denominator: float) -> float:
    if numerator <= 0:
        return math.inf if denominator > 0 else math.nan
    return -math.inf if denominator <= 0 else math.log(denominator) - math.log(numerator)


def _check(labels: np.ndarray, log_w: np.ndarray, n_basins: int) -> None:
    if labels.shape != log_w.shape or labels.ndim != 1:
        raise ValueError(
            f"expected labels and log-weights of one shape (n,), got {labels.shape} and {log_w.shape}"
        )
    if n_basins == 0:
        raise ValueError("expected at least one basin, got none; give the `System` its `basins`")
    if len(labels) and not (-1 <= labels.min() and labels.max() < n_basins):
        raise ValueError(f"expected labels from -1 to {n_basins - 1}, got {labels.min()} to {labels.max()}")
    if np.isnan(log_w).any() or np.isposinf(log_w).any():
        raise ValueError("log-weights contain NaN or +inf; expected finite values, or -inf for weight zero")
    if not np.isfinite(log_w).any():
        raise ValueError("all weights are zero: no draw lies where the target's energy is finite")
