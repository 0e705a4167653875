"""F = -kT log Z, U, -T S = F - U and the heat capacity of one set of weighted draws, errors correlated.

All are configurational: of the integral of exp(-u) over shapes, see docs/conventions.md. The kinetic part is
not in them; it adds k T / 2 to U for every momentum, k / 2 to the heat capacity, and a constant to F.
"""

import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from boltzgen.free_energy.intervals import Interval
from boltzgen.free_energy.means import (
    Errors,
    bootstrapped,
    checked_errors,
    checked_weights,
    expectation,
    from_influence,
    mean_interval,
    result,
    tail_warnings,
)
from boltzgen.free_energy.result import Result, joined, warnings_of

#: Standard error in kT of the distance from the target below which few draws may decide it.
_KNOWN = 0.1
#: What every result here takes for granted.
NOTES = (
    "configurational: kinetic energy and momenta are not included",
    "of the molecule's domain, lengths in nm, positions with respect to dx / (8 pi^2 V)",
)


def free_energy(
    log_w: np.ndarray,
    *,
    temperature: float | None = None,
    errors: Errors = "analytic",
    seed: int = 0,
) -> Result:
    """F = -log Z in kT of the target, from log-weights (n,): Z is the mean weight.

    The interval is that of the mean weight, see `means.mean_interval`, on the logarithmic scale. Warnings are
    those of the weights, and `overlap_warnings`.

    Args:
        log_w: log-weights; -inf is weight zero, and such draws count in n.
        temperature: in K, for `Result.to`.
        errors: ``"analytic"`` or ``"bootstrap"``.
        seed: of the bootstrap.

    Raises:
        ValueError: log-weights that `means.checked_weights` refuses; no such `errors`.
    """
    n = len(log_w)
    relative = checked_weights(log_w) * n
    value = -_log_mean(log_w)
    error = float(np.std(relative, ddof=1)) / math.sqrt(n) if n > 1 else math.inf
    if checked_errors(errors) == "bootstrap":
        return _resampled("free_energy", value, error, np.zeros(n), log_w, temperature, seed)
    found = mean_interval(relative, np.full(n, 1.0 / n))
    shifted = Interval(value - _log(found.high), value - _log(found.low))
    warnings = joined(warnings_of(log_w), tail_warnings(relative - 1.0) or overlap_warnings(log_w))
    return result(value, error, shifted, warnings, temperature=temperature, notes=NOTES)


def overlap_warnings(log_w: np.ndarray) -> tuple[str, ...]:
    """Whether few draws decide how far the density that they are from is from the target.

    How far is the Kullback-Leibler divergence of the target from it, the target's mean of log w less log Z;
    importance sampling takes as many draws as its exponential (Chatterjee and Diaconis, Ann. Appl. Probab.
    28, 1099, 2018). Draw i adds w_i (log w_i - mean). Where few draws decide that, weights that are larger
    than all of those drawn may have been missed; the drawn ones alone look light then, and so does the error
    of log Z. Of draws that are reweighted from one temperature to another it is the same check that U has.

    Where the divergence is known to 0.1 kT there is nothing to be said: few draws of good weights would warn.
    """
    weights = checked_weights(log_w)
    d = np.where(weights > 0, log_w, 0.0)
    contributions = weights * (d - weights @ d)
    if math.sqrt(float(contributions @ contributions)) <= _KNOWN:
        return ()
    return tail_warnings(contributions, what="how far the generator is from the target")


def log_z(log_w: np.ndarray) -> Result:
    """log Z of the target, a pure number: -F / kT, with the errors and the warnings of `free_energy`."""
    f = free_energy(log_w)
    return replace(f, value=-f.value, low=-f.high, high=-f.low, unit="", notes=NOTES[1:])


def energy(
    u: np.ndarray,
    log_w: np.ndarray,
    *,
    temperature: float | None = None,
    errors: Errors = "analytic",
    seed: int = 0,
) -> Result:
    """U, the mean of the reduced energies u (n,), in kT. Other arguments are those of `free_energy`."""
    found = expectation(u, log_w, errors=errors, unit="kT", seed=seed)
    return replace(found, temperature=temperature, notes=NOTES)


def minus_ts(
    u: np.ndarray,
    log_w: np.ndarray,
    *,
    temperature: float | None = None,
    errors: Errors = "analytic",
    seed: int = 0,
) -> Result:
    """-T S = F - U in kT; the entropy is S / k = -value.

    The errors of F and U, of the same draws, are correlated: the error is that of their difference, in which
    draw i has the influence -v_i (1 + u_i - U), v_i its weight over the mean weight. Arguments are those of
    `energy`.
    """
    n, weights = len(log_w), checked_weights(log_w)
    mean = expectation(u, log_w).value
    d = _deviations(u, weights, mean)
    value = -_log_mean(log_w) - mean
    warnings = joined(warnings_of(log_w), overlap_warnings(log_w))
    found = from_influence(value, -n * weights * (1.0 + d), warnings, temperature=temperature, notes=NOTES)
    if checked_errors(errors) == "analytic":
        return found
    return _resampled("minus_ts", value, found.error, d, log_w, temperature, seed)


def heat_capacity(u: np.ndarray, log_w: np.ndarray, *, errors: Errors = "analytic", seed: int = 0) -> Result:
    """Configurational heat capacity at constant volume over k, the variance of the reduced energies u (n,).

    The weighted variance over 1 - sum w^2, which takes away the bias of finite n_effective. It is that of a
    potential energy that does not depend on the temperature. Times the gas constant it is molar. Arguments
    are those of `energy`.
    """
    weights = checked_weights(log_w)
    d = _deviations(u, weights, expectation(u, log_w).value)
    unbiased = 1.0 / (1.0 - float(weights @ weights))
    found = expectation(unbiased * d**2, log_w, unit="k")
    if checked_errors(errors) == "analytic":
        return replace(found, notes=NOTES)
    return _resampled("heat_capacity", found.value, found.error, d, log_w, None, seed)


Estimated = tuple[np.ndarray, np.ndarray]


def _resampled(
    name: str,
    value: float,
    error: float,
    d: np.ndarray,
    log_w: np.ndarray,
    temperature: float | None,
    seed: int,
) -> Result:
    """The bootstrap of one state function, of energies less their mean (n,)."""
    n = len(log_w)
    v = checked_weights(log_w) * n
    used = v > 0
    w, x = v[used], d[used]
    columns = np.stack([w, w * x, w * x**2, *(w**2 * x**k for k in range(5))], axis=1)
    influence = {
        "free_energy": v,
        "minus_ts": v * (1.0 + d),
        "heat_capacity": v * (d**2 - float(v @ d**2) / n),
    }[name]
    few = tail_warnings(influence - influence.mean(), "bootstrap")
    if name != "heat_capacity":
        few = few or overlap_warnings(log_w)
    warnings = joined(warnings_of(log_w), few)
    # The statistics are of weights over the mean weight and of energies less their mean.
    is_capacity = name == "heat_capacity"
    offset, scale = (0.0, value / (float(v @ d**2) / n)) if is_capacity else (value, 1.0)

    def replicates(sums: np.ndarray) -> Estimated:
        values, errors = _STATISTICS[name](sums / n, n)
        return offset + scale * values, scale * errors

    return bootstrapped(
        value,
        error,
        columns,
        replicates,
        warnings,
        n=n,
        seed=seed,
        unit="k" if is_capacity else "kT",
        temperature=temperature,
        notes=NOTES,
    )


def _free_energy_of(means: np.ndarray, n: int) -> Estimated:
    z, square = means[:, 0], means[:, 3]
    return -np.log(z), np.sqrt(np.maximum(square / z**2 - 1.0, 0.0) / n)


def _minus_ts_of(means: np.ndarray, n: int) -> Estimated:
    z, zd, _, s0, s1, s2 = means[:, :6].T
    shift = 1.0 - zd / z  # the influence is 1 - (v / z) (shift + d)
    square = (shift**2 * s0 + 2 * shift * s1 + s2) / z**2
    return -np.log(z) - zd / z, np.sqrt(np.maximum(square - 1.0, 0.0) / n)


def _heat_capacity_of(means: np.ndarray, n: int) -> Estimated:
    z, zd, zdd, *s = means.T
    m = zd / z
    c = zdd / z - m**2
    second = s[2] - 2 * m * s[1] + m**2 * s[0]
    fourth = s[4] - 4 * m * s[3] + 6 * m**2 * s[2] - 4 * m**3 * s[1] + m**4 * s[0]
    square = (fourth - 2 * c * second + c**2 * s[0]) / z**2
    return c, np.sqrt(np.maximum(square, 0.0) / n)


_STATISTICS: dict[str, Callable[[np.ndarray, int], Estimated]] = {
    "free_energy": _free_energy_of,
    "minus_ts": _minus_ts_of,
    "heat_capacity": _heat_capacity_of,
}


def _deviations(u: np.ndarray, weights: np.ndarray, mean: float) -> np.ndarray:
    """u less its mean, zero where there is no weight."""
    return np.where(weights > 0, np.nan_to_num(u, posinf=0.0, neginf=0.0) - mean, 0.0)


def _log_mean(log_w: np.ndarray) -> float:
    """Logarithm of the mean weight."""
    largest = float(np.max(log_w))
    return largest + math.log(float(np.exp(log_w - largest).mean()))


def _log(x: float) -> float:
    return math.log(x) if x > 0 else -math.inf
