"""Compiled loops of `fused`: monotone rational-quadratic splines and their gradients, one element in each
lane of the processor's vectors.

A block has `LANES` elements of the batch. Their parameters are rows of `p`, `LANES` float32 numbers each:
sizes of bins in x, then in y, then the derivatives at the knots from first to last. Everything else that an
element needs is in rows of `w`, one after the other. So every innermost loop, over lanes, works on few rows,
which the compiler can check not to overlap before it uses vector instructions. Bins are found by comparisons,
never by indices: numbers that are not finite cannot lead out of an array.

The only liberty given to the compiler is to fuse a product and a sum.
"""

from collections.abc import Callable
from contextlib import suppress
from math import log1p
from typing import Any

import numba
import numpy as np

from boltzgen.flow.spline import MIN_DERIVATIVE, MIN_SIZE, UNIT
from boltzgen.kernels.runtime import LANES

_L = LANES
_F = np.float32
_0, _HALF, _1, _2, _4 = _F(0.0), _F(0.5), _F(1.0), _F(2.0), _F(4.0)
_MIN_SIZE, _MIN_DERIVATIVE, _UNIT, _PI = _F(MIN_SIZE), _F(MIN_DERIVATIVE), _F(UNIT), _F(np.pi)
#: First lanes of the rows of `w`. Of x and of y: the largest parameter of a size, the factor that makes sizes
#: of exponentials, and the sum of these so far. Of the bin of an element: its number, its corner, the
#: exponentials that make its sizes, the parameters of its derivatives.
_TOP_X, _TOP_Y, _FACTOR_X, _FACTOR_Y, _SUM_X, _SUM_Y, _BIN, _LEFT, _LOW, _WIDTH, _HEIGHT, _RAW_0, _RAW_1 = (
    row * LANES for row in range(13)
)
#: The input, its place in [0, 1], whether the spline applies there, the rotation, and both results, or the
#: derivatives by them.
_X, _PLACE, _INSIDE, _TURN, _Y, _LOG = (row * LANES for row in range(13, 19))
#: Derivatives by the input and by all that makes the bin, and means of those by sizes.
_BY_X, _BY_LEFT, _BY_LOW, _BY_WIDTH, _BY_HEIGHT, _BY_RAW_0, _BY_RAW_1, _MEAN_X, _MEAN_Y = (
    row * LANES for row in range(19, 28)
)
_ROWS = 28

_compiled = numba.njit(nogil=True, fastmath={"contract"}, error_model="numpy")
#: A call left inside a loop would keep the loop from vector instructions.
_inlined = numba.njit(nogil=True, fastmath={"contract"}, error_model="numpy", forceinline=True)


def _kept(function: Any) -> Any:
    """A compiled function, kept on disk with all it calls where there is a place for it: compiling takes
    seconds.
    """
    with suppress(RuntimeError):
        function.enable_caching()
    return function


def _fit(function: Callable[[float], float], low: float, high: float, degree: int) -> tuple[np.float32, ...]:
    """Coefficients, highest power first, of the Chebyshev interpolant of a function on an interval."""
    series = np.polynomial.Chebyshev.interpolate(np.vectorize(function), degree, [low, high])
    return tuple(_F(c) for c in series.convert(kind=np.polynomial.Polynomial).coef[::-1])


_EXP = _fit(np.exp, -0.36, 0.36, 6)
_LOG1P = _fit(lambda f: log1p(f) / f, -0.294, 0.4143, 9)
_LOG2E, _LN2_HIGH, _LN2_LOW, _LN2 = _F(1.44269504), _F(0.693359375), _F(-2.12194440e-4), _F(0.69314718)
#: Adding 1.5 * 2^23 leaves the nearest integer in the last bits.
_ROUND, _ROUND_BITS = _F(12582912.0), np.int32(0x4B400000 - 127)
_SQRT_HALF_BITS, _MANTISSA = np.int32(0x3F3504F3), np.int32(23)


@_inlined
def _polynomial(x, coefficients):
    value = coefficients[0]
    for n in range(1, len(coefficients)):
        value = value * x + coefficients[n]
    return value


@_inlined
def _exp(x):
    """e^x of x <= 0, to 1e-7, but not less than 1e-38."""
    x = _F(-87.0) if x < _F(-87.0) else x
    shifted = x * _LOG2E + _ROUND
    n = shifted - _ROUND
    scale = np.int32((np.float32(shifted).view(np.int32) - _ROUND_BITS) << _MANTISSA)
    return _polynomial((x - n * _LN2_HIGH) - n * _LN2_LOW, _EXP) * scale.view(np.float32)


@_inlined
def _log(x):
    """ln x of an ordinary positive number, to 1e-7; NaN where x is not finite."""
    bits = np.float32(x).view(np.int32)
    n = np.int32((bits - _SQRT_HALF_BITS) >> _MANTISSA)
    f = np.int32(bits - (n << _MANTISSA)).view(np.float32) - _1
    return _F(n) * _LN2 + f * _polynomial(f, _LOG1P) + _0 * x


@_inlined
def _softplus(x):
    """ln(1 + e^x) and its derivative, each to a relative 1e-7."""
    small = _exp(-abs(x))
    rounded = _1 + small
    # What rounding took from 1 + small counts where small does.
    log = _log(rounded) + (small - (rounded - _1)) / rounded
    return (x if x > _0 else _0) + log, (_1 if x > _0 else small) / rounded


@_inlined
def _wrap(angle):
    """The angle plus a multiple of 2 pi, in [-pi, pi)."""
    turned = angle + _PI
    turned = turned - _2 * _PI * np.floor(turned / (_2 * _PI))
    # The quotient may have been rounded up to an integer.
    turned = _0 if turned < _0 else turned
    return turned - _PI


@_inlined
def _copy(source, target):
    for l in range(_L):
        target[l] = source[l]


@_compiled
def _load(x, raw, a, at, bound, circular, inverse, p, w):
    """A block's input and parameters; returns the number of bins."""
    n = len(raw) // 3 if circular else (len(raw) + 1) // 3
    for k in range(2 * n):
        _copy(raw[k, a, at : at + _L], p[k])
    if circular:
        for k in range(n + 1):
            _copy(raw[2 * n + k % n, a, at : at + _L], p[2 * n + k])
    else:
        # A parameter of zero is a derivative of one.
        p[2 * n, :] = _0
        p[3 * n, :] = _0
        for k in range(1, n):
            _copy(raw[2 * n + k - 1, a, at : at + _L], p[2 * n + k])
    _copy(x[a, at : at + _L], w[_X : _X + _L])
    scale = _HALF / bound
    if circular:
        _copy(raw[3 * n, a, at : at + _L], w[_TURN : _TURN + _L])
        for l in range(_L):
            angle = w[_X + l]
            w[_PLACE + l], w[_INSIDE + l] = (
                (angle if inverse else _wrap(angle + w[_TURN + l])) * scale + _HALF,
                _1,
            )
    else:
        for l in range(_L):
            inside = abs(w[_X + l]) < bound
            w[_PLACE + l], w[_INSIDE + l] = (
                w[_X + l] * scale + _HALF if inside else _HALF,
                _1 if inside else _0,
            )
    return n


@_compiled
def _exponentials(p, w, n):
    """Turn the parameters of sizes into exponentials, and find the factors that make their sums what is left
    beside the smallest sizes.
    """
    for l in range(_L):
        w[_TOP_X + l], w[_FACTOR_X + l], w[_TOP_Y + l], w[_FACTOR_Y + l] = p[0, l], _0, p[n, l], _0
    for k in range(1, n):
        for l in range(_L):
            x, y = p[k, l], p[n + k, l]
            w[_TOP_X + l] = x if x > w[_TOP_X + l] else w[_TOP_X + l]
            w[_TOP_Y + l] = y if y > w[_TOP_Y + l] else w[_TOP_Y + l]
    for k in range(n):
        for l in range(_L):
            x, y = _exp(p[k, l] - w[_TOP_X + l]), _exp(p[n + k, l] - w[_TOP_Y + l])
            p[k, l], p[n + k, l] = x, y
            w[_FACTOR_X + l] += x
            w[_FACTOR_Y + l] += y
    left = _1 - _F(n) * _MIN_SIZE
    for l in range(_L):
        w[_FACTOR_X + l], w[_FACTOR_Y + l] = left / w[_FACTOR_X + l], left / w[_FACTOR_Y + l]


@_compiled
def _locate(p, w, n, inverse):
    """Find the bin of each element: the last one whose left knot is not above it."""
    for l in range(_L):
        w[_BIN + l], w[_LEFT + l], w[_LOW + l] = _0, _0, _0
        w[_SUM_X + l], w[_WIDTH + l] = p[0, l], p[0, l]
        w[_SUM_Y + l], w[_HEIGHT + l] = p[n, l], p[n, l]
        w[_RAW_0 + l], w[_RAW_1 + l] = p[2 * n, l], p[2 * n + 1, l]
    for k in range(1, n):
        number = _F(k)
        least = number * _MIN_SIZE
        for l in range(_L):
            width, height = p[k, l], p[n + k, l]
            left, low = least + w[_FACTOR_X + l] * w[_SUM_X + l], least + w[_FACTOR_Y + l] * w[_SUM_Y + l]
            here = w[_PLACE + l] >= (low if inverse else left)
            w[_BIN + l] = number if here else w[_BIN + l]
            w[_LEFT + l] = left if here else w[_LEFT + l]
            w[_LOW + l] = low if here else w[_LOW + l]
            w[_WIDTH + l] = width if here else w[_WIDTH + l]
            w[_HEIGHT + l] = height if here else w[_HEIGHT + l]
            w[_RAW_0 + l] = p[2 * n + k, l] if here else w[_RAW_0 + l]
            w[_RAW_1 + l] = p[2 * n + k + 1, l] if here else w[_RAW_1 + l]
            w[_SUM_X + l] += width
            w[_SUM_Y + l] += height


@_compiled
def _prepare(x, raw, a, at, bound, circular, inverse, p, w):
    """Everything that forward and backward share: the bin of each element of a block. Returns the number of
    bins.
    """
    n = _load(x, raw, a, at, bound, circular, inverse, p, w)
    _exponentials(p, w, n)
    _locate(p, w, n, inverse)
    return n


@_inlined
def _bin(w, l, inverse):
    """Width, height, derivatives with their slopes by the parameters, and the place within the bin, 0 to 1,
    of one element.
    """
    width = _MIN_SIZE + w[_FACTOR_X + l] * w[_WIDTH + l]
    height = _MIN_SIZE + w[_FACTOR_Y + l] * w[_HEIGHT + l]
    d0, by_raw_0 = _softplus(w[_RAW_0 + l] + _UNIT)
    d1, by_raw_1 = _softplus(w[_RAW_1 + l] + _UNIT)
    d0, d1 = _MIN_DERIVATIVE + d0, _MIN_DERIVATIVE + d1
    if inverse:
        slope = height / width
        rise = w[_PLACE + l] - w[_LOW + l]
        bend = d0 + d1 - _2 * slope
        a, b, c = height * (slope - d0) + rise * bend, height * d0 - rise * bend, -slope * rise
        square = b * b - _4 * a * c
        place = _2 * c / (-b - np.sqrt(_0 if square < _0 else square))
    else:
        place = (w[_PLACE + l] - w[_LEFT + l]) / width
    return width, height, d0, d1, by_raw_0, by_raw_1, place


@_compiled
def _evaluate(w, bound, circular, inverse):
    for l in range(_L):
        width, height, d0, d1, _, _, t = _bin(w, l, inverse)
        slope = height / width
        mixed = t * (_1 - t)
        denominator = slope + (d0 + d1 - _2 * slope) * mixed
        value = (
            w[_LEFT + l] + t * width
            if inverse
            else w[_LOW + l] + height * (slope * t * t + d0 * mixed) / denominator
        )
        ratio = slope / denominator
        log = _log(ratio * ratio * (d1 * t * t + _2 * slope * mixed + d0 * (_1 - t) * (_1 - t)))
        y = _2 * bound * (value - _HALF)
        if circular and inverse:
            y = _wrap(y - w[_TURN + l])
        inside = w[_INSIDE + l] > _0
        w[_Y + l] = y if inside else w[_X + l]
        w[_LOG + l] = (-log if inverse else log) if inside else _0


@_compiled
def _differentiate(w, n, bound, inverse):
    """Derivatives by the input and by what makes the bin, given those by both results in the rows of these.

    Let v(t) be the height above the bin's lower edge and l(t) the log-derivative, at the place t = (x - left)
    / width. The inverse solves v(t) = y: anything that changes v changes t by -1 / (dv/dt) as much. So both
    directions share the derivatives of v and l at fixed t.
    """
    span, share_left = _2 * bound, _1 - _F(n) * _MIN_SIZE
    for l in range(_L):
        inside = w[_INSIDE + l] > _0
        by_y, by_log = span * w[_Y + l] if inside else _0, w[_LOG + l] if inside else _0
        width, height, d0, d1, by_raw_0, by_raw_1, t = _bin(w, l, inverse)
        slope, rest, inverse_width = height / width, _1 - t, _1 / width
        mixed, tilt = t * rest, rest - t
        bend, bowed = d0 + d1 - _2 * slope, _1 - _2 * mixed
        below = _1 / (slope + bend * mixed)
        share = (slope * t * t + d0 * mixed) * below
        top = d1 * t * t + _2 * slope * mixed + d0 * rest * rest
        over = _1 / top
        l_t = _2 * ((d1 * t - d0 * rest + slope * tilt) * over - bend * tilt * below)
        v_t = height * slope * top * below * below
        if inverse:
            by_log = -by_log
            by_place = (by_y * width + by_log * l_t) / v_t
            by_v, by_left, by_width = -by_place, by_y, by_y * t
        else:
            by_place = (by_y * v_t + by_log * l_t) * inverse_width
            by_v, by_left, by_width = by_y, -by_place, -by_place * t
        by_slope = by_v * height * below * (t * t - share * bowed) + by_log * _2 * (
            _1 / slope + mixed * over - bowed * below
        )
        by_width -= by_slope * slope * inverse_width
        by_height = by_v * share + by_slope * inverse_width
        lift = by_v * height * mixed * below
        by_d0 = lift * (_1 - share) + by_log * (rest * rest * over - _2 * mixed * below)
        by_d1 = by_log * (t * t * over - _2 * mixed * below) - lift * share
        w[_BY_X + l] = by_place / span if inside else w[_Y + l]
        w[_BY_RAW_0 + l], w[_BY_RAW_1 + l] = by_d0 * by_raw_0, by_d1 * by_raw_1
        # A size is a share of what is left beside the smallest sizes: shares sum to one, which takes the mean
        # from their derivatives.
        before = w[_BIN + l] * _MIN_SIZE
        mean = (by_left * (w[_LEFT + l] - before) + by_width * (width - _MIN_SIZE)) / share_left
        w[_BY_LEFT + l], w[_BY_WIDTH + l], w[_MEAN_X + l] = by_left, by_width, mean
        mean = (by_v * (w[_LOW + l] - before) + by_height * (height - _MIN_SIZE)) / share_left
        w[_BY_LOW + l], w[_BY_HEIGHT + l], w[_MEAN_Y + l] = by_v, by_height, mean


@_compiled
def _spread_sizes(p, w, n):
    """Derivatives by the parameters of sizes, in place of their exponentials."""
    for k in range(n):
        number = _F(k)
        for l in range(_L):
            found, left, width, low, height = (
                w[_BIN + l],
                w[_BY_LEFT + l],
                w[_BY_WIDTH + l],
                w[_BY_LOW + l],
                w[_BY_HEIGHT + l],
            )
            by_x, by_y = left if number < found else _0, low if number < found else _0
            by_x, by_y = width if number == found else by_x, height if number == found else by_y
            p[k, l] *= w[_FACTOR_X + l] * (by_x - w[_MEAN_X + l])
            p[n + k, l] *= w[_FACTOR_Y + l] * (by_y - w[_MEAN_Y + l])


@_compiled
def _spread_derivatives(p, w, n, circular):
    """Derivatives by the parameters at the knots, in place of these; around a circle the last knot is the
    first one.
    """
    for k in range(n + 1):
        number, previous = _F(k), _F(n - 1 if circular and k == 0 else k - 1)
        for l in range(_L):
            by_raw = w[_BY_RAW_0 + l] if number == w[_BIN + l] else _0
            p[2 * n + k, l] = by_raw + (w[_BY_RAW_1 + l] if previous == w[_BIN + l] else _0)


@_kept
@_compiled
def transform(x, raw, y, log_derivative, start, stop, bound, circular, inverse):
    """Fill y and log_derivative (n_active, batch) of elements start ... stop - 1; start is a multiple of
    `LANES`.

    Args:
        x: values (n_active, batch).
        raw: parameters as in `periodic_spline` or `spline_with_tails` (n_parameters, n_active, batch).
    """
    p, w = np.empty((len(raw) + 2, _L), _F), np.empty(_ROWS * _L, _F)
    for a in range(len(x)):
        for block in range(start, stop, _L):
            # The last block may overlap the one before: every element takes the same way wherever it is.
            at = min(block, x.shape[1] - _L)
            _prepare(x, raw, a, at, bound, circular, inverse, p, w)
            _evaluate(w, bound, circular, inverse)
            _copy(w[_Y : _Y + _L], y[a, at : at + _L])
            _copy(w[_LOG : _LOG + _L], log_derivative[a, at : at + _L])


@_kept
@_compiled
def gradient(x, raw, by_y, by_log, by_x, by_raw, start, stop, bound, circular, inverse):
    """Fill by_x and by_raw, shaped as x and raw, from derivatives by both results (n_active, batch), for
    elements start ... stop - 1.
    """
    p, w = np.empty((len(raw) + 2, _L), _F), np.empty(_ROWS * _L, _F)
    for a in range(len(x)):
        for block in range(start, stop, _L):
            # The last block may overlap the one before: every element takes the same way wherever it is.
            at = min(block, x.shape[1] - _L)
            n = _prepare(x, raw, a, at, bound, circular, inverse, p, w)
            _copy(by_y[a, at : at + _L], w[_Y : _Y + _L])
            _copy(by_log[a, at : at + _L], w[_LOG : _LOG + _L])
            _differentiate(w, n, bound, inverse)
            _spread_sizes(p, w, n)
            _spread_derivatives(p, w, n, circular)
            _copy(w[_BY_X : _BY_X + _L], by_x[a, at : at + _L])
            # Parameters fixed at the ends of a line have no rows in raw.
            for k in range(2 * n):
                _copy(p[k], by_raw[k, a, at : at + _L])
            for k in range(0 if circular else 1, n):
                _copy(p[2 * n + k], by_raw[2 * n + k - (0 if circular else 1), a, at : at + _L])
            if circular:
                if inverse:
                    for l in range(_L):
                        w[_BY_X + l] = -w[_Y + l]
                _copy(w[_BY_X : _BY_X + _L], by_raw[3 * n, a, at : at + _L])
