"""Compiled loops of `fused`: energy and gradient of a block of configurations, one configuration in each lane
of the processor's vectors.

A block has `LANES` configurations. Each atom has one record, rows of `LANES` float32 numbers one after the
other (x, y, z, the gradient, Born radii); `w` are rows of scratch, of which the first collects energies until
`_flush` adds them to float64 totals. So every innermost loop, over lanes, works on at most four records and
`w`, which is few enough for the compiler to check that they do not overlap and to use vector instructions.

Nothing here may assume that numbers are finite: the only liberty given to the compiler is to fuse a product
and a sum.
"""

from collections.abc import Callable
from contextlib import suppress
from math import atan, log1p
from typing import Any

import numba
import numpy as np

LANES = 64
#: First lanes of the rows of an atom's record: position, gradient, the sum of integrals (later d ln B / dI),
#: 1/B, B, and B dU/dB (later dU/dI).
_X, _Y, _Z, _GX, _GY, _GZ, _SUM, _INVERSE, _BORN, _PULL, _RECORD = (row * LANES for row in range(11))
_L = LANES
_F = np.float32
_0, _1, _2, _HALF, _QUARTER = _F(0.0), _F(1.0), _F(2.0), _F(0.5), _F(0.25)
#: Pairs between two additions to the float64 totals.
_RUN = 8


_compiled = numba.njit(nogil=True, fastmath={"contract"}, error_model="numpy")


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
_LOG = _fit(lambda f: log1p(f) / f, -0.294, 0.4143, 9)
_ATAN = _fit(lambda w: atan(w**0.5) / w**0.5, 0.0, 1.0, 9)
_INTEGRAL = _fit(lambda w: sum(2 * k / (2 * k + 1) * w ** (k - 1) for k in range(1, 60)), 0.0, 0.25, 7)
_SLOPE = _fit(lambda w: sum(4 * k * (k + 1) / (2 * k + 1) * w ** (k - 1) for k in range(1, 60)), 0.0, 0.25, 8)
_LOG2E, _LN2_HIGH, _LN2_LOW, _LN2 = _F(1.44269504), _F(0.693359375), _F(-2.12194440e-4), _F(0.69314718)
#: Adding 1.5 * 2^23 leaves the nearest integer in the last bits.
_ROUND, _ROUND_BITS = _F(12582912.0), np.int32(0x4B400000 - 127)
_SQRT_HALF_BITS, _MANTISSA = np.int32(0x3F3504F3), np.int32(23)
_PI, _HALF_PI = _F(np.pi), _F(np.pi / 2)


@_compiled
def _polynomial(x, coefficients):
    value = coefficients[0]
    for n in range(1, len(coefficients)):
        value = value * x + coefficients[n]
    return value


@_compiled
def _exp(x):
    """e^x between 1e-38 and 1e38, to 1e-7."""
    x = _F(-87.0) if x < _F(-87.0) else x
    x = _F(87.0) if x > _F(87.0) else x
    shifted = x * _LOG2E + _ROUND
    n = shifted - _ROUND
    scale = np.int32((np.float32(shifted).view(np.int32) - _ROUND_BITS) << _MANTISSA)
    return _polynomial((x - n * _LN2_HIGH) - n * _LN2_LOW, _EXP) * scale.view(np.float32)


@_compiled
def _log(x):
    """ln x of an ordinary positive number, to 1e-7."""
    bits = np.float32(x).view(np.int32)
    n = np.int32((bits - _SQRT_HALF_BITS) >> _MANTISSA)
    f = np.int32(bits - (n << _MANTISSA)).view(np.float32) - _1
    return _F(n) * _LN2 + f * _polynomial(f, _LOG)


@_compiled
def _angle(sine, cosine):
    """The angle in rad, 0 to pi, of a sine >= 0 and a cosine up to a common factor; 0 where both are 0."""
    size = abs(cosine)
    steep = sine > size
    large = sine if steep else size
    t = _0 if large == _0 else (size if steep else sine) / large
    angle = t * _polynomial(t * t, _ATAN)
    angle = _HALF_PI - angle if steep else angle
    return _PI - angle if cosine < _0 else angle


@_compiled
def _difference(atoms, i, j, l):
    return (
        atoms[i, _X + l] - atoms[j, _X + l],
        atoms[i, _Y + l] - atoms[j, _Y + l],
        atoms[i, _Z + l] - atoms[j, _Z + l],
    )


@_compiled
def _dot(a, b):
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


@_compiled
def _cross(a, b):
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


@_compiled
def _flush(w, total):
    for l in range(_L):
        total[l] += w[l]
        w[l] = _0


@_compiled
def _bonds(atoms, w, total, table, rest, stiffness, gradient):
    for n in range(len(table)):
        i, j = table[n]
        r0, k = _F(rest[n]), _F(stiffness[n])
        for l in range(_L):
            d = _difference(atoms, i, j, l)
            r = np.sqrt(_dot(d, d))
            pull = k * (r - r0)
            w[l] += _HALF * pull * (r - r0)
            if gradient is not None:
                scale = _0 if r == _0 else pull / r
                for c in range(3):
                    atoms[i, _GX + c * _L + l] += scale * d[c]
                    atoms[j, _GX + c * _L + l] -= scale * d[c]
        _flush(w, total)


@_compiled
def _angles(atoms, w, total, table, rest, stiffness, gradient):
    for n in range(len(table)):
        i, j, k = table[n]
        theta0, constant = _F(rest[n]), _F(stiffness[n])
        for l in range(_L):
            a, b = _difference(atoms, i, j, l), _difference(atoms, k, j, l)
            normal = _cross(a, b)
            sine = np.sqrt(_dot(normal, normal))
            bend = _angle(sine, _dot(a, b)) - theta0
            w[l] += _HALF * constant * bend * bend
            if gradient is not None:
                # d theta / da = a x (a x b) / (|a|^2 |a x b|), and the same for b with the other sign.
                pull = _0 if sine == _0 else constant * bend / sine
                by_a, by_b = _cross(a, normal), _cross(normal, b)
                scale_a, scale_b = pull / _dot(a, a), pull / _dot(b, b)
                for c in range(3):
                    w[(1 + c) * _L + l] = scale_a * by_a[c]
                    w[(4 + c) * _L + l] = scale_b * by_b[c]
        if gradient is not None:
            for l in range(3 * _L):
                atoms[i, _GX + l] += w[_L + l]
                atoms[k, _GX + l] += w[4 * _L + l]
                atoms[j, _GX + l] -= w[_L + l] + w[4 * _L + l]
        _flush(w, total)


@_compiled
def _torsions(atoms, w, total, table, series, gradient):
    """Series (n, 2, torsions): the factors of cos(n phi) and sin(n phi) from n = 1."""
    for t in range(len(table)):
        i, j, k, m = table[t]
        highest = 0
        for n in range(len(series)):
            if series[n, 0, t] != 0.0 or series[n, 1, t] != 0.0:
                highest = n + 1
        for l in range(_L):
            b1, b2, b3 = _difference(atoms, j, i, l), _difference(atoms, k, j, l), _difference(atoms, m, k, l)
            p, q = _cross(b1, b2), _cross(b2, b3)
            norm2 = _dot(p, p) * _dot(q, q)
            scale = _1 / np.sqrt(norm2)
            # w: cos(n phi), sin(n phi), those of n - 1, and dU/dphi; undefined torsions count as zero.
            w[_L + l] = _1 if norm2 == _0 else _dot(p, q) * scale
            w[2 * _L + l] = _0 if norm2 == _0 else _dot(b1, q) * np.sqrt(_dot(b2, b2)) * scale
            w[3 * _L + l], w[4 * _L + l], w[5 * _L + l], w[6 * _L + l] = _1, _0, _0, _2 * w[_L + l]
        for n in range(highest):
            c, s, factor = _F(series[n, 0, t]), _F(series[n, 1, t]), _F(n + 1)
            for l in range(_L):
                cosine, sine = w[_L + l], w[2 * _L + l]
                w[l] += c * cosine + s * sine
                w[5 * _L + l] += factor * (s * cosine - c * sine)
                w[_L + l] = w[6 * _L + l] * cosine - w[3 * _L + l]
                w[2 * _L + l] = w[6 * _L + l] * sine - w[4 * _L + l]
                w[3 * _L + l], w[4 * _L + l] = cosine, sine
        if gradient is not None:
            for l in range(_L):
                b1, b2, b3 = (
                    _difference(atoms, j, i, l),
                    _difference(atoms, k, j, l),
                    _difference(atoms, m, k, l),
                )
                p, q = _cross(b1, b2), _cross(b2, b3)
                p2, q2, length2 = _dot(p, p), _dot(q, q), _dot(b2, b2)
                # d phi / db1 = |b2| p / p^2,  d phi / db3 = |b2| q / q^2,  d phi / db2 = -[(b1.b2) d phi /
                # db1 + (b3.b2) d phi / db3] / b2^2.
                pull = _0 if p2 * q2 == _0 else w[5 * _L + l] * np.sqrt(length2)
                by_p, by_q = (_0 if pull == _0 else pull / p2), (_0 if pull == _0 else pull / q2)
                along_p, along_q = (
                    (_0 if pull == _0 else _dot(b1, b2) / length2),
                    (_0 if pull == _0 else _dot(b3, b2) / length2),
                )
                for c in range(3):
                    first, last = by_p * p[c], by_q * q[c]
                    middle = -(along_p * first + along_q * last)
                    w[(1 + c) * _L + l] = -first
                    w[(4 + c) * _L + l] = first - middle
                    w[(7 + c) * _L + l] = middle - last
                    w[(10 + c) * _L + l] = last
            for l in range(3 * _L):
                atoms[i, _GX + l] += w[_L + l]
                atoms[j, _GX + l] += w[4 * _L + l]
                atoms[k, _GX + l] += w[7 * _L + l]
                atoms[m, _GX + l] += w[10 * _L + l]
        _flush(w, total)


@_compiled
def _far(inverse, s):
    """Born integral and its derivative by r, over r, where L = r - s and t = s / r < 1/2.

    I = [t / (1 - t^2) - artanh t] / 2r, a series of positive terms in t^2: there is nothing to cancel.
    """
    t = s * inverse
    t2 = t * t
    scale = _HALF * inverse * t * t2
    return scale * _polynomial(t2, _INTEGRAL), -scale * inverse * inverse * _polynomial(t2, _SLOPE)


@_compiled
def _near(r, inverse, o, s, inside_added, inside_left):
    """The same anywhere, as in `gb`; whether one sphere is inside the other, o < s - r, is asked with o or an
    infinite number for o.
    """
    distance = abs(r - s)
    low = distance if distance > o else o
    high = r + s if r + s > o else o
    product = _1 / (low * high)
    inverse_l, inverse_u = high * product, low * product
    log = _log(low * inverse_u) * inverse
    ratio = s * s * inverse
    difference = inverse_l - inverse_u
    squares = -_QUARTER * (inverse_l + inverse_u) * difference
    value = _HALF * (difference + (r - ratio) * squares + _HALF * log)
    value += _1 / o - inverse_l if s - r > inside_added else _0
    slope = _HALF * (squares + ratio * inverse * squares) - _QUARTER * log * inverse
    slope += inverse_l * inverse_l if s - r > inside_left else _0
    return value, slope * inverse


@_compiled
def _integrals(atoms, w, first, second, radius, scaled, engulfing, slopes):
    """Sums of the integrals of every atom, and derivatives of both integrals of every pair by r, over r."""
    for p in range(len(first)):
        i, j = first[p], second[p]
        oi, oj, si, sj = _F(radius[i]), _F(radius[j]), _F(scaled[i]), _F(scaled[j])
        # Beyond these distances `_far` holds.
        far_i, far_j = max(max(oi, _0) + abs(sj), _2 * abs(sj)), max(max(oj, _0) + abs(si), _2 * abs(si))
        farther = max(far_i, far_j)
        close = np.int32(0)
        for l in range(_L):
            d = _difference(atoms, i, j, l)
            r = np.sqrt(_dot(d, d))
            close += np.int32(r < farther)
            w[_L + l], w[2 * _L + l] = r, _1 / r
        if close == 0:
            for l in range(_L):
                w[3 * _L + l], slope_i = _far(w[2 * _L + l], sj)
                w[4 * _L + l], slope_j = _far(w[2 * _L + l], si)
                if slopes is not None:
                    w[5 * _L + l], w[6 * _L + l] = slope_i, slope_j
        else:
            infinite = _F(np.inf)
            for l in range(_L):
                r, inverse = w[_L + l], w[2 * _L + l]
                value_i, slope_i = _far(inverse, sj)
                value_j, slope_j = _far(inverse, si)
                near_i, near_slope_i = _near(
                    r, inverse, oi, sj, oi if engulfing else infinite, infinite if engulfing else oi
                )
                near_j, near_slope_j = _near(
                    r, inverse, oj, si, oj if engulfing else infinite, infinite if engulfing else oj
                )
                w[3 * _L + l], w[4 * _L + l] = (
                    (near_i if r < far_i else value_i),
                    (near_j if r < far_j else value_j),
                )
                if slopes is not None:
                    w[5 * _L + l], w[6 * _L + l] = (
                        (near_slope_i if r < far_i else slope_i),
                        (near_slope_j if r < far_j else slope_j),
                    )
        for l in range(_L):
            atoms[i, _SUM + l] += w[3 * _L + l]
            atoms[j, _SUM + l] += w[4 * _L + l]
        if slopes is not None:
            for l in range(2 * _L):
                slopes[p, _L + l] = w[5 * _L + l]


@_compiled
def _radii(atoms, w, total, radius, charge, model):
    """Born radii from the integrals, with the energies of single atoms."""
    a, b, c = _F(model[0]), _F(model[1]), _F(model[2])
    for i in range(len(atoms)):
        o, full, area = _F(radius[i]), _F(radius[i] + model[3]), _F(radius[i] + model[7])
        self_factor, tension = (
            _F(model[4] * charge[i] ** 2),
            _F(model[5] * (radius[i] + model[7] + model[6]) ** 2),
        )
        for l in range(_L):
            psi = o * atoms[i, _SUM + l]
            # tanh y = 1 - 2 / (e^2y + 1)
            rest = _2 / (_exp(_2 * psi * (a + psi * (b + psi * c))) + _1)
            inverse = _1 / o - (_1 - rest) / full
            cube = area * inverse * (area * inverse) * (area * inverse)
            surface = tension * cube * cube
            w[l] += self_factor * inverse + surface
            born = _1 / inverse
            atoms[i, _INVERSE + l], atoms[i, _BORN + l] = inverse, born
            atoms[i, _PULL + l] = -(self_factor * inverse) - _F(6.0) * surface
            atoms[i, _SUM + l] = (
                rest * (_2 - rest) * (a + psi * (_2 * b + _F(3.0) * psi * c)) * born * o / full
            )
        _flush(w, total)


@_compiled
def _pairs(atoms, w, total, first, second, qq, c6, c12, born_qq, slopes):
    """Energies of pairs and their derivatives by r at fixed Born radii, over r; with B dU/dB of every
    atom.
    """
    for p in range(max(len(qq), len(born_qq))):
        i, j = first[p], second[p]
        for l in range(_L):
            d = _difference(atoms, i, j, l)
            w[_L + l] = _dot(d, d)
            w[2 * _L + l] = _0
        if p < len(born_qq):
            q = _F(born_qq[p])
            for l in range(_L):
                r2 = w[_L + l]
                exponent = _QUARTER * r2 * atoms[i, _INVERSE + l] * atoms[j, _INVERSE + l]
                decay = _exp(-exponent)
                decayed = atoms[i, _BORN + l] * atoms[j, _BORN + l] * decay
                inverse2 = _1 / (r2 + decayed)
                pair = q * np.sqrt(inverse2)
                w[l] += pair
                if slopes is not None:
                    # dU/df^2 = -U / 2f^2;  df^2/dr = 2r (1 - e/4);  B_i df^2/dB_i = B_i B_j e (1 + r^2 / 4
                    # B_i B_j).
                    half = -_HALF * pair * inverse2
                    by_born = half * decayed * (_1 + exponent)
                    atoms[i, _PULL + l] += by_born
                    atoms[j, _PULL + l] += by_born
                    w[2 * _L + l] = half * (_2 - _HALF * decay)
        if p < len(qq):
            q, attractive, repulsive = _F(qq[p]), _F(c6[p]), _F(c12[p])
            for l in range(_L):
                inverse2 = _1 / w[_L + l]
                r6 = inverse2 * inverse2 * inverse2
                coulomb, attraction, repulsion = q * np.sqrt(inverse2), attractive * r6, repulsive * r6 * r6
                w[l] += coulomb + (repulsion - attraction)
                w[2 * _L + l] += (_F(6.0) * attraction - _F(12.0) * repulsion - coulomb) * inverse2
        if slopes is not None:
            for l in range(_L):
                slopes[p, l] = w[2 * _L + l]
        if p % _RUN == _RUN - 1:
            _flush(w, total)


@_compiled
def _pull(atoms, first, second, n_pairs, born, slopes):
    """Derivatives by r of pairs, at fixed radii and through the Born radii, to gradients."""
    if born:
        for i in range(len(atoms)):
            for l in range(_L):
                atoms[i, _PULL + l] *= atoms[i, _SUM + l]
    for p in range(n_pairs):
        i, j = first[p], second[p]
        if born:
            for l in range(_L):
                slopes[p, l] += (
                    atoms[i, _PULL + l] * slopes[p, _L + l] + atoms[j, _PULL + l] * slopes[p, 2 * _L + l]
                )
        for c in range(0, 3 * _L, _L):
            for l in range(_L):
                force = slopes[p, l] * (atoms[i, _X + c + l] - atoms[j, _X + c + l])
                atoms[i, _GX + c + l] += force
                atoms[j, _GX + c + l] -= force


@_kept
@_compiled
def run(x, bonds, angles, torsions, pairs, nonbonded, born, energy, gradient):
    """Fill energy (n,) in kJ/mol and gradient (n, n_atoms, 3) in kJ/(mol nm), or None, for positions x (n,
    n_atoms, 3) in nm, all float32.

    Args:
        bonds, angles: atoms (k, 2 or 3), rest lengths or angles (k,), constants (k,).
        torsions: atoms (k, 4), series (n, 2, k), constant energy.
        pairs: first and second atoms.
        nonbonded: qq, c6 and c12 of leading pairs.
        born: charge, radius and scaled radius of atoms, qq of pairs; constants of `OBCModel` (8,), engulfing.
            Empty arrays without that force.
    """
    n_atoms = x.shape[1]
    first, second = pairs
    qq, c6, c12 = nonbonded
    charge, radius, scaled, born_qq, model, engulfing = born
    n_pairs = max(len(qq), len(born_qq))
    atoms, w, total = np.empty((n_atoms, _RECORD), _F), np.zeros(13 * _L, _F), np.empty(_L, np.float64)
    if gradient is None:  # noqa: SIM108, as the compiler decides on it by type
        slopes = None
    else:
        slopes = np.empty((n_pairs, 3 * _L), _F)
    for start in range(0, len(x), _L):
        # The last block is filled up with copies of the last configuration: every one takes the same way
        # wherever it is.
        total[:] = torsions[2]
        for i in range(n_atoms):
            for l in range(_L):
                row = min(start + l, len(x) - 1)
                atoms[i, _X + l], atoms[i, _Y + l], atoms[i, _Z + l] = (
                    x[row, i, 0],
                    x[row, i, 1],
                    x[row, i, 2],
                )
                # An atom at infinity would be one without interactions.
                total[l] += 0.0 * x[row, i, 0] + 0.0 * x[row, i, 1] + 0.0 * x[row, i, 2]
            atoms[i, _GX:] = _0
        _bonds(atoms, w, total, bonds[0], bonds[1], bonds[2], gradient)
        _angles(atoms, w, total, angles[0], angles[1], angles[2], gradient)
        _torsions(atoms, w, total, torsions[0], torsions[1], gradient)
        if len(born_qq):
            _integrals(atoms, w, first, second, radius, scaled, engulfing, slopes)
            _radii(atoms, w, total, radius, charge, model)
        _pairs(atoms, w, total, first, second, qq, c6, c12, born_qq, slopes)
        _flush(w, total)
        if gradient is not None:
            _pull(atoms, first, second, n_pairs, len(born_qq) > 0, slopes)
        for l in range(min(_L, len(x) - start)):
            energy[start + l] = total[l]
            if gradient is not None:
                for i in range(n_atoms):
                    for c in range(3):
                        gradient[start + l, i, c] = atoms[i, _GX + c * _L + l]
