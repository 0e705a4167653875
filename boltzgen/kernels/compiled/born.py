"""Born radii of a block of configurations, by the formulas of `energy.terms.obc`."""

import numpy as np

from boltzgen.kernels.compiled.block import BORN, BY_BORN, INVERSE, SUM, difference, dot, flush
from boltzgen.kernels.compiled.mathematics import F, compiled, exp, fit, log, polynomial
from boltzgen.kernels.constants import LANES

_0, _QUARTER, _HALF, _1, _2 = F(0.0), F(0.25), F(0.5), F(1.0), F(2.0)
#: With t = s / r, the integral is t^3 / 2r times the first of these series in t^2, and its derivative by r,
#: over r, is -t^3 / 2r^3 times the second; term k falls off as t^2k.
_INTEGRAL = fit(lambda w: sum(2 * k / (2 * k + 1) * w ** (k - 1) for k in range(1, 60)), 0.0, 0.25, 7)
_DERIVATIVE = fit(
    lambda w: sum(4 * k * (k + 1) / (2 * k + 1) * w ** (k - 1) for k in range(1, 60)), 0.0, 0.25, 8
)


@compiled
def _far(inverse, s):
    """Born integral and its derivative by r, over r, where L = r - s and t = s / r < 1/2.

    I = [t / (1 - t^2) - artanh t] / 2r, a series of positive terms in t^2: there is nothing to cancel.
    """
    t = s * inverse
    t2 = t * t
    scale = _HALF * inverse * t * t2
    return scale * polynomial(t2, _INTEGRAL), -scale * inverse * inverse * polynomial(t2, _DERIVATIVE)


@compiled
def _near(r, inverse, o, s, inside_added, inside_left):
    """The same at any distance.

    Where one sphere is inside the other, o < s - r, either 1/o - 1/L is added to the integral or 1/L^2 is
    left in its derivative; the other bound is infinite, so that the question is never true.
    """
    distance = abs(r - s)
    low = distance if distance > o else o
    high = r + s if r + s > o else o
    # One division for both 1/L and 1/U.
    product = _1 / (low * high)
    inverse_l, inverse_u = high * product, low * product
    log_over_r = log(low * inverse_u) * inverse
    ratio = s * s * inverse
    gap = inverse_l - inverse_u
    squares = -_QUARTER * (inverse_l + inverse_u) * gap
    value = _HALF * (gap + (r - ratio) * squares + _HALF * log_over_r)
    value += _1 / o - inverse_l if s - r > inside_added else _0
    by_r = _HALF * (squares + ratio * inverse * squares) - _QUARTER * log_over_r * inverse
    by_r += inverse_l * inverse_l if s - r > inside_left else _0
    return value, by_r * inverse


@compiled
def sum_integrals(atoms, w, first, second, radius, scaled, engulfing, by_distance):
    """Sums of the integrals of every atom, and derivatives of both integrals of every pair by r, over r.

    The latter go to the second and third row of a pair in `by_distance`, unless that is None.
    """
    for p in range(len(first)):
        i, j = first[p], second[p]
        oi, oj, si, sj = F(radius[i]), F(radius[j]), F(scaled[i]), F(scaled[j])
        # Beyond these distances `_far` holds.
        far_i, far_j = max(max(oi, _0) + abs(sj), _2 * abs(sj)), max(max(oj, _0) + abs(si), _2 * abs(si))
        farther = max(far_i, far_j)
        close = np.int32(0)
        for l in range(LANES):
            d = difference(atoms, i, j, l)
            r = np.sqrt(dot(d, d))
            close += np.int32(r < farther)
            w[LANES + l], w[2 * LANES + l] = r, _1 / r
        if close == 0:
            for l in range(LANES):
                w[3 * LANES + l], by_r_i = _far(w[2 * LANES + l], sj)
                w[4 * LANES + l], by_r_j = _far(w[2 * LANES + l], si)
                if by_distance is not None:
                    w[5 * LANES + l], w[6 * LANES + l] = by_r_i, by_r_j
        else:
            infinite = F(np.inf)
            for l in range(LANES):
                r, inverse = w[LANES + l], w[2 * LANES + l]
                value_i, by_r_i = _far(inverse, sj)
                value_j, by_r_j = _far(inverse, si)
                near_i, near_by_r_i = _near(
                    r, inverse, oi, sj, oi if engulfing else infinite, infinite if engulfing else oi
                )
                near_j, near_by_r_j = _near(
                    r, inverse, oj, si, oj if engulfing else infinite, infinite if engulfing else oj
                )
                w[3 * LANES + l], w[4 * LANES + l] = (
                    (near_i if r < far_i else value_i),
                    (near_j if r < far_j else value_j),
                )
                if by_distance is not None:
                    w[5 * LANES + l], w[6 * LANES + l] = (
                        (near_by_r_i if r < far_i else by_r_i),
                        (near_by_r_j if r < far_j else by_r_j),
                    )
        for l in range(LANES):
            atoms[i, SUM + l] += w[3 * LANES + l]
            atoms[j, SUM + l] += w[4 * LANES + l]
        if by_distance is not None:
            for l in range(2 * LANES):
                by_distance[p, LANES + l] = w[5 * LANES + l]


@compiled
def add_born_radii(atoms, w, total, radius, charge, model):
    """Born radii from the integrals, with the energies of single atoms.

    With psi = o I and P = a psi + b psi^2 + c psi^3, 1/B = 1/o - tanh(P) / full, so that

        d ln B / dI = -B d(1/B)/dI = B (1 - tanh(P)^2) P'(psi) o / full,

    which takes the place of I. The self energy falls off as 1/B and the surface as 1/B^6: B dU/dB is minus
    the one and minus six times the other.
    """
    a, b, c = F(model[0]), F(model[1]), F(model[2])
    for i in range(len(atoms)):
        o, full, area = F(radius[i]), F(radius[i] + model[3]), F(radius[i] + model[7])
        self_factor, tension = (
            F(model[4] * charge[i] ** 2),
            F(model[5] * (radius[i] + model[7] + model[6]) ** 2),
        )
        for l in range(LANES):
            psi = o * atoms[i, SUM + l]
            # 1 - tanh P = 2 / (e^2P + 1), and 1 - tanh^2 = (1 - tanh) (2 - (1 - tanh)).
            rest = _2 / (exp(_2 * psi * (a + psi * (b + psi * c))) + _1)
            inverse = _1 / o - (_1 - rest) / full
            cube = area * inverse * (area * inverse) * (area * inverse)
            surface = tension * cube * cube
            w[l] += self_factor * inverse + surface
            born = _1 / inverse
            atoms[i, INVERSE + l], atoms[i, BORN + l] = inverse, born
            atoms[i, BY_BORN + l] = -(self_factor * inverse) - F(6.0) * surface
            atoms[i, SUM + l] = rest * (_2 - rest) * (a + psi * (_2 * b + F(3.0) * psi * c)) * born * o / full
        flush(w, total)
