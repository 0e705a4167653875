"""Monotone rational-quadratic splines (Durkan et al. 2019, arXiv:1906.04032), on intervals and of angles.

Of angles they are the circular splines of Rezende et al. 2020, arXiv:2002.02428. In float32 on the CPU
compiled kernels compute them; what follows here is the same in torch's operations, for every other dtype and
device.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional

from boltzgen.geometry import wrap
from boltzgen.kernels.constants import MIN_DERIVATIVE, MIN_SIZE, UNIT
from boltzgen.kernels.runtime import ready
from boltzgen.kernels.splines import spline


def rational_quadratic(
    x: Tensor, raw: Tensor, *, low: float, high: float, periodic: bool, inverse: bool
) -> tuple[Tensor, Tensor]:
    """Apply a monotone spline from [low, high] onto itself, elementwise.

    Args:
        x: values inside [low, high], shape (...).
        raw: unconstrained parameters, shape (3K, ...) with K bins when `periodic` (the derivatives at both
            ends are one parameter) or (3K - 1, ...) otherwise (both end derivatives are 1, to meet identity
            tails). Zeros give the identity. Parameters come first so that sums over bins run over whole
            contiguous rows.
        low: lower end of the interval.
        high: upper end.
        periodic: whether x is periodic, with the period high - low.
        inverse: evaluate the inverse spline.

    Returns:
        (y, log|dy/dx|), both of shape (...).
    """
    n_bins = (len(raw) + (0 if periodic else 1)) // 3
    span = high - low
    widths, heights = _sizes(raw[:n_bins]), _sizes(raw[n_bins : 2 * n_bins])
    inner = MIN_DERIVATIVE + functional.softplus(raw[2 * n_bins :] + UNIT)
    if periodic:
        derivatives = torch.cat((inner, inner[:1]))
    else:
        one = torch.ones_like(inner[:1])
        derivatives = torch.cat((one, inner, one))
    right_x, right_y = widths.cumsum(0), heights.cumsum(0)

    unit = (x - low) / span
    # Which bin: how many inner knots lie at or below the value.
    knots = right_y if inverse else right_x
    bin_index = (unit >= knots[:-1]).sum(0, keepdim=True)

    def pick(table: Tensor, shift: int = 0) -> Tensor:
        return table.gather(0, bin_index + shift).squeeze(0)

    width, height = pick(widths), pick(heights)
    left_x, left_y = pick(right_x) - width, pick(right_y) - height
    d0, d1 = pick(derivatives), pick(derivatives, 1)
    slope = height / width
    bend = d0 + d1 - 2 * slope

    if inverse:
        rise = unit - left_y
        a = height * (slope - d0) + rise * bend
        b = height * d0 - rise * bend
        c = -slope * rise
        theta = 2 * c / (-b - (b * b - 4 * a * c).clamp(min=0).sqrt())
        value = left_x + theta * width
    else:
        theta = (unit - left_x) / width
    mixed = theta * (1 - theta)
    denominator = slope + bend * mixed
    if not inverse:
        value = left_y + height * (slope * theta * theta + d0 * mixed) / denominator
    derivative = (
        slope
        * slope
        * (d1 * theta * theta + 2 * slope * mixed + d0 * (1 - theta) * (1 - theta))
        / (denominator * denominator)
    )
    log_derivative = derivative.log()
    return low + span * value, -log_derivative if inverse else log_derivative


def _sizes(raw: Tensor) -> Tensor:
    """Positive bin sizes (K, ...) that sum to one over the first axis."""
    weights = torch.exp(raw - raw.detach().amax(0))
    return MIN_SIZE + (1 - MIN_SIZE * len(raw)) * (weights / weights.sum(0))


def spline_with_tails(x: Tensor, raw: Tensor, *, bound: float, inverse: bool) -> tuple[Tensor, Tensor]:
    """A spline on [-bound, bound] continued by the identity. `raw` has shape (3K - 1, ...)."""
    if ready(x, raw):
        return spline(x, raw, bound=bound, periodic=False, inverse=inverse)
    inside = x.abs() < bound
    # The outside branch must not reach the spline: its gradients there would be NaN even though `where`
    # discards the values.
    safe = torch.where(inside, x, torch.zeros_like(x))
    y, log_derivative = rational_quadratic(safe, raw, low=-bound, high=bound, periodic=False, inverse=inverse)
    return torch.where(inside, y, x), torch.where(inside, log_derivative, torch.zeros_like(x))


def periodic_spline(x: Tensor, raw: Tensor, *, inverse: bool) -> tuple[Tensor, Tensor]:
    """A rotation followed by a spline, of angles in [-pi, pi).

    `raw` has shape (3K + 1, ...), its last entry the rotation in radians.
    """
    if ready(x, raw):
        return spline(x, raw, bound=math.pi, periodic=True, inverse=inverse)
    shift = raw[-1]
    if not inverse:
        return rational_quadratic(
            wrap(x + shift), raw[:-1], low=-math.pi, high=math.pi, periodic=True, inverse=False
        )
    y, log_derivative = rational_quadratic(
        x, raw[:-1], low=-math.pi, high=math.pi, periodic=True, inverse=True
    )
    return wrap(y - shift), log_derivative
