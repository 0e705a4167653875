"""Populations of basins and free-energy differences between them, from log-weights, with 95 % intervals."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaincinv

#: Below this many effective samples a basin gets a bound instead of an interval.
MIN_EFFECTIVE = 10.0
_LOG_BIN = 0.01
_MAX_DISTINCT = 2_000


@dataclass(frozen=True)
class BasinPopulation:
    """The weighted population of one basin.

    Attributes:
        name: of the basin.
        population: its share of the total weight.
        low, high: 95 % bootstrap interval of the population. If `is_upper_bound`: low = 0 and high a
            one-sided 95 % upper bound.
        n_raw: draws in the basin with a weight above zero.
        n_effective: Kish's effective number of draws within the basin.
        delta_f_kT: free energy relative to the most populated basin, -ln(population ratio), in kT; inf for an
            empty basin.
        delta_f_low, delta_f_high: its 95 % interval; if `is_upper_bound`, delta_f_low is a one-sided lower
            bound and delta_f_high inf.
        is_upper_bound: fewer than 10 effective draws, so that no interval can be trusted.
    """

    name: str
    population: float
    low: float
    high: float
    n_raw: int
    n_effective: float
    delta_f_kT: float
    delta_f_low: float
    delta_f_high: float
    is_upper_bound: bool


@dataclass(frozen=True)
class FreeEnergyDifference:
    """F(end) - F(start) in kT with its 95 % interval.

    A basin with too few draws for an interval leaves one side of it infinite.
    """

    delta_f: float
    low: float
    high: float

    def times(self, unit: float) -> "FreeEnergyDifference":
        """The same in other units: `unit` is what one kT is, for instance ``units.kt(300.0)`` for kJ/mol."""
        return FreeEnergyDifference(self.delta_f * unit, self.low * unit, self.high * unit)


def basin_populations(
    labels: np.ndarray, log_w: np.ndarray, names: Sequence[str], *, n_replicates: int = 1000, seed: int = 0
) -> list[BasinPopulation]:
    """Weighted populations of basins with 95 % intervals.

    Intervals are percentiles of a bootstrap over the draws, normaliser included. A basin with fewer than 10
    effective draws gets a one-sided 95 % upper bound: see `upper_bound`.

    Args:
        labels: basin of each draw, int (n,), index into `names` or -1 for none of them.
        log_w: log-weights (n,); -inf is weight zero.
        names: names of the basins.
        n_replicates: bootstrap replicates.
        seed: of the bootstrap.

    Returns:
        One entry for each name, in order.
    """
    table = _Table.build(labels, log_w, names, n_replicates, seed)
    reference = int(np.argmax(table.population))
    rows = []
    for k, name in enumerate(names):
        population, n_effective, is_bound = (
            float(table.population[k]),
            float(table.n_effective[k]),
            table.is_rare(k),
        )
        if is_bound:
            low, high = 0.0, table.upper_bounds[k]
        else:
            low, high = np.quantile(table.replicates[:, k], (0.025, 0.975))
        delta = table.difference(reference, k)
        rows.append(
            BasinPopulation(
                name,
                population,
                float(low),
                float(high),
                int(table.n_raw[k]),
                n_effective,
                delta.delta_f,
                delta.low,
                delta.high,
                is_bound,
            )
        )
    return rows


def free_energy_difference(
    labels: np.ndarray,
    log_w: np.ndarray,
    names: Sequence[str],
    start: str,
    end: str,
    *,
    n_replicates: int = 1000,
    seed: int = 0,
) -> FreeEnergyDifference:
    """F(end) - F(start) = -ln(p_end / p_start) in kT, with its 95 % bootstrap interval.

    Arguments are those of `basin_populations`.

    Raises:
        ValueError: no basin of that name.
    """
    for name in (start, end):
        if name not in names:
            raise ValueError(f"no basin called {name!r}; this molecule has: {', '.join(names) or 'none'}")
    return _Table.build(labels, log_w, names, n_replicates, seed).difference(
        list(names).index(start), list(names).index(end)
    )


def upper_bound(weights: np.ndarray, largest: float, confidence: float = 0.95) -> float:
    """One-sided upper bound on the expected sum of a few weights, in the units of the weights.

    With y the sum and v the sum of squares of the weights (n,), and `largest` a weight that no draw of this
    kind exceeds (w_M): a gamma quantile with mean y + w_M and variance v + w_M^2, the upper limit of Fay &
    Feuer (Statistics in Medicine 16, 791, 1997) for a weighted sum of Poisson counts. For equal weights it is
    the exact Poisson limit; without any draw it is w_M ln 20, the "rule of three".
    """
    mean = float(weights.sum()) + largest
    variance = float(np.square(weights).sum()) + largest**2
    return variance / mean * float(gammaincinv(mean**2 / variance, confidence))


@dataclass(frozen=True)
class _Table:
    """Populations, bootstrap replicates (n_replicates, n_basins) and upper bounds of basins.

    The basins need not cover everything.
    """

    population: np.ndarray
    n_raw: np.ndarray
    n_effective: np.ndarray
    replicates: np.ndarray
    upper_bounds: np.ndarray

    @classmethod
    def build(
        cls, labels: np.ndarray, log_w: np.ndarray, names: Sequence[str], n_replicates: int, seed: int
    ) -> "_Table":
        labels, log_w = np.asarray(labels), np.asarray(log_w, dtype=np.float64)
        _check(labels, log_w, len(names))
        weights = np.exp(log_w - log_w.max())
        weights /= weights.sum()
        members = [weights[(labels == k) & (weights > 0)] for k in [*range(len(names)), -1]]
        sums = np.array([m.sum() for m in members])
        squares = np.array([np.square(m).sum() for m in members])
        rng = np.random.default_rng(seed)
        replicates = np.stack([bootstrap_sums(m, n_replicates, rng) for m in members], axis=1)
        largest = float(weights.max())
        return cls(
            population=sums[:-1],
            n_raw=np.array([len(m) for m in members])[:-1],
            n_effective=np.divide(sums**2, squares, out=np.zeros_like(sums), where=squares > 0)[:-1],
            replicates=replicates[:, :-1] / replicates.sum(axis=1, keepdims=True),
            upper_bounds=np.array([min(upper_bound(m, largest), 1.0) for m in members[:-1]]),
        )

    def is_rare(self, k: int) -> bool:
        return bool(self.n_effective[k] < MIN_EFFECTIVE)

    def difference(self, start: int, end: int) -> FreeEnergyDifference:
        """-ln(p_end / p_start), its interval, and a one-sided bound where one of the two is rare."""
        delta = _minus_log_ratio(self.population[end], self.population[start])
        if start == end:
            return FreeEnergyDifference(0.0, 0.0, 0.0)
        low, high = -math.inf, math.inf
        if not self.is_rare(start) and not self.is_rare(end):
            with np.errstate(divide="ignore"):  # a replicate may leave a basin empty
                ratios = np.log(self.replicates[:, start]) - np.log(self.replicates[:, end])
            low, high = (float(v) for v in np.quantile(ratios, (0.025, 0.975)))
        elif not self.is_rare(start):
            low = _minus_log_ratio(self.upper_bounds[end], self.population[start])
        elif not self.is_rare(end):
            high = _minus_log_ratio(self.population[end], self.upper_bounds[start])
        return FreeEnergyDifference(delta, low, high)


def bootstrap_sums(weights: np.ndarray, n_replicates: int, rng: np.random.Generator) -> np.ndarray:
    """Replicates (n_replicates,) of a sum of weights (n,): the Poisson bootstrap.

    Each is sum_i k_i w_i with k_i independent Poisson(1). The counts of draws that share a weight add up to
    one Poisson count, so that few random numbers do: beyond 2,000 draws, weights within 1 % of each other are
    given their mean. The sum stays exact, and the variance loses 1e-5 of itself.
    """
    values, counts = weights, np.ones(len(weights))
    if len(weights) > _MAX_DISTINCT:
        bins = np.unique(np.floor(np.log(weights) / _LOG_BIN), return_inverse=True)[1]
        counts = np.bincount(bins).astype(np.float64)
        values = np.bincount(bins, weights) / counts
    sums = np.empty(n_replicates)
    block = max(1, 1_000_000 // max(len(values), 1))
    for start in range(0, n_replicates, block):
        stop = min(start + block, n_replicates)
        sums[start:stop] = rng.poisson(counts, size=(stop - start, len(values))) @ values
    return sums


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
