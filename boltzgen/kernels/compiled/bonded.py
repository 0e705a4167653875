"""Bonds, angles and torsions of a block of configurations: energies, and gradients into atoms' records."""

import numpy as np

from boltzgen.kernels.compiled.block import GX, cross, difference, dot, flush
from boltzgen.kernels.compiled.mathematics import F, arctangent, compiled
from boltzgen.kernels.constants import LANES

_0, _HALF, _1, _2 = F(0.0), F(0.5), F(1.0), F(2.0)


@compiled
def add_bonds(atoms, w, total, table, rest, stiffness, gradient):
    """U = k/2 (r - r0)^2, dU/dr = k (r - r0); no gradient where r = 0."""
    for n in range(len(table)):
        i, j = table[n]
        r0, k = F(rest[n]), F(stiffness[n])
        for l in range(LANES):
            d = difference(atoms, i, j, l)
            r = np.sqrt(dot(d, d))
            derivative = k * (r - r0)
            w[l] += _HALF * derivative * (r - r0)
            if gradient is not None:
                scale = _0 if r == _0 else derivative / r
                for c in range(3):
                    atoms[i, GX + c * LANES + l] += scale * d[c]
                    atoms[j, GX + c * LANES + l] -= scale * d[c]
        flush(w, total)


@compiled
def add_angles(atoms, w, total, table, rest, stiffness, gradient):
    """U = k/2 (theta - theta0)^2; no gradient at a straight angle, where it has no direction."""
    for n in range(len(table)):
        i, j, k = table[n]
        theta0, constant = F(rest[n]), F(stiffness[n])
        for l in range(LANES):
            a, b = difference(atoms, i, j, l), difference(atoms, k, j, l)
            normal = cross(a, b)
            sine = np.sqrt(dot(normal, normal))
            bend = arctangent(sine, dot(a, b)) - theta0
            w[l] += _HALF * constant * bend * bend
            if gradient is not None:
                # d theta / da = a x (a x b) / (|a|^2 |a x b|), and the same for b with the other sign.
                derivative = _0 if sine == _0 else constant * bend / sine
                by_a, by_b = cross(a, normal), cross(normal, b)
                scale_a, scale_b = derivative / dot(a, a), derivative / dot(b, b)
                for c in range(3):
                    w[(1 + c) * LANES + l] = scale_a * by_a[c]
                    w[(4 + c) * LANES + l] = scale_b * by_b[c]
        if gradient is not None:
            for l in range(3 * LANES):
                atoms[i, GX + l] += w[LANES + l]
                atoms[k, GX + l] += w[4 * LANES + l]
                atoms[j, GX + l] -= w[LANES + l] + w[4 * LANES + l]
        flush(w, total)


@compiled
def add_torsions(atoms, w, total, table, series, gradient):
    """U = sum_n c_n cos(n phi) + s_n sin(n phi), with series (n, 2, torsions) of c and s from n = 1.

    cos(n phi) = 2 cos(phi) cos((n - 1) phi) - cos((n - 2) phi), and the same for the sine (Chebyshev).
    """
    for t in range(len(table)):
        i, j, k, m = table[t]
        highest = 0
        for n in range(len(series)):
            if series[n, 0, t] != 0.0 or series[n, 1, t] != 0.0:
                highest = n + 1
        for l in range(LANES):
            b1, b2, b3 = difference(atoms, j, i, l), difference(atoms, k, j, l), difference(atoms, m, k, l)
            p, q = cross(b1, b2), cross(b2, b3)
            norm2 = dot(p, p) * dot(q, q)
            scale = _1 / np.sqrt(norm2)
            # w: cos(n phi), sin(n phi), those of n - 1, and dU/dphi; undefined torsions count as zero.
            w[LANES + l] = _1 if norm2 == _0 else dot(p, q) * scale
            w[2 * LANES + l] = _0 if norm2 == _0 else dot(b1, q) * np.sqrt(dot(b2, b2)) * scale
            w[3 * LANES + l], w[4 * LANES + l], w[5 * LANES + l], w[6 * LANES + l] = (
                _1,
                _0,
                _0,
                _2 * w[LANES + l],
            )
        for n in range(highest):
            c, s, factor = F(series[n, 0, t]), F(series[n, 1, t]), F(n + 1)
            for l in range(LANES):
                cosine, sine = w[LANES + l], w[2 * LANES + l]
                w[l] += c * cosine + s * sine
                w[5 * LANES + l] += factor * (s * cosine - c * sine)
                w[LANES + l] = w[6 * LANES + l] * cosine - w[3 * LANES + l]
                w[2 * LANES + l] = w[6 * LANES + l] * sine - w[4 * LANES + l]
                w[3 * LANES + l], w[4 * LANES + l] = cosine, sine
        if gradient is not None:
            for l in range(LANES):
                b1, b2, b3 = (
                    difference(atoms, j, i, l),
                    difference(atoms, k, j, l),
                    difference(atoms, m, k, l),
                )
                p, q = cross(b1, b2), cross(b2, b3)
                p2, q2, length2 = dot(p, p), dot(q, q), dot(b2, b2)
                # d phi / db1 = |b2| p / p^2,  d phi / db3 = |b2| q / q^2,  d phi / db2 = -[(b1.b2) d phi /
                # db1 + (b3.b2) d phi / db3] / b2^2.
                derivative = _0 if p2 * q2 == _0 else w[5 * LANES + l] * np.sqrt(length2)
                by_p, by_q = (
                    (_0 if derivative == _0 else derivative / p2),
                    (_0 if derivative == _0 else derivative / q2),
                )
                along_p, along_q = (
                    (_0 if derivative == _0 else dot(b1, b2) / length2),
                    (_0 if derivative == _0 else dot(b3, b2) / length2),
                )
                for c in range(3):
                    first, last = by_p * p[c], by_q * q[c]
                    middle = -(along_p * first + along_q * last)
                    w[(1 + c) * LANES + l] = -first
                    w[(4 + c) * LANES + l] = first - middle
                    w[(7 + c) * LANES + l] = middle - last
                    w[(10 + c) * LANES + l] = last
            for l in range(3 * LANES):
                atoms[i, GX + l] += w[LANES + l]
                atoms[j, GX + l] += w[4 * LANES + l]
                atoms[k, GX + l] += w[7 * LANES + l]
                atoms[m, GX + l] += w[10 * LANES + l]
        flush(w, total)
