"""Means under importance weights as `Result`: errors by the delta method or the bootstrap, 95 % intervals.

Every smooth estimate of the package is a weighted mean, or is one to first order: it comes with what each
draw adds to it, its *influence*, and `from_influence` makes the error and the interval of these.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
from scipy.optimize import brentq

from boltzgen.free_energy.bootstrap import bootstrap_t, resampled_sums
from boltzgen.free_energy.intervals import (
    NOT_ESTIMATED,
    Interval,
    WeightSum,
    has_limits,
    log_ratio_limit,
    share_interval,
)
from boltzgen.free_energy.result import MIN_EFFECTIVE, Result, joined, warnings_of
from boltzgen.weights import K_HAT_LIMIT, psis_k_hat, weighted_mean

#: How errors and intervals are made: by the delta method with limits for heavy tails, or by resampling.
Errors = Literal["analytic", "bootstrap"]
#: Above this PSIS k-hat draws' contributions have no finite variance, and a bootstrap does not converge
#: (Athreya, Ann. Statist. 15, 724, 1987).
_K_HAT_FINITE = 0.5
#: One draw's share of the sum of squares that makes a heavy tail matter.
_LARGEST_SHARE = 0.1


def expectation(
    values: np.ndarray,
    log_w: np.ndarray,
    *,
    errors: Errors = "analytic",
    unit: str = "",
    seed: int = 0,
) -> Result:
    """The target's mean of values (n,) of draws with log-weights (n,): sum w f / sum w.

    The error is the delta method's of a ratio, see `weights.weighted_mean`, or that of the bootstrap's
    replicates; the interval is that of `mean_interval`, or of the studentised bootstrap (`bootstrap`). The
    first holds for weights with a tail up to k-hat 0.7, the second up to 0.5.

    Args:
        values: one number for each draw; those of draws without weight do not count and may be NaN.
            Booleans count as 0 and 1; their analytic interval is that of `probability`.
        log_w: log-weights; -inf is weight zero.
        errors: ``"analytic"`` or ``"bootstrap"``.
        unit: of the values, for the result.
        seed: of the bootstrap.

    Raises:
        ValueError: shapes do not agree; a value with weight is not finite; log-weights that
            `checked_weights` refuses; no such `errors`.
    """
    weights = checked_weights(log_w)
    f = _checked_values(values, weights)
    mean, error = weighted_mean(f, weights)
    if checked_errors(errors) == "analytic" and np.asarray(values).dtype == bool:
        return replace(probability(values, log_w), unit=unit)
    if errors == "analytic":
        warnings = joined(warnings_of(log_w), tail_warnings(weights * (f - mean)))
        return result(mean, error, mean_interval(f, weights), warnings, unit=unit)
    used = weights > 0
    w, f = weights[used] * len(weights), f[used]
    columns = np.stack((w, w * f, w**2, w**2 * f, w**2 * f**2), axis=1)

    def replicates(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        z, zf, zz, zzf, zzff = sums.T
        means = zf / z
        return means, np.sqrt(np.maximum(zzff - 2 * means * zzf + means**2 * zz, 0.0)) / z

    warnings = joined(warnings_of(log_w), tail_warnings(w * (f - mean), errors))
    return bootstrapped(mean, error, columns, replicates, warnings, n=len(weights), seed=seed, unit=unit)


def probability(inside: np.ndarray, log_w: np.ndarray) -> Result:
    """The target's probability of a condition, from booleans (n,) and log-weights (n,).

    The interval is `intervals.share_interval`: with fewer than ten effective draws inside, or outside, it
    is a one-sided 95 % bound, and the result says so.
    """
    weights = checked_weights(log_w)
    inside = np.asarray(inside, dtype=bool)
    mean, error = weighted_mean(_checked_values(inside, weights), weights)
    here, there = WeightSum.build(weights[inside]), WeightSum.build(weights[~inside])
    found = share_interval(here, there, float(weights.max())) or NOT_ESTIMATED
    warnings = warnings_of(log_w)
    if (here.is_rare or there.is_rare) and found.is_estimated:
        side = "inside" if here.is_rare else "outside"
        warnings = joined(warnings, (f"fewer than 10 effective draws {side}: a one-sided 95 % bound",))
    return result(mean, error, found, warnings, unit="")


def from_influence(
    value: float, influence: np.ndarray, warnings: tuple[str, ...] = (), **fields: Any
) -> Result:
    """An estimate with the delta method's error, from the influence (n,) of each draw on it.

    The influence of a draw is n times the derivative of the estimate with respect to the draw's share of the
    sample (Hampel, J. Am. Stat. Assoc. 69, 383, 1974), less its mean; the estimate's error is their standard
    deviation over sqrt(n), and its interval `mean_interval` of them.
    """
    n = len(influence)
    centred = influence - influence.mean()
    error = math.sqrt(float(centred @ centred) / (n * (n - 1))) if n > 1 else math.inf
    found = mean_interval(centred, np.full(n, 1.0 / n))
    warnings = joined(warnings, tail_warnings(centred))
    shifted = Interval(value + found.low, value + found.high)
    return result(value, error, shifted, warnings, **fields)


def mean_interval(values: np.ndarray, weights: np.ndarray) -> Interval:
    """95 % interval of the mean of values (n,) under weights (n,), for heavy tails of their products.

    A value m is in it if the draws above m and those below may balance: if 0 is in the 95 % interval of
    ln(A / B), with the sums A = sum w (f - m) over f > m and B = sum w (m - f) over f < m, which are over
    different draws; see `intervals.log_ratio_interval`. Of a condition's mean this is the interval of
    `intervals.share_interval`. Not estimated with fewer than ten effective draws on either side, or where
    the larger one of the sums has PSIS k-hat above 0.7, or the other one of 1 or more; k-hat counts as in
    `side`.
    """
    used = weights > 0
    f, w = np.asarray(values, dtype=np.float64)[used], weights[used] / weights.max()
    mean = float(w @ f / w.sum())
    products = w * (f - mean)
    error = math.sqrt(float(products @ products)) / float(w.sum())
    if error <= 1e-14 * abs(mean) or error == 0:
        return Interval(mean, mean)
    above, below = side(products), side(-products)
    if not has_limits(above, below):
        return NOT_ESTIMATED
    k = above.k_hat, below.k_hat
    high = _crossing(lambda t: _limit(w * (f - mean - t * error), k))
    low = _crossing(lambda t: _limit(-w * (f - mean + t * error), k[::-1]))
    return Interval(mean - low * error, mean + high * error)


def side(products: np.ndarray) -> WeightSum:
    """The sum of those of products (n,) that are positive.

    Their k-hat is at most 0.5 where the largest has less than a tenth of the sum of squares. Products are no
    weights: those of many draws may end in a step, which looks like a tail and is none.
    """
    found = WeightSum.build(products)
    if found.n == 0 or not found.k_hat > _K_HAT_FINITE:
        return found
    square = found.total**2 / found.n_effective
    is_minor = found.largest**2 < _LARGEST_SHARE * square
    return replace(found, k_hat=_K_HAT_FINITE) if is_minor else found


def _limit(products: np.ndarray, k_hat: tuple[float, float]) -> float:
    """Upper limit of ln(A / B) of the positive products and the negative ones; -50 where A has too few."""
    a, b = _sum(products[products > 0], k_hat[0]), _sum(-products[products < 0], k_hat[1])
    return log_ratio_limit(a, b) if a.n > 1 and b.n > 1 else -50.0


def _sum(parts: np.ndarray, k_hat: float) -> WeightSum:
    total = float(parts.sum())
    size = total**2 / float(parts @ parts) if len(parts) else 0.0
    return WeightSum(len(parts), size, total, float(parts.max(initial=0.0)), k_hat)


def _crossing(falling: Callable[[float], float]) -> float:
    """Where a falling function, positive at 0, is zero."""
    end = 3.0
    while falling(end) > 0:
        end *= 2.0
    return float(brentq(falling, 0.0, end, xtol=3e-3))


def bootstrapped(
    value: float,
    error: float,
    columns: np.ndarray,
    replicates: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]],
    warnings: tuple[str, ...],
    *,
    n: int,
    seed: int,
    **fields: Any,
) -> Result:
    """An estimate with the bootstrap's error and its studentised interval.

    Args:
        value: the estimate.
        error: its analytic error.
        columns: (m, k), whose sums determine the estimate.
        replicates: estimates and errors (n_replicates,) of sums (n_replicates, k).
        warnings: what is known to be wrong.
        n: number of draws, those without weight included, which add nothing to the columns.
        seed: of the resampling.
        fields: of the result.
    """
    values, errors = replicates(resampled_sums(columns, n, seed))
    limits = bootstrap_t(value, error, values, errors)
    return result(value, float(np.std(values, ddof=1)), Interval(*limits), warnings, **fields)


def tail_warnings(contributions: np.ndarray, errors: str = "analytic", what: str = "") -> tuple[str, ...]:
    """Whether few draws decide a result, from what each contributes to it (n,), less the mean.

    Contributions are w (f - mean) of a mean. Where f is large for the draws of large weight they have a
    heavier tail than the weights (Vehtari et al., JMLR 25, 2024, section 2.4). Few decide with fewer than
    100 effective contributions, Kish's number of their sizes; or with a PSIS k-hat of the sizes above 0.7
    and more than a tenth of the sum of squares from one draw. For the bootstrap it is 200, and 0.5. The
    warning says `what` they decide, if it is not the result itself.
    """
    sizes = np.abs(contributions)
    largest = float(sizes.max(initial=0.0))
    if largest == 0:
        return ()
    sizes = sizes / largest
    square = float(sizes @ sizes)
    size = float(sizes.sum()) ** 2 / square
    with np.errstate(divide="ignore"):
        k_hat = psis_k_hat(np.log(sizes))
    is_resampled = errors == "bootstrap"
    least = (2 if is_resampled else 1) * MIN_EFFECTIVE
    limit = _K_HAT_FINITE if is_resampled else K_HAT_LIMIT
    if size >= least and not (k_hat > limit and 1.0 / square > _LARGEST_SHARE):
        return ()
    advice = '; `errors="analytic"` reaches further' if is_resampled else ""
    decided = f"few draws decide {what}".strip()
    shape = f", PSIS k-hat {k_hat:.2f}" if math.isfinite(k_hat) else ""
    return (f"{decided}: {size:.3g} effective contributions{shape}{advice}",)


def result(value: float, error: float, found: Interval, warnings: tuple[str, ...], **fields: Any) -> Result:
    """A result with an interval; one that is not estimated is a warning."""
    if not found.is_estimated:
        warnings = joined(
            warnings,
            (
                "the interval is not estimated: fewer than 10 effective draws on one side of the mean, or "
                "too heavy a tail of the draws' contributions",
            ),
        )
    return Result(value, error, found.low, found.high, warnings=warnings, **fields)


def checked_errors(errors: str) -> str:
    """`errors`, if it is one of `Errors`.

    Raises:
        ValueError: it is not.
    """
    if errors not in get_args(Errors):
        raise ValueError(f"expected `errors` to be one of {', '.join(get_args(Errors))}, got {errors!r}")
    return errors


def checked_weights(log_w: np.ndarray) -> np.ndarray:
    """Weights (n,) that sum to one.

    Raises:
        ValueError: log-weights of another shape than (n,), NaN or +inf, none, or all -inf.
    """
    log_w = np.asarray(log_w, dtype=np.float64)
    if log_w.ndim != 1 or len(log_w) == 0:
        raise ValueError(f"expected `log_w` of shape (n,) with n >= 1, got {log_w.shape}")
    if np.isnan(log_w).any() or np.isposinf(log_w).any():
        raise ValueError("`log_w` has NaN or +inf; expected finite values, or -inf for weight zero")
    if not np.isfinite(log_w).any():
        raise ValueError("all weights are zero: no draw lies where the target's energy is finite")
    weights = np.exp(log_w - log_w.max())
    return weights / weights.sum()


def _checked_values(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Values as float64 (n,), zero where there is no weight."""
    found = np.asarray(values, dtype=np.float64)
    if found.shape != weights.shape:
        raise ValueError(
            f"expected one value for each of {len(weights)} draws, got an array of shape {found.shape}; of "
            "several observables take one after the other"
        )
    n_bad = int((~np.isfinite(found[weights > 0])).sum())
    if n_bad:
        raise ValueError(f"{n_bad} values are not finite although their draws have weight")
    return np.where(weights > 0, found, 0.0)
