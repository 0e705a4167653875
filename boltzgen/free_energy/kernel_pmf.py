"""Potentials of mean force from a weighted kernel density."""

import math
from collections.abc import Sequence

import numpy as np

from boltzgen.free_energy.bandwidth import plug_in_bandwidth
from boltzgen.free_energy.intervals import WeightSum, log_ratio_interval
from boltzgen.free_energy.means import side
from boltzgen.free_energy.pmf import Coordinate, Pmf, assembled, equal_edges, nearest, weighted_values
from boltzgen.weights import psis_k_hat

#: Kernels are zero beyond so many bandwidths, where the broader part of the kernel is below 2e-9 of its peak.
_REACH = 9.0


def kernel_pmf(
    coordinates: Sequence[Coordinate],
    log_w: np.ndarray,
    *,
    n_points: int | None = None,
    ranges: Sequence[tuple[float, float]] | None = None,
    bandwidths: Sequence[float] | None = None,
    temperature: float | None = None,
) -> Pmf:
    """PMF along one or two coordinates from a weighted kernel density.

    The kernel is 2 K_h - K_h * K_h with Gaussian K_h, wrapped on circles: the estimate that K_h gives less
    its bias as K_h sees it (Stuetzle and Mittal, 1979). Its bias is of fourth order in h, so that the
    intervals, which know of the scatter alone, hold the density itself (Calonico, Cattaneo and Farrell,
    J. Am. Stat. Assoc. 113, 767, 2018). Where so few draws lie that it is negative, the density is zero and
    without an interval. Curvature on the scale of h is smoothed all the same: near a wall, and in the
    tails, take the histogram.

    Args:
        coordinates: as in `histogram_pmf`.
        log_w: as there.
        n_points: along each coordinate, the centres of as many bins.
        ranges: as there.
        bandwidths: h along each coordinate; by default those of `plug_in_bandwidth`, for two coordinates
            n_effective^(1/5 - 1/6) wider.
        temperature: as there.

    Raises:
        ValueError: as `histogram_pmf`.
    """
    weights, values = weighted_values(coordinates, log_w)
    edges = equal_edges(coordinates, values, weights, n_points, ranges)
    centres = tuple((e[1:] + e[:-1]) / 2 for e in edges)
    if bandwidths is None:
        wider = (1.0 / float(weights @ weights)) ** (1 / 5 - 1 / 6) if len(coordinates) == 2 else 1.0
        bandwidths = [
            min(wider * plug_in_bandwidth(x, weights, c.period), (c.period or math.inf) / 12)
            for x, c in zip(values, coordinates, strict=True)
        ]
    first, second = values[0], values[-1]
    h, periods = tuple(map(float, bandwidths)), [c.period for c in coordinates]
    found = np.empty((4, *(len(c) for c in centres)))
    k_hat = psis_k_hat(np.asarray(log_w, dtype=np.float64))
    for i, point in enumerate(centres[0]):
        offset = nearest(first - point, periods[0])
        near = np.abs(offset) < _REACH * h[0]
        root, w = np.exp(-np.square(offset[near] / (2 * h[0]))), weights[near]
        if len(coordinates) == 1:
            found[:, i] = _density(root, h, w, weights, k_hat)
            continue
        for j, other in enumerate(centres[1]):
            across = np.exp(-np.square(nearest(second[near] - other, periods[1]) / (2 * h[1])))
            found[:, i, j] = _density(root * across, h, w, weights, k_hat)
    return assembled(coordinates, centres, found, h, temperature, log_w)


def _density(
    root: np.ndarray, h: tuple[float, ...], w: np.ndarray, weights: np.ndarray, k_hat: float
) -> tuple[float, float, float, float]:
    """Density, error, low and high at one point.

    root (m,) are square roots of the Gaussians of the draws near it with weights w (m,); all have weights
    (n,). The density is the weighted mean of the kernel, whose sums above and below the mean are over
    different draws: see `means.mean_interval`, here to first order about the estimate on the logarithmic
    scale.
    """
    d = len(h)
    peak = math.prod(1.0 / (math.sqrt(2 * math.pi) * s) for s in h)
    kernel = peak * (2 * root**2 - 2 ** (-d / 2) * root)
    p = float(w @ kernel)
    whole = float(weights @ weights)
    square = float(np.square(w) @ (kernel**2 - 2 * p * kernel)) + p**2 * whole
    n = len(weights)
    error = math.sqrt(max(square, 0.0) * n / max(n - 1, 1))
    if p <= 0:
        return 0.0, error, math.nan, math.nan
    products = w * (kernel - p)
    above = side(products)
    rest = max(square - float(np.square(products[products > 0]).sum()), 1e-300)
    below = WeightSum(
        n - above.n, above.total**2 / rest, above.total, max(p * float(weights.max()), 1e-300), k_hat
    )
    found = log_ratio_interval(above, below, max(above.largest, peak * float(weights.max())))
    if not found.is_estimated:
        return p, error, math.nan, math.nan
    scale = above.total / p
    low = p * math.exp(max(found.low, -700.0 / scale) * scale) if math.isfinite(found.low) else 0.0
    return p, error, low, p * math.exp(min(found.high * scale, 700.0))
