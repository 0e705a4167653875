"""Importance weights: their diagnostics, the partition function and weighted means.

Everything here works on log-weights ``log_w = -u - log_q`` of draws from q, computes in float64 and in log
space, and accepts -inf for a draw of weight zero (one outside the target's domain).
"""

import math

import numpy as np
import torch
from scipy.special import logsumexp
from torch import Tensor

#: Tenths of the draws whose efficiencies differ by this factor are decided by a few draws; where there are as
#: many effective ones as this, fewer scatter by themselves.
_WIDE_SPREAD, _SPREAD_DRAWS = 4.0, 100.0
#: Above this PSIS k-hat, estimates are unreliable at any practical number of draws.
K_HAT_LIMIT = 0.7
#: Above this one their errors shrink more slowly than 1 / sqrt(n): the weights have no finite variance.
_K_HAT_GOOD = 0.5
#: Share of the weights that are clipped for a diagnostic.
CLIPPED = 1e-4


def with_error(value: float, error: float) -> str:
    """The value to the second significant digit of its standard error.

    >>> with_error(0.26134, 0.0021)
    '0.2613 ± 0.0021'
    """
    if not (math.isfinite(error) and error > 0):
        return f"{value:.6g} ± {error:g}"
    digits = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:.{digits}f} ± {error:.{digits}f}"


def log_weights(u: Tensor, log_q: Tensor) -> Tensor:
    """``log_w = -u - log_q``, float64 (...): weight zero, -inf, where u is not finite.

    Args:
        u: reduced energies (...) in kT.
        log_q: log-densities (...) of the draws.

    Raises:
        ValueError: log_q is NaN or -inf where u is finite: such a draw has no weight, finite or zero.
    """
    u, log_q = u.detach().double(), log_q.detach().double()
    finite = torch.isfinite(u)
    bad = finite & (torch.isnan(log_q) | (log_q == -math.inf))
    if bad.any():
        raise ValueError(
            f"{int(bad.sum())} of {bad.numel()} draws have a finite energy but a log-density of NaN or "
            "-inf; check the flow's log_prob"
        )
    return torch.where(finite, -u - log_q, -math.inf)


def normalized_weights(log_w: Tensor) -> Tensor:
    """Weights that sum to one, float64 (n,), of log-weights (n,).

    Raises:
        ValueError: a log-weight is NaN or +inf, there are none, or all are -inf. So do all functions below.

    >>> normalized_weights(torch.tensor([0.0, math.log(3.0), -math.inf]))
    tensor([0.2500, 0.7500, 0.0000], dtype=torch.float64)
    """
    return torch.softmax(_checked(log_w), dim=0)


def effective_sample_size(log_w: Tensor) -> float:
    """Kish's effective sample size (sum w)^2 / sum w^2, between 1 and n (Kish, Survey Sampling, 1965)."""
    return 1.0 / float(normalized_weights(log_w).square().sum())


def sampling_efficiency(log_w: Tensor) -> float:
    """Effective sample size over the number of draws, those of weight zero included; between 0 and 1."""
    return effective_sample_size(log_w) / log_w.numel()


def largest_weight_share(log_w: Tensor) -> float:
    """The largest weight's share of the whole, between 0 and 1."""
    return float(normalized_weights(log_w).max())


def sampling_efficiency_of_blocks(log_w: Tensor, n_blocks: int = 10) -> Tensor:
    """The efficiency of each of `n_blocks` equal blocks of draws, in the order drawn; float64 (n_blocks,).

    Blocks that differ by much hold a few large weights between them, and the efficiency of all draws is as
    uncertain. Up to n_blocks - 1 draws at the end are left out; a block without weight has efficiency zero.

    Raises:
        ValueError: fewer draws than blocks.
    """
    values = _checked(log_w)
    size = len(values) // n_blocks
    if size == 0:
        raise ValueError(f"expected at least one draw for each of {n_blocks} blocks, got {len(values)}")
    weights = torch.exp(values - values.max())[: size * n_blocks].view(n_blocks, size)
    total, square = weights.sum(1), weights.square().sum(1)
    return torch.where(square > 0, total.square() / square.clamp(min=1e-300), 0.0) / size


def psis_k_hat(log_w: np.ndarray) -> float:
    """Pareto shape k of the largest importance weights.

    Above 0.7, estimates from them are unreliable at any practical number of draws. k is that of the
    generalised Pareto distribution fitted to the min(n / 5, 3 sqrt(n)) largest weights' excess over the next
    one (Vehtari, Simpson, Gelman, Yao and Gabry, JMLR 25, 2024, arXiv:1507.02646). NaN for fewer than 5
    weights in the tail, -inf if those are equal.
    """
    log_w = np.asarray(log_w, dtype=np.float64)
    finite = log_w[np.isfinite(log_w)]
    n_tail = tail_size(len(log_w))
    if len(finite) <= n_tail:
        return math.nan
    return k_hat_of_tail(np.partition(finite, len(finite) - n_tail - 1)[-n_tail - 1 :])


def tail_size(n: int) -> int:
    """How many of n weights `psis_k_hat` is fitted to."""
    return math.ceil(min(0.2 * n, 3 * math.sqrt(n)))


def k_hat_of_tail(largest: np.ndarray) -> float:
    """`psis_k_hat` of the largest log-weights: the tail, and the next one."""
    if len(largest) < 6:
        return math.nan
    largest = np.sort(largest)
    tail = np.exp(largest - largest[-1])
    excess = tail[1:] - tail[0]
    excess = excess[excess > 0]
    return pareto_shape(excess) if len(excess) >= 5 else -math.inf


def pareto_shape(x: np.ndarray) -> float:
    """Shape k of the generalised Pareto distribution from which positive x (n,) were drawn.

    k > 0 has a power-law tail of index 1 / k. The quasi-Bayesian estimator of Zhang and Stephens
    (Technometrics 51, 316, 2009): an average over candidates b = -k / sigma, weighted by their profile
    likelihood; then shrunk towards 0.5 by the weight of ten observations, as Vehtari et al. do.
    """
    x = np.sort(np.asarray(x, dtype=np.float64))
    n = len(x)
    n_candidates = 30 + math.isqrt(n)
    b = 1.0 / x[-1] + (1.0 - np.sqrt(n_candidates / (np.arange(1, n_candidates + 1) - 0.5))) / (
        3.0 * x[int(n / 4 + 0.5) - 1]
    )
    k = np.log1p(-b[:, None] * x).mean(axis=1)
    with np.errstate(invalid="ignore"):
        ratio = np.where(b == 0, 1.0 / x.mean(), -b / k)  # b -> 0 is the exponential distribution
    log_likelihood = n * (np.log(ratio) - k - 1.0)
    weights = np.exp(log_likelihood - logsumexp(log_likelihood))
    shape = float(np.log1p(-(b @ weights) * x).mean())
    return (n * shape + 10 * 0.5) / (n + 10)


def k_hat_meaning(k_hat: float | None) -> str:
    """What a PSIS k-hat says of averages over the draws, in words; None and NaN where there is none.

    The limits are those of Vehtari, Simpson, Gelman, Yao and Gabry (JMLR 25, 2024, arXiv:1507.02646).

    >>> [k_hat_meaning(k).split(":")[0] for k in (-math.inf, 0.5, 0.51, 0.7, 0.71, math.nan, None)]
    ['good', 'good', 'fair', 'fair', 'bad', 'not estimated', 'not estimated']
    """
    if k_hat is None or math.isnan(k_hat):
        return "not estimated: too few draws, or equal weights"
    if k_hat <= _K_HAT_GOOD:
        return "good: no few draws decide the averages"
    if k_hat <= K_HAT_LIMIT:
        return "fair: averages settle slowly with more draws"
    return "bad: a few large weights decide the averages, which are unreliable however many draws there are"


def clip_log_weights(log_w: Tensor, fraction: float = CLIPPED) -> Tensor:
    """Log-weights (n,), float64, with the top `fraction` of them set to the smallest among that top.

    Their order is kept. floor(n * fraction) weights are touched, so none below n = 1 / fraction, and with one
    nothing changes. This biases every estimate made from them: it is a diagnostic of how much of a low
    efficiency is due to single outliers (the convention of TA-BG, Schopmans & Friederich 2025,
    arXiv:2501.19077).
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"expected a fraction of weights to clip in [0, 1), got {fraction}")
    values = _checked(log_w)
    n_clipped = min(math.floor(values.numel() * fraction + 1e-9), int(torch.isfinite(values).sum()))
    if n_clipped == 0:
        return values.clone()
    return values.clamp(max=torch.topk(values, n_clipped).values[-1])


def log_z(log_w: Tensor) -> tuple[float, float]:
    """log Z of the target on its domain, and its standard error: the log of the mean weight, Z = E_q[w].

    The error is the delta method's, std(w) / (sqrt(n) mean(w)) = sqrt((n / ESS - 1) / (n - 1)); inf for one
    draw. It is as reliable as the largest weights are well sampled: read it together with
    `largest_weight_share`.
    """
    values = _checked(log_w)
    n = values.numel()
    estimate = float(torch.logsumexp(values, dim=0)) - math.log(n)
    return estimate, log_z_error(n, effective_sample_size(values))


def log_z_error(n: int, size: float) -> float:
    """Standard error of log Z from n weights of an effective sample size."""
    return math.inf if n == 1 else math.sqrt(max(n / size - 1.0, 0.0) / (n - 1))


def resampled_indices(log_w: Tensor, n: int, seed: int = 0) -> Tensor:
    """n indices, int64 (n,), drawn independently with probabilities proportional to the weights."""
    if n < 1:
        raise ValueError(f"expected to draw at least one conformation, got n = {n}")
    cumulative = normalized_weights(log_w).cumsum(0).cpu()
    points = (
        torch.rand(n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * cumulative[-1]
    )
    # right=True: a point equal to a boundary belongs to the next draw, so draws of weight zero are never
    # chosen.
    return torch.searchsorted(cumulative, points, right=True).to(log_w.device)


def weighted_mean(values: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Mean of values (n,) under weights (n,) that sum to one, and its standard error, in the values' unit.

    Values of weight zero do not count, whatever they are (NaN included). The error is the delta method's of a
    ratio, sqrt(n / (n - 1) sum w^2 (f - mean)^2) (Owen, Monte Carlo theory, methods and examples, 2013,
    chapter 9); inf for one draw.
    """
    used = weights > 0
    f, w = values[used].astype(np.float64), weights[used]
    mean = float(w @ f)
    n = len(weights)
    error = math.sqrt(n / (n - 1) * float(np.square(w * (f - mean)).sum())) if n > 1 else math.inf
    return mean, error


def _checked(log_w: Tensor) -> Tensor:
    """`log_w` as float64 (n,) without gradient; ValueError unless it can be normalised."""
    values = usable(log_w)
    if values.numel() == 0:
        raise ValueError("expected log-weights of shape (n,) with n >= 1, got (0,)")
    if (values == -math.inf).all():
        raise ValueError(weightless(values.numel()))
    return values


def usable(log_w: Tensor) -> Tensor:
    """`log_w` as float64 (n,) without gradient; ValueError if one is NaN or +inf."""
    if log_w.dim() != 1:
        raise ValueError(f"expected log-weights of shape (n,) with n >= 1, got {tuple(log_w.shape)}")
    values = log_w.detach().double()
    n_bad = int((values.isnan() | (values == math.inf)).sum())
    if n_bad:
        raise ValueError(
            f"{n_bad} of {values.numel()} log-weights are NaN or +inf; expected finite values, or -inf for "
            "weight zero"
        )
    return values


def tenths_differ(low: float | None, high: float | None, n_effective: float) -> bool:
    """Whether the efficiencies of tenths of the draws, from low to high, say that a few draws decide them.

    Args:
        low: the least; None where it is not known.
        high: the largest, likewise.
        n_effective: effective draws of all.
    """
    if low is None or high is None:
        return False
    return low * _WIDE_SPREAD < high and n_effective > _SPREAD_DRAWS


def weightless(n: int) -> str:
    """What to say of n weights that are all zero."""
    return (
        f"all {n} weights are zero: no draw lies where the target's energy is finite; train longer, or draw "
        "more"
    )
