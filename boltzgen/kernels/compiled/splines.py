"""Monotone rational-quadratic splines and their gradients, by the formulas of `flow.spline`.

A block has `LANES` elements of the batch. Their parameters are rows of `p`, `LANES` float32 numbers each:
sizes of bins in x, then in y, then the derivatives at the knots from first to last. Everything else that an
element needs is in rows of `w`, one after the other. So every innermost loop, over lanes, works on few rows,
which the compiler can check not to overlap before it uses vector instructions. Bins are found by comparisons,
never by indices: numbers that are not finite cannot lead out of an array.
"""

import numpy as np

from boltzgen.kernels.compiled.mathematics import (
    F,
    compiled,
    exp_of_negative,
    inlined,
    kept,
    log_or_nan,
    softplus,
    wrap,
)
from boltzgen.kernels.constants import LANES, MIN_DERIVATIVE, MIN_SIZE, UNIT

_0, _HALF, _1, _2, _4 = F(0.0), F(0.5), F(1.0), F(2.0), F(4.0)
_MIN_SIZE, _MIN_DERIVATIVE, _UNIT = F(MIN_SIZE), F(MIN_DERIVATIVE), F(UNIT)
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


@inlined
def _copy(source, target):
    for l in range(LANES):
        target[l] = source[l]


@compiled
def _load(x, raw, a, at, bound, periodic, inverse, p, w):
    """A block's input and parameters; returns the number of bins."""
    n = len(raw) // 3 if periodic else (len(raw) + 1) // 3
    for k in range(2 * n):
        _copy(raw[k, a, at : at + LANES], p[k])
    if periodic:
        for k in range(n + 1):
            _copy(raw[2 * n + k % n, a, at : at + LANES], p[2 * n + k])
    else:
        # A parameter of zero is a derivative of one.
        p[2 * n, :] = _0
        p[3 * n, :] = _0
        for k in range(1, n):
            _copy(raw[2 * n + k - 1, a, at : at + LANES], p[2 * n + k])
    _copy(x[a, at : at + LANES], w[_X : _X + LANES])
    scale = _HALF / bound
    if periodic:
        _copy(raw[3 * n, a, at : at + LANES], w[_TURN : _TURN + LANES])
        for l in range(LANES):
            angle = w[_X + l]
            w[_PLACE + l], w[_INSIDE + l] = (
                (angle if inverse else wrap(angle + w[_TURN + l])) * scale + _HALF,
                _1,
            )
    else:
        for l in range(LANES):
            inside = abs(w[_X + l]) < bound
            w[_PLACE + l], w[_INSIDE + l] = (
                w[_X + l] * scale + _HALF if inside else _HALF,
                _1 if inside else _0,
            )
    return n


@compiled
def _exponentials(p, w, n):
    """Turn the parameters of sizes into exponentials, and find the factors that make sizes of them.

    With these, the sums of both are what is left beside the smallest sizes.
    """
    for l in range(LANES):
        w[_TOP_X + l], w[_FACTOR_X + l], w[_TOP_Y + l], w[_FACTOR_Y + l] = p[0, l], _0, p[n, l], _0
    for k in range(1, n):
        for l in range(LANES):
            x, y = p[k, l], p[n + k, l]
            w[_TOP_X + l] = x if x > w[_TOP_X + l] else w[_TOP_X + l]
            w[_TOP_Y + l] = y if y > w[_TOP_Y + l] else w[_TOP_Y + l]
    for k in range(n):
        for l in range(LANES):
            x, y = exp_of_negative(p[k, l] - w[_TOP_X + l]), exp_of_negative(p[n + k, l] - w[_TOP_Y + l])
            p[k, l], p[n + k, l] = x, y
            w[_FACTOR_X + l] += x
            w[_FACTOR_Y + l] += y
    left = _1 - F(n) * _MIN_SIZE
    for l in range(LANES):
        w[_FACTOR_X + l], w[_FACTOR_Y + l] = left / w[_FACTOR_X + l], left / w[_FACTOR_Y + l]


@compiled
def _locate(p, w, n, inverse):
    """Find the bin of each element: the last one whose left knot is not above it."""
    for l in range(LANES):
        w[_BIN + l], w[_LEFT + l], w[_LOW + l] = _0, _0, _0
        w[_SUM_X + l], w[_WIDTH + l] = p[0, l], p[0, l]
        w[_SUM_Y + l], w[_HEIGHT + l] = p[n, l], p[n, l]
        w[_RAW_0 + l], w[_RAW_1 + l] = p[2 * n, l], p[2 * n + 1, l]
    for k in range(1, n):
        number = F(k)
        least = number * _MIN_SIZE
        for l in range(LANES):
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


@compiled
def _prepare(x, raw, a, at, bound, periodic, inverse, p, w):
    """What value and gradient share: the bin of each element of a block. Returns the number of bins."""
    n = _load(x, raw, a, at, bound, periodic, inverse, p, w)
    _exponentials(p, w, n)
    _locate(p, w, n, inverse)
    return n


@inlined
def _bin(w, l, inverse):
    """The bin of one element, and its place there, 0 to 1.

    Returns width, height, the derivatives at both knots, those of these by their parameters, and the place.
    """
    width = _MIN_SIZE + w[_FACTOR_X + l] * w[_WIDTH + l]
    height = _MIN_SIZE + w[_FACTOR_Y + l] * w[_HEIGHT + l]
    d0, by_raw_0 = softplus(w[_RAW_0 + l] + _UNIT)
    d1, by_raw_1 = softplus(w[_RAW_1 + l] + _UNIT)
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


@compiled
def _evaluate(w, bound, periodic, inverse):
    for l in range(LANES):
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
        log = log_or_nan(ratio * ratio * (d1 * t * t + _2 * slope * mixed + d0 * (_1 - t) * (_1 - t)))
        y = _2 * bound * (value - _HALF)
        if periodic and inverse:
            y = wrap(y - w[_TURN + l])
        inside = w[_INSIDE + l] > _0
        w[_Y + l] = y if inside else w[_X + l]
        w[_LOG + l] = (-log if inverse else log) if inside else _0


@compiled
def _differentiate(w, n, bound, inverse):
    """Derivatives by the input and by what makes the bin, given those by both results in the rows of these.

    With the slope s = height / width, the place t = (x - left) / width, m = t (1 - t) and b = d0 + d1 - 2s,
    the height above the bin's lower edge and the log-derivative are

        v = height (s t^2 + d0 m) / (s + b m),    l = ln [s^2 (d1 t^2 + 2s m + d0 (1 - t)^2) / (s + b m)^2].

    Below, `share` is v / height, `below` 1 / (s + b m), and `top` the sum in the numerator of l; so

        dv/dt = height s top below^2,
        dl/dt = 2 (d1 t - d0 (1 - t) + s (1 - 2t)) / top - 2 b (1 - 2t) below.

    The inverse solves v(t) = y: anything that changes v changes t by -1 / (dv/dt) as much. So both directions
    share the derivatives of v and l at fixed t.
    """
    span, share_left = _2 * bound, _1 - F(n) * _MIN_SIZE
    for l in range(LANES):
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


@compiled
def _spread_sizes(p, w, n):
    """Derivatives by the parameters of sizes, in place of their exponentials.

    Size k is min + (1 - n min) e_k / sum(e): by_raw_k = factor e_k (by_size_k - mean of by_size over shares).
    A size moves the lower corners of all bins above it.
    """
    for k in range(n):
        number = F(k)
        for l in range(LANES):
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


@compiled
def _spread_derivatives(p, w, n, periodic):
    """Derivatives by the parameters at the knots, in place of these; a period's last knot is its first."""
    for k in range(n + 1):
        number, previous = F(k), F(n - 1 if periodic and k == 0 else k - 1)
        for l in range(LANES):
            by_raw = w[_BY_RAW_0 + l] if number == w[_BIN + l] else _0
            p[2 * n + k, l] = by_raw + (w[_BY_RAW_1 + l] if previous == w[_BIN + l] else _0)


@kept
@compiled
def transform(x, raw, y, log_derivative, start, stop, bound, periodic, inverse):
    """Fill y and log_derivative (n_active, batch) of elements start ... stop - 1.

    Args:
        x: values (n_active, batch).
        raw: parameters as in `flow.spline` (n_parameters, n_active, batch).
        y: shaped as x, filled.
        log_derivative: shaped as x, filled.
        start: first element of the batch, a multiple of `LANES`.
        stop: last element + 1.
        bound: where the spline ends; pi if it is periodic.
        periodic: whether x is an angle, and turned by the last parameter before the spline.
        inverse: whether to evaluate the inverse.
    """
    p, w = np.empty((len(raw) + 2, LANES), F), np.empty(_ROWS * LANES, F)
    for a in range(len(x)):
        for block in range(start, stop, LANES):
            # The last block may overlap the one before: every element takes the same way wherever it is.
            at = min(block, x.shape[1] - LANES)
            _prepare(x, raw, a, at, bound, periodic, inverse, p, w)
            _evaluate(w, bound, periodic, inverse)
            _copy(w[_Y : _Y + LANES], y[a, at : at + LANES])
            _copy(w[_LOG : _LOG + LANES], log_derivative[a, at : at + LANES])


@kept
@compiled
def gradient(x, raw, by_y, by_log, by_x, by_raw, start, stop, bound, periodic, inverse):
    """Fill by_x and by_raw, shaped as x and raw, from derivatives by both results of `transform`."""
    p, w = np.empty((len(raw) + 2, LANES), F), np.empty(_ROWS * LANES, F)
    for a in range(len(x)):
        for block in range(start, stop, LANES):
            # The last block may overlap the one before: every element takes the same way wherever it is.
            at = min(block, x.shape[1] - LANES)
            n = _prepare(x, raw, a, at, bound, periodic, inverse, p, w)
            _copy(by_y[a, at : at + LANES], w[_Y : _Y + LANES])
            _copy(by_log[a, at : at + LANES], w[_LOG : _LOG + LANES])
            _differentiate(w, n, bound, inverse)
            _spread_sizes(p, w, n)
            _spread_derivatives(p, w, n, periodic)
            _copy(w[_BY_X : _BY_X + LANES], by_x[a, at : at + LANES])
            # Parameters fixed at the ends of a line have no rows in raw.
            for k in range(2 * n):
                _copy(p[k], by_raw[k, a, at : at + LANES])
            for k in range(0 if periodic else 1, n):
                _copy(p[2 * n + k], by_raw[2 * n + k - (0 if periodic else 1), a, at : at + LANES])
            if periodic:
                if inverse:
                    for l in range(LANES):
                        w[_BY_X + l] = -w[_Y + l]
                _copy(w[_BY_X : _BY_X + LANES], by_raw[3 * n, a, at : at + LANES])
