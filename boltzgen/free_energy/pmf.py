"""Potentials of mean force, F(s) = -kT ln p(s), in one and two dimensions, with 95 % bands."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from boltzgen.free_energy.intervals import WeightSum, share_interval
from boltzgen.free_energy.means import checked_weights
from boltzgen.free_energy.result import Result, warnings_of

#: Bins or points along each coordinate, of one coordinate and of two.
N_POINTS = (72, 36)
#: A density on a line covers the draws within so many standard deviations of the mean.
_WIDTH = 5.0


@dataclass(frozen=True, eq=False)
class Coordinate:
    """A coordinate of all draws.

    Attributes:
        values: (n,); those of draws without weight may be NaN.
        name, unit: for tables and axes.
        period: of a periodic one, in its unit; values may be of any turn.
    """

    values: np.ndarray
    name: str = "s"
    unit: str = ""
    period: float | None = None


@dataclass(frozen=True, eq=False)
class Pmf:
    """A density on a grid, and the potential of mean force that it is.

    Attributes:
        names, units, periods: of the one or two coordinates.
        centres: of the bins, or the points, of each coordinate.
        density: probability per unit of each coordinate, float64 (k,) or (k1, k2); a bin's is its mean.
        error: standard error of the density.
        low, high: 95 % interval of the density at each point by itself; low = 0 and a one-sided bound where
            there are fewer than ten effective draws; NaN: not estimated.
        bandwidths: standard deviation of the kernel along each coordinate; None of a histogram.
        temperature: in K, for results in other units than kT.
        warnings: why it may be wrong.
    """

    names: tuple[str, ...]
    units: tuple[str, ...]
    periods: tuple[float | None, ...]
    centres: tuple[np.ndarray, ...]
    density: np.ndarray
    error: np.ndarray
    low: np.ndarray
    high: np.ndarray
    bandwidths: tuple[float, ...] | None
    temperature: float | None
    warnings: tuple[str, ...]

    @property
    def free_energy(self) -> np.ndarray:
        """-ln(p / p_max) in kT, inf where the density is zero.

        p_max, the largest density of the grid, is taken as known.
        """
        return self._relative(self.density)

    @property
    def free_energy_error(self) -> np.ndarray:
        """Standard error of -ln p in kT: that of p over p; inf where the density is zero."""
        return np.divide(
            self.error, self.density, out=np.full_like(self.error, np.inf), where=self.density > 0
        )

    @property
    def free_energy_low(self) -> np.ndarray:
        """Lower end of the 95 % band of -ln(p / p_max) in kT."""
        return self._relative(self.high)

    @property
    def free_energy_high(self) -> np.ndarray:
        """Upper end of the band; inf where the density has only an upper bound."""
        return self._relative(self.low)

    def at(self, *point: float) -> Result:
        """F in kT at the bin, or the point, whose centre is nearest to a value of each coordinate.

        Raises:
            ValueError: not one value for each coordinate.
        """
        if len(point) != len(self.names):
            raise ValueError(f"expected a value of each of {', '.join(self.names)}, got {len(point)}")
        axes = zip(self.centres, point, self.periods, strict=True)
        index = tuple(int(np.argmin(np.abs(nearest(c - x, period)))) for c, x, period in axes)
        value, error, low, high = (
            float(array[index])
            for array in (
                self.free_energy,
                self.free_energy_error,
                self.free_energy_low,
                self.free_energy_high,
            )
        )
        low, high = (-math.inf, math.inf) if math.isnan(low) else (low, high)
        note = "relative to the most probable point of the grid, whose density is taken as known"
        return Result(value, error, low, high, "kT", self.temperature, self.warnings, (note,))

    def _relative(self, density: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore", invalid="ignore"):
            return math.log(self.density.max()) - np.log(density)


def histogram_pmf(
    coordinates: Sequence[Coordinate],
    log_w: np.ndarray,
    *,
    n_bins: int | None = None,
    ranges: Sequence[tuple[float, float]] | None = None,
    temperature: float | None = None,
) -> Pmf:
    """PMF along one or two coordinates from a weighted histogram.

    The density of a bin is its mean over the bin; the intervals are those of `intervals.share_interval`.

    Args:
        coordinates: one or two.
        log_w: log-weights (n,); -inf is weight zero.
        n_bins: along each coordinate; by default 72 of one and 36 of two.
        ranges: what is covered, for each coordinate; by default a whole period from minus its half, or the
            draws within five standard deviations of the mean. Draws elsewhere count in the whole.
        temperature: in K, for results in other units.

    Raises:
        ValueError: not one or two coordinates of n values, or log-weights that `means.checked_weights`
            refuses.
    """
    weights, values = weighted_values(coordinates, log_w)
    edges = equal_edges(coordinates, values, weights, n_bins, ranges)
    shape = tuple(len(e) - 1 for e in edges)
    label = np.zeros(len(weights), dtype=np.int64)
    inside = np.ones(len(weights), dtype=bool)
    for x, e, c in zip(values, edges, coordinates, strict=True):
        x = e[0] + np.mod(x - e[0], c.period) if c.period else x
        bins = np.searchsorted(e, x, side="right") - 1
        inside &= (bins >= 0) & (bins < len(e) - 1)
        label = label * (len(e) - 1) + np.clip(bins, 0, len(e) - 2)
    label = np.where(inside, label, -1)
    limits = np.full((4, math.prod(shape)), np.nan)
    largest, square, n = float(weights.max()), float(weights @ weights), len(log_w)
    for k in range(limits.shape[1]):
        here = label == k
        within = WeightSum.build(weights[here])
        p, part = within.total, float(np.square(weights[here]).sum())
        variance = max(part * (1 - 2 * p) + square * p**2, 0.0)
        limits[:2, k] = p, math.sqrt(variance * n / max(n - 1, 1))
        if found := share_interval(within, WeightSum.build(weights[~here]), largest):
            limits[2:, k] = found.low, found.high
    size = math.prod(float(e[1] - e[0]) for e in edges)
    centres = tuple((e[1:] + e[:-1]) / 2 for e in edges)
    return assembled(coordinates, centres, limits.reshape(4, *shape) / size, None, temperature, log_w)


def weighted_values(
    coordinates: Sequence[Coordinate], log_w: np.ndarray
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Weights that are not zero, and each coordinate's values of the draws that have them."""
    weights = checked_weights(log_w)
    if len(coordinates) not in (1, 2):
        raise ValueError(f"expected one or two coordinates, got {len(coordinates)}")
    used = weights > 0
    values = []
    for c in coordinates:
        x = np.asarray(c.values, dtype=np.float64)
        if x.shape != weights.shape:
            raise ValueError(f"expected {len(weights)} values of {c.name}, got an array of shape {x.shape}")
        if not np.isfinite(x[used]).all():
            raise ValueError(f"values of {c.name} are not finite although their draws have weight")
        values.append(x[used])
    return weights[used], values


def equal_edges(
    coordinates: Sequence[Coordinate],
    values: Sequence[np.ndarray],
    weights: np.ndarray,
    n_bins: int | None,
    ranges: Sequence[tuple[float, float]] | None,
) -> list[np.ndarray]:
    """Edges of equal bins along each coordinate."""
    n_bins = n_bins or N_POINTS[len(coordinates) - 1]
    if ranges is not None and len(ranges) != len(coordinates):
        raise ValueError(f"expected a range for each of {len(coordinates)} coordinates, got {len(ranges)}")
    found = []
    for k, (c, x) in enumerate(zip(coordinates, values, strict=True)):
        if ranges is not None:
            low, high = ranges[k]
        elif c.period:
            low, high = -c.period / 2, c.period / 2
        else:
            mean = float(weights @ x)
            width = max(_WIDTH * math.sqrt(float(weights @ np.square(x - mean))), 1e-9 * (1 + abs(mean)))
            low, high = max(float(x.min()), mean - width), min(float(x.max()), mean + width)
            low, high = low - 1e-6 * width, high + 1e-6 * width
        if not low < high:
            raise ValueError(f"expected a range of {c.name} with low < high, got {low} to {high}")
        found.append(np.linspace(low, high, n_bins + 1))
    return found


def nearest(difference: np.ndarray, period: float | None) -> np.ndarray:
    """Differences to the nearest image."""
    return difference - period * np.round(difference / period) if period else difference


def assembled(
    coordinates: Sequence[Coordinate],
    centres: tuple[np.ndarray, ...],
    found: np.ndarray,
    bandwidths: tuple[float, ...] | None,
    temperature: float | None,
    log_w: np.ndarray,
) -> Pmf:
    """A PMF from density, error, low and high, (4, ...)."""
    fields: dict[str, Any] = {
        name: tuple(getattr(c, name[:-1]) for c in coordinates) for name in ("names", "units", "periods")
    }
    density, error, low, high = found
    return Pmf(
        **fields,
        centres=centres,
        density=density,
        error=error,
        low=low,
        high=high,
        bandwidths=bandwidths,
        temperature=temperature,
        warnings=warnings_of(log_w),
    )
