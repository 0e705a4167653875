"""Missing modes: regions whose shares under the reference and under the weighted draws exclude each other.

A region is a basin, an arc of a periodic torsion, or the set of configurations whose log-weight exceeds all
but a few of the generator's draws: a mode without generator mass lies there, as its weight -u - log q is
large. Bounds on either side are one-sided, at a probability that leaves all regions of a kind together a
chance of about 1e-3 to be flagged although the two agree.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import gammainccinv, gammaincinv
from scipy.stats import norm, t

from boltzgen.free_energy.histograms import Histogram
from boltzgen.units import percent

FALSE_ALARMS = 1e-3
#: Shares within this factor of each other differ, but are no missing mode.
_FACTOR = 2.0
_ARCS = (30.0, 60.0, 120.0, 180.0)
_RANKS = (1, 10, 100)
#: A reference configuration is an outlier when its log-weight exceeds the largest that the generator drew by
#: this much.
_MARGIN = 3.0
_MIN_OUTLIERS = 3
_FORWARD_FACTOR = 0.25

Verdict = Literal["missing", "extra", ""]


@dataclass(frozen=True, eq=False)
class Drawn:
    """A generator's draws in the bins of a table.

    Attributes:
        weight, square: sums of normalised weights and of their squares, (n_bins,); weights sum to one.
        count: draws inside the domain, (n_bins,).
        largest: the largest single weight.
    """

    weight: np.ndarray
    square: np.ndarray
    count: np.ndarray
    largest: float

    @classmethod
    def build(cls, bins: np.ndarray, weights: np.ndarray, n_bins: int) -> "Drawn":
        """Of draws with bins and normalised weights (n,); a weight of zero is a draw outside the domain."""
        weight, square = (np.bincount(bins, w, minlength=n_bins) for w in (weights, np.square(weights)))
        return cls(weight, square, np.bincount(bins[weights > 0], minlength=n_bins), float(weights.max()))

    @property
    def raw(self) -> np.ndarray:
        """Shares of the draws as made, without weights, (n_bins,)."""
        return self.count / self.count.sum()

    def combined(self, bins: np.ndarray) -> "Drawn":
        """Sums over bins with coefficients 0 or 1, (m, n_bins)."""
        return Drawn(bins @ self.weight, bins @ self.square, bins @ self.count, self.largest)

    def error_of_share(self, share: np.ndarray) -> np.ndarray:
        """Standard errors (...) that shares (...) would have from draws of these weights."""
        return np.sqrt(np.clip(share * (1 - share), 0.0, None) * self.square.sum())

    def cumulative_error(self) -> np.ndarray:
        """Standard error of the cumulative share F at each bin's upper edge, (n_bins,).

        Its square is sum w^2 (1[below] - F)^2.
        """
        f, below = np.cumsum(self.weight), np.cumsum(self.square)
        return np.sqrt(below * (1 - f) ** 2 + np.maximum(below[-1] - below, 0.0) * f**2)


@dataclass(frozen=True)
class Finding:
    """One region of which reference and generator disagree about whether it is populated.

    Attributes:
        region: in words.
        verdict: "missing" from the generator, or "extra": populated by the generator alone.
        reference, reference_low, reference_high: share under the reference with its bounds.
        generator, generator_low, generator_high: the same under the generator's weights.
    """

    region: str
    verdict: Verdict
    reference: float
    reference_low: float
    reference_high: float
    generator: float
    generator_low: float
    generator_high: float

    def __str__(self) -> str:
        here = f"the reference has {100 * self.reference:.3g} %"
        there = f"the generator {100 * self.generator:.3g} %"
        if self.verdict == "missing":
            return (
                f"{self.region}: {here} (> {100 * self.reference_low:.2g} %), {there} (< "
                f"{100 * self.generator_high:.2g} %)"
            )
        return (
            f"{self.region}: {here} (< {100 * self.reference_high:.2g} %), {there} (> "
            f"{100 * self.generator_low:.2g} %)"
        )


def missing_basins(populations: Histogram, drawn: Drawn, names: list[str]) -> list[Finding]:
    """Basins that one side alone populates; the tables' last bin, of what lies in no basin, is tested too."""
    regions = np.eye(len(names) + 1)
    return compare([*(f"basin {name}" for name in names), "outside every basin"], populations, drawn, regions)


def missing_arcs(name: str, histogram: Histogram, drawn: Drawn, n_periodic: int) -> list[Finding]:
    """The arc of a periodic torsion about whose share the two sides disagree most, if they do.

    Arcs are 30, 60, 120 or 180 degrees wide; `n_periodic` is how many torsions are scanned in all.
    """
    n_bins = histogram.groups.shape[1]
    labels, regions = [], []
    for width in _ARCS:
        size = round(width / 360 * n_bins)
        for start in range(0, n_bins, max(1, n_bins // 36)):
            region = np.zeros(n_bins)
            region[(start + np.arange(size)) % n_bins] = 1.0
            low = -180.0 + 360.0 * start / n_bins
            high = low + width if low + width <= 180.0 else low + width - 360.0
            labels.append(f"{name} in [{low:g}, {high:g}) degrees")
            regions.append(region)
    found = compare(labels, histogram, drawn, np.array(regions), n_tests=n_periodic * len(labels))
    return sorted(found, key=lambda f: -abs(f.reference - f.generator))[:1]


def missing_weights(log_w: np.ndarray, log_w_reference: np.ndarray, group: np.ndarray) -> list[Finding]:
    """Regions of large log-weight: above the generator's largest, 10th and 100th largest.

    `group` are the reference's groups of walkers.
    """
    log_w = log_w[np.isfinite(log_w)]
    weights = np.exp(log_w - log_w.max())
    weights /= weights.sum()
    ordered = np.sort(log_w)[::-1]
    thresholds = [float(ordered[rank - 1]) for rank in _RANKS if rank <= len(ordered)]
    found = []
    for rank, threshold in zip(_RANKS, thresholds, strict=False):
        drawn = Drawn.build((log_w > threshold).astype(np.int64), weights, 2)
        above = (log_w_reference > threshold).astype(np.int64)
        sums = (
            np.bincount(2 * group + above, minlength=2 * (int(group.max()) + 1))
            .reshape(-1, 2)
            .astype(np.float64)
        )
        label = f"log-weights above the generator's {'largest' if rank == 1 else f'{rank}th largest'}"
        found += compare(
            [label], Histogram.normalised(sums), drawn, np.array([[0.0, 1.0]]), n_tests=len(thresholds)
        )
    return [f for f in found if f.verdict == "missing"]


def outliers(log_w: np.ndarray, log_w_reference: np.ndarray) -> str:
    """A sentence on reference configurations where the generator's density is far too low, or nothing.

    Empty if there are fewer than three and the generator has some density at each.
    """
    limit = float(log_w[np.isfinite(log_w)].max()) + _MARGIN
    above, without = int((log_w_reference > limit).sum()), int(np.isposinf(log_w_reference).sum())
    if above < _MIN_OUTLIERS and not without:
        return ""
    return (
        f"{above} of {len(log_w_reference)} reference configurations have log-weights more than {_MARGIN:g} "
        "above the largest of "
        f"{len(log_w)} draws ({without} of them infinite): the generator has next to no density there"
    )


def collapsed(forward_ess: float, reverse_ess: float) -> str:
    """A sentence if the forward effective sample size (a fraction) is far below the reverse one."""
    if forward_ess >= _FORWARD_FACTOR * reverse_ess:
        return ""
    return (
        f"forward ESS {percent(forward_ess, 2)} is far below the reverse {percent(reverse_ess)}: the "
        "reference visits what the generator does not"
    )


def compare(
    labels: list[str], histogram: Histogram, drawn: Drawn, regions: np.ndarray, *, n_tests: int | None = None
) -> list[Finding]:
    """Findings among regions (m, n_bins), each a sum of bins with coefficients 0 or 1.

    `n_tests` regions in all share the false alarms.
    """
    alpha = FALSE_ALARMS / (2 * (n_tests or len(labels)))
    p = regions @ histogram.probability
    p_low, p_high = walker_bounds(
        p, histogram.combined_error(regions), histogram.degrees_of_freedom, histogram.n_effective, alpha
    )
    there = drawn.combined(regions)
    q_low, q_high = weighted_bounds(there.weight, there.square, there.largest, alpha)
    found = []
    for k, label in enumerate(labels):
        verdict: Verdict = ""
        if p_low[k] > q_high[k] and p[k] > _FACTOR * there.weight[k]:
            verdict = "missing"
        elif q_low[k] > p_high[k] and there.weight[k] > _FACTOR * p[k]:
            verdict = "extra"
        if verdict:
            numbers = (float(v[k]) for v in (p, p_low, p_high, there.weight, q_low, q_high))
            found.append(Finding(label, verdict, *numbers))
    return found


def weighted_bounds(
    weight: np.ndarray, square: np.ndarray, largest: float, alpha: float
) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bounds, each missed with probability alpha, on expected sums of weights.

    Gamma quantiles as in `free_energy.populations.upper_bound`, from sums of weights and of their squares
    (m,), and a weight that no draw exceeds.
    """
    mean, variance = weight + largest, square + largest**2
    high = variance / mean * gammainccinv(mean**2 / variance, alpha)
    some = square > 0
    y, v = np.where(some, weight, 1.0), np.where(some, square, 1.0)
    return np.where(some, v / y * gammaincinv(y**2 / v, alpha), 0.0), np.minimum(high, 1.0)


def walker_bounds(
    share: np.ndarray, error: np.ndarray, dof: int, n_effective: float, alpha: float
) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bounds on shares (m,) whose standard errors come from dof + 1 groups of walkers.

    The error, widened by the ratio of Student's quantile to the normal one, is that of N = p (1 - p) /
    error^2 independent draws, at most the table's effective number; with k = N p of them inside, the bounds
    are those of a Poisson count.
    """
    wide = error * float(t.isf(alpha, dof) / norm.isf(alpha))
    with np.errstate(divide="ignore", invalid="ignore"):
        n = np.where(wide > 0, share * (1 - share) / np.square(wide), math.inf)
    n = np.clip(n, 1.0, max(1.0, min(n_effective, 1e12)))
    k = n * share
    low = np.where(k > 0, gammaincinv(np.maximum(k, 1e-12), alpha), 0.0) / n
    return low, np.minimum(gammainccinv(k + 1, alpha) / n, 1.0)
