"""95 % intervals of ratios of sums of weights, made to hold for few draws and for heavy weights.

A population is the ratio of two sums of weights, over the draws inside and outside of a basin; a free-energy
difference is the logarithm of the ratio of two basins'. The sums are independent: each draw is in one of
them. So every interval here is that of ln(A / B), from limits of A and of B alone.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import gammainc, gammaincinv

from boltzgen.weights import K_HAT_LIMIT, k_hat_of_tail, tail_size

#: Below this many effective draws a sum gets a bound instead of an interval.
MIN_EFFECTIVE = 10.0


@dataclass(frozen=True)
class WeightSum:
    """What the limits of a sum of weights depend on.

    Attributes:
        n: draws with a weight above zero.
        n_effective: Kish's effective number of draws, zero without any.
        total: sum of the weights.
        largest: largest weight, zero without any draw.
        k_hat: PSIS k-hat of the weights, NaN where they are too few; see `weights.psis_k_hat`.
    """

    n: int
    n_effective: float
    total: float
    largest: float
    k_hat: float

    @classmethod
    def build(cls, weights: np.ndarray) -> "WeightSum":
        """Of the weights (n,) of the draws in one region; those of weight zero do not count."""
        weights = weights[weights > 0]
        if len(weights) == 0:
            return cls(0, 0.0, 0.0, 0.0, math.nan)
        largest = float(weights.max())
        relative = weights / largest
        total, square = float(relative.sum()), float(relative @ relative)
        n_tail = tail_size(len(weights))
        k_hat = math.nan
        if len(weights) > n_tail:
            tail = np.partition(relative, len(weights) - n_tail - 1)[-n_tail - 1 :]
            k_hat = k_hat_of_tail(np.log(tail))
        return cls(len(weights), total**2 / square, total * largest, largest, k_hat)

    @property
    def is_rare(self) -> bool:
        """Fewer than 10 effective draws: too few for an interval."""
        return self.n_effective < MIN_EFFECTIVE

    def lower(self, alpha: float) -> float:
        """Lower limit of the expected sum, missed with probability alpha; see `upper`."""
        return self._limit(alpha, self.largest) if self.n else 0.0

    def upper(self, alpha: float, unseen: float) -> float:
        """Upper limit of the expected sum, missed with probability alpha.

        With y the sum and v the sum of squares of the weights, two gamma distributions enclose the expected
        sum: one of mean y and variance v, and one of mean y + w_M and variance v + w_M^2, which allows for a
        draw of weight w_M more (Fay & Feuer, Statistics in Medicine 16, 791, 1997). The limits are quantiles
        of their even mixture (Fay & Kim, Biometrical Journal 59, 377, 2017). For equal weights w = w_M they
        are the mid-p limits of a Poisson count.

        Args:
            alpha: probability to be missed.
            unseen: weight w_M of a draw that might have been made and was not; `largest` in a lower limit.
        """
        return self._limit(1.0 - alpha, unseen)

    def bound(self, alpha: float, unseen: float) -> float:
        """Upper limit from the second of the two distributions alone: for few draws, and for none.

        For equal weights it is the exact Poisson limit; without any draw w_M ln(1 / alpha), the "rule of
        three". Arguments are those of `upper`.
        """
        return self._gamma(1.0 - alpha, unseen)

    def _limit(self, level: float, unseen: float) -> float:
        """Quantile of the mixture: it lies between those of the two distributions, up to rounding."""
        first, second = sorted((self._gamma(level, 0.0), self._gamma(level, unseen)))
        low, high = first / second * (1 - 1e-9), 1 + 1e-9
        return second * float(brentq(lambda x: self._mixture(x * second, unseen) - level, low, high))

    def _mixture(self, x: float, unseen: float) -> float:
        """Distribution function of the even mixture."""
        shapes, scales = zip(self._shape_and_scale(0.0), self._shape_and_scale(unseen), strict=True)
        return float(np.mean(gammainc(shapes, x / np.array(scales))))

    def _gamma(self, level: float, unseen: float) -> float:
        """Quantile of the gamma distribution with a draw of weight `unseen` more."""
        shape, scale = self._shape_and_scale(unseen)
        return scale * float(gammaincinv(shape, level))

    def _shape_and_scale(self, unseen: float) -> tuple[float, float]:
        unit = max(self.total, unseen)
        y, w = self.total / unit, unseen / unit
        mean, variance = y + w, (y**2 / self.n_effective if self.n else 0.0) + w**2
        return mean**2 / variance, unit * variance / mean

    def unseen(self, k: float) -> float:
        """Weight of a draw beyond those made: largest / (1 - k), the mean beyond it of Pareto's tail."""
        return self.largest / (1.0 - k)


@dataclass(frozen=True)
class Interval:
    """Limits of ln(A / B). An infinite end is open; with both infinite nothing is estimated."""

    low: float
    high: float

    @property
    def is_estimated(self) -> bool:
        """At least one limit is known."""
        return math.isfinite(self.low) or math.isfinite(self.high)


NOT_ESTIMATED = Interval(-math.inf, math.inf)


def log_ratio_interval(a: WeightSum, b: WeightSum, largest: float) -> Interval:
    """95 % interval of ln(A / B) for the expected sums A and B of two disjoint regions.

    The limits of the two sums are combined by squares of their distances from the estimate, on the
    logarithmic scale (Zou & Donner, Statistics in Medicine 27, 1693, 2008). Each upper limit allows for one
    more draw, beyond the largest by 1 / (1 - k), with k the larger one of the two regions' PSIS k-hat, and
    at least zero.

    * Either sum with fewer than 10 effective draws: a one-sided 95 % bound, which allows for a draw of the
      largest weight of all; none if that is so of both.
    * Not estimated where k-hat is above 0.7 in the region with more draws, or 1 or above in the other. A
      stricter rule for the other would do harm: of a few tens of weights k-hat is uncertain by 0.2, and
      lowest when the large weights were missed.

    Args:
        a: sum over the first region.
        b: sum over the second region.
        largest: largest weight of all draws.
    """
    if _is_hopeless(a, b):
        return NOT_ESTIMATED
    if a.is_rare:
        return Interval(-math.inf, _upper(a, a.bound(0.05, largest), b, 0.05))
    if b.is_rare:
        return Interval(-_upper(b, b.bound(0.05, largest), a, 0.05), math.inf)
    return Interval(-log_ratio_limit(b, a), log_ratio_limit(a, b))


def _is_hopeless(a: WeightSum, b: WeightSum) -> bool:
    """Neither interval nor bound can be had, see `log_ratio_interval`."""
    fewer, more = sorted((a, b), key=lambda region: region.n)
    return more.k_hat > K_HAT_LIMIT or fewer.k_hat >= 1 or more.is_rare


def has_limits(a: WeightSum, b: WeightSum) -> bool:
    """Both limits of `log_ratio_interval` can be had."""
    return not (_is_hopeless(a, b) or a.is_rare or b.is_rare)


def log_ratio_limit(a: WeightSum, b: WeightSum) -> float:
    """Upper 97.5 % limit of ln(A / B), both of which have draws; see `log_ratio_interval`."""
    k = max((k for k in (a.k_hat, b.k_hat) if k > 0), default=0.0)
    return _upper(a, a.upper(0.025, a.unseen(k)), b, 0.025)


def share_interval(inside: WeightSum, outside: WeightSum, largest: float) -> Interval | None:
    """95 % interval of A / (A + B); None where it is not estimated.

    One-sided bounds, see `log_ratio_interval`, leave 0 or 1 at the other end.
    """
    found = log_ratio_interval(inside, outside, largest)
    if not found.is_estimated:
        return None
    return Interval(*(1.0 / (1.0 + math.exp(-v)) if v > -700 else 0.0 for v in (found.low, found.high)))


def percent_interval(low: float | None, high: float | None) -> str:
    """The interval of a share in percent, in words; None is one that is not estimated.

    >>> percent_interval(0.0123, 0.0234), percent_interval(0.0, 0.001), percent_interval(None, None)
    ('1.23 .. 2.34', '< 0.1', 'not estimated')
    """
    if low is None or high is None:
        return "not estimated"
    return f"{100 * low:.3g} .. {100 * high:.3g}" if low > 0 else f"< {100 * high:.3g}"


def _upper(a: WeightSum, high: float, b: WeightSum, alpha: float) -> float:
    """Upper limit of ln(A / B) from that of A, where b.total > 0; B's is missed with probability alpha."""
    if a.total <= 0:  # the limit of the expression below
        return math.log(high / b.total)
    distance = math.hypot(math.log(high / a.total), math.log(b.total / b.lower(alpha)))
    return math.log(a.total / b.total) + distance
