"""How far samples are from a reference: pure functions of arrays, float64 and in log space.

`log_w` are a generator's log-weights -u - log q of its own draws, `log_w_reference` the same of a reference's
configurations. Shares of bins (n_bins,) sum to one.
"""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp
from scipy.stats import norm, t

from boltzgen.free_energy.histograms import jackknife_error

#: Added to both shares in `kl_divergence`, as in the papers that report Ramachandran divergences.
EPSILON = 1e-10


def forward_ess(log_w_reference: np.ndarray) -> float:
    """Forward effective sample size 1 / (E_p[w] E_p[1 / w]), a fraction in [0, 1].

    From the log-weights (n,) of samples of the target p. Where q covers p it estimates the same number as the
    reverse efficiency E_q[w]^2 / E_q[w^2], but it sees the modes of p that q never draws (Blessing et al.,
    ICML 2024, arXiv:2406.07423). Zero if q has no density at one of the samples.
    """
    log_w = np.asarray(log_w_reference, dtype=np.float64)
    if np.isposinf(log_w).any():
        return 0.0
    return float(np.exp(2 * math.log(len(log_w)) - logsumexp(log_w) - logsumexp(-log_w)))


def eubo(log_w_reference: np.ndarray, group: np.ndarray) -> tuple[float, float]:
    """Evidence upper bound E_p[-u - log q] >= log Z, and its standard error; EUBO - log Z is KL(p || q).

    From log-weights and groups of independent walkers (n,); see `grouped_mean` for the error, and Blessing et
    al. (2024) for the bound. Infinite if q has no density at one of the samples.
    """
    return grouped_mean(log_w_reference, group)


def grouped_mean(values: np.ndarray, group: np.ndarray) -> tuple[float, float]:
    """Mean of values (n,) and its jackknife error over independent groups (n,).

    The error of a single group, or of a mean that is not finite, is NaN.
    """
    values = np.asarray(values, dtype=np.float64)
    mean = float(values.mean())
    if not math.isfinite(mean):
        return mean, math.nan
    group = np.unique(group, return_inverse=True)[1].reshape(-1)
    counts = np.bincount(group)
    if len(counts) < 2:
        return mean, math.nan
    # About the mean, so that no digits cancel.
    return mean, float(jackknife_error(np.bincount(group, values - mean)[:, None], counts)[0])


def kl_divergence(p: np.ndarray, q: np.ndarray, epsilon: float = EPSILON) -> float:
    """KL(p || q) = sum p ln((p + epsilon) / (q + epsilon)) of shares p (the reference's) and q, in nats."""
    p, q = np.ravel(p), np.ravel(q)
    return float((p * np.log((p + epsilon) / (q + epsilon))).sum())


def total_variation(p: np.ndarray, q: np.ndarray) -> float:
    """TV = sum |p - q| / 2 of shares p and q, between 0 and 1; one less it is their overlap."""
    return float(np.abs(np.ravel(p) - np.ravel(q)).sum() / 2)


def wasserstein_1(p: np.ndarray, q: np.ndarray, edges: np.ndarray) -> float:
    """W1 = integral of |F - G|, in the unit of the edges, of shares p and q spread evenly in their bins.

    Shares are (n_bins,), edges (n_bins + 1,). Open bins at the ends (an infinite edge) are taken to be as
    wide as their neighbours. Where F - G changes sign the straight line between edges is integrated exactly.
    """
    width = np.diff(edges)
    width = np.where(np.isfinite(width), width, width[np.isfinite(width)].mean())
    gap = np.concatenate(([0.0], np.cumsum(np.ravel(p) - np.ravel(q))))
    a, b = gap[:-1], gap[1:]
    same = a * b >= 0
    total = np.abs(a) + np.abs(b)
    crossing = (a**2 + b**2) / np.where(total > 0, total, 1.0)
    return float((width * np.where(same, total, crossing)).sum() / 2)


@dataclass(frozen=True)
class Floor:
    """What a distance comes to between two finite samples of one distribution: mean and 95th percentile."""

    mean: float
    high: float


def noise_floor(
    p: np.ndarray,
    q: np.ndarray,
    n_p: float,
    n_q: float,
    *,
    n_replicates: int = 50,
    seed: int = 0,
    edges: np.ndarray | None = None,
) -> dict[str, Floor]:
    """Noise floors of `kl_divergence`, `total_variation` and, if `edges` are given, `wasserstein_1`.

    By a parametric bootstrap. Both samples are drawn again from the pooled shares (n_p p + n_q q) / (n_p +
    n_q) as n_p and n_q independent draws, Poisson counts normalised. n_p and n_q are effective numbers of
    draws: from the walkers' scatter, and from the weights. The pooled table lacks the bins that no draw fell
    into, so that its floor is too low: by how much is read off a second round, in which the table is drawn
    again first. What remains is a few percent of the KL.
    """
    n_p, n_q = max(1.0, min(n_p, 1e12)), max(1.0, min(n_q, 1e12))
    pooled = (n_p * np.ravel(p) + n_q * np.ravel(q)) / (n_p + n_q)
    rng = np.random.default_rng(seed)
    first, second = [], []
    for _ in range(n_replicates):
        first.append(_redrawn(pooled, n_p, n_q, edges, rng))
        again = rng.poisson((n_p + n_q) * pooled)
        second.append(_redrawn(again / max(again.sum(), 1), n_p, n_q, edges, rng))
    once, twice = np.array(first), np.array(second)
    bias = once.mean(axis=0) - twice.mean(axis=0)
    mean, high = once.mean(axis=0) + bias, np.quantile(once, 0.95, axis=0) + bias
    return {
        name: Floor(float(m), float(h))
        for name, m, h in zip(("kl", "tv", "wasserstein"), mean, high, strict=False)
    }


def _redrawn(
    shares: np.ndarray, n_p: float, n_q: float, edges: np.ndarray | None, rng: np.random.Generator
) -> list[float]:
    """Distances of two samples of n_p and n_q draws from the same shares (n_bins,)."""
    a, b = (
        counts / max(counts.sum(), 1) for counts in (rng.poisson(n_p * shares), rng.poisson(n_q * shares))
    )
    return [
        kl_divergence(a, b),
        total_variation(a, b),
        *([wasserstein_1(a, b, edges)] if edges is not None else []),
    ]


def z_score(difference: np.ndarray, error_p: np.ndarray, dof_p: float, error_q: np.ndarray) -> np.ndarray:
    """Differences (...) over their combined error, on the scale of a standard normal.

    error_p comes from the scatter of dof_p + 1 walkers and is itself uncertain, error_q from many draws:
    Welch's t with Satterthwaite's dof_p (1 + error_q^2 / error_p^2)^2 degrees of freedom, turned into the
    normal deviate of equal probability. Zero where both errors are.
    """
    difference, error_p, error_q = np.broadcast_arrays(
        *(np.asarray(v, dtype=np.float64) for v in (difference, error_p, error_q))
    )
    total = np.hypot(error_p, error_q)
    with np.errstate(divide="ignore", invalid="ignore"):
        dof = np.where(error_p > 0, dof_p * (1 + np.square(error_q / error_p)) ** 2, np.inf)
        score = np.where(total > 0, np.abs(difference) / total, 0.0)
    return np.sign(difference) * normal_deviate(score, dof)


def normal_deviate(score: np.ndarray, dof: np.ndarray) -> np.ndarray:
    """The normal deviate (...) whose tail is that of Student's t beyond `score` >= 0, with `dof` degrees."""
    log_tail = np.where(np.asarray(dof) < 1e6, t.logsf(score, np.minimum(dof, 1e6)), norm.logsf(score))
    # Beyond 1e-300 the deviate is not needed: anything there is far from agreement.
    return np.where(score > 0, np.maximum(norm.isf(np.exp(np.maximum(log_tail, -690.0))), 0.0), 0.0)
