"""Free-energy profiles along one quantity, a length or a torsion: weighted histograms with errors."""

import csv
import io
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from boltzgen.free_energy.intervals import WeightSum, share_interval
from boltzgen.free_energy.result import warnings_of_weights
from boltzgen.storage import write_atomically

#: Bins of a profile, and how many standard deviations about the mean it covers at most.
_N_BINS = 50
WIDTH = 5.0


@dataclass(frozen=True)
class Profile:
    """A weighted histogram of a length, or of another quantity in its own unit.

    Attributes:
        edges: of equal bins, (n_bins + 1,) in nm, of torsions in degrees.
        probability: share of the whole weight in each bin, (n_bins,).
        error: standard error of each share, (n_bins,); NaN: not estimated, see `result.warnings_of`.
        low, high: 95 % interval of each share, (n_bins,), see `intervals.log_ratio_interval`; where a bin has
            fewer than 10 effective draws low = 0, and high is a one-sided bound. NaN: not estimated.
        counts: draws with a weight above zero in each bin, int (n_bins,).
        n_effective: effective number of draws, 1 / sum w^2.
    """

    edges: np.ndarray
    probability: np.ndarray
    error: np.ndarray
    low: np.ndarray
    high: np.ndarray
    counts: np.ndarray
    n_effective: float

    @property
    def centres(self) -> np.ndarray:
        """Centres of the bins, (n_bins,) in the unit of `edges`."""
        return (self.edges[1:] + self.edges[:-1]) / 2

    @property
    def free_energy(self) -> np.ndarray:
        """-ln p relative to the most probable bin, (n_bins,) in kT; inf where no draw fell."""
        return self._relative(self.probability)

    @property
    def free_energy_interval(self) -> np.ndarray:
        """95 % interval of -ln p, (2, n_bins) in kT; inf: open, NaN: not estimated.

        The most probable bin's share, to which it is relative, is taken as known.
        """
        return self._relative(np.stack((self.high, self.low)))

    @property
    def free_energy_error(self) -> np.ndarray:
        """Standard error of -ln p, (n_bins,) in kT: that of p over p; inf where no draw fell.

        NaN: not estimated.
        """
        open_ended = np.where(np.isnan(self.error), np.nan, np.inf)
        return np.divide(self.error, self.probability, out=open_ended, where=self.probability > 0)

    def _relative(self, share: np.ndarray) -> np.ndarray:
        with np.errstate(divide="ignore"):
            return np.log(self.probability.max()) - np.log(share)


def profile(
    values: np.ndarray,
    weights: np.ndarray,
    n_bins: int = _N_BINS,
    *,
    limits: tuple[float, float] | None = None,
) -> Profile:
    """Histogram of values (n,) under weights (n,) that sum to one.

    It covers the draws with weight that lie within 5 standard deviations of the mean, or what lies between
    `limits`. A share's error is that of a ratio, p_err^2 = sum w^2 (1[inside] - p)^2; where
    `result.warnings_of` warns of the weights it is not estimated.
    """
    used = weights > 0
    f, w = values[used].astype(np.float64), weights[used]
    if limits is None:
        mean = float(w @ f)
        width = max(WIDTH * math.sqrt(float(w @ np.square(f - mean))), 1e-4)
        limits = max(f.min(), mean - width) - 1e-6, min(f.max(), mean + width) + 1e-6
    edges = np.linspace(*limits, n_bins + 1)
    p, square = (np.histogram(f, edges, weights=v)[0] for v in (w, np.square(w)))
    error = share_error(p, square, float(np.square(w).sum()))
    if warnings_of_weights(weights):
        error[:] = np.nan
    low, high = _intervals((np.digitize(f, edges) - 1).astype(np.int16), w, n_bins)
    return Profile(edges, p, error, low, high, np.histogram(f, edges)[0], 1.0 / float(np.square(w).sum()))


def share_error(share: np.ndarray, square: np.ndarray, whole: float) -> np.ndarray:
    """Standard errors (n,) of shares p of the weight, sqrt(sum w^2 (1[inside] - p)^2).

    Args:
        share: of each bin, (n,).
        square: sum of the squared weights in each, (n,).
        whole: sum of all squared weights.
    """
    return np.sqrt(np.maximum(square * (1 - 2 * share) + whole * share**2, 0.0))


def _intervals(labels: np.ndarray, weights: np.ndarray, n_bins: int) -> np.ndarray:
    """Limits (2, n_bins) of the shares of bins, of draws with labels and weights (n,)."""
    largest = float(weights.max())
    limits = np.full((2, n_bins), np.nan)
    for k in range(n_bins):
        here = labels == k
        inside, outside = WeightSum.build(weights[here]), WeightSum.build(weights[~here])
        if found := share_interval(inside, outside, largest):
            limits[:, k] = found.low, found.high
    return limits


def save_profile(
    found: Profile, name: str, path: Path, *, unit: str = "kT", one_kt: float = 1.0, along: str = "nm"
) -> None:
    """One row for each bin, as CSV; what is not estimated leaves its cells empty.

    Args:
        found: the profile.
        name: of the quantity.
        path: of the file.
        unit: of energy.
        one_kt: what one kT is in it.
        along: unit of the quantity; empty if it has none.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([f"{name}_{along}" if along else name, *profile_columns(unit)])
    writer.writerows(profile_rows(found, one_kt))
    write_atomically(path, text.getvalue().encode())


def profile_columns(unit: str) -> list[str]:
    """Names of the columns that follow the quantity's, with energies in this unit."""
    energies = ("free_energy", "free_energy_error", "free_energy_low", "free_energy_high")
    return [*(f"{name}_{unit}" for name in energies), "probability", "probability_error", "count"]


def profile_rows(found: Profile, one_kt: float) -> list[list[object]]:
    """The centre of each bin and the values of its columns, as they are written."""
    energies = (found.free_energy, found.free_energy_error, *found.free_energy_interval)
    columns = (found.centres, *(one_kt * e for e in energies), found.probability, found.error)
    return [
        [*("" if math.isnan(v) else f"{v:.8g}" for v in row), count]
        for row, count in zip(np.stack(columns, axis=1), found.counts.tolist(), strict=True)
    ]
