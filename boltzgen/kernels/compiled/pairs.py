"""Pairs of atoms of a block of configurations: Coulomb, Lennard-Jones and Born energies, and gradients."""

import numpy as np

from boltzgen.kernels.compiled.block import BORN, BY_BORN, GX, INVERSE, SUM, X, difference, dot, flush
from boltzgen.kernels.compiled.mathematics import F, compiled, exp
from boltzgen.kernels.constants import LANES

_0, _QUARTER, _HALF, _1, _2, _6, _12 = F(0.0), F(0.25), F(0.5), F(1.0), F(2.0), F(6.0), F(12.0)
#: Pairs between two additions to the float64 totals.
_RUN = 8


@compiled
def add_pairs(atoms, w, total, first, second, qq, c6, c12, born_qq, by_distance):
    """Energies of pairs and their derivatives by r at fixed Born radii, over r; with B dU/dB of every atom.

    With f^2 = r^2 + B_i B_j e and e = exp(-r^2 / 4 B_i B_j), U = q / f gives

        dU/df^2 = -U / 2f^2,    df^2/dr = 2r (1 - e/4),    B_i df^2/dB_i = B_i B_j e (1 + r^2 / 4 B_i B_j).

    For Coulomb and Lennard-Jones energies q/r, c6/r^6 and c12/r^12, r dU/dr is -1, -6 and -12 times each.
    """
    for p in range(max(len(qq), len(born_qq))):
        i, j = first[p], second[p]
        for l in range(LANES):
            d = difference(atoms, i, j, l)
            w[LANES + l] = dot(d, d)
            w[2 * LANES + l] = _0
        if p < len(born_qq):
            q = F(born_qq[p])
            for l in range(LANES):
                r2 = w[LANES + l]
                exponent = _QUARTER * r2 * atoms[i, INVERSE + l] * atoms[j, INVERSE + l]
                decay = exp(-exponent)
                decayed = atoms[i, BORN + l] * atoms[j, BORN + l] * decay
                inverse2 = _1 / (r2 + decayed)
                pair = q * np.sqrt(inverse2)
                w[l] += pair
                if by_distance is not None:
                    half = -_HALF * pair * inverse2
                    by_born = half * decayed * (_1 + exponent)
                    atoms[i, BY_BORN + l] += by_born
                    atoms[j, BY_BORN + l] += by_born
                    w[2 * LANES + l] = half * (_2 - _HALF * decay)
        if p < len(qq):
            q, attractive, repulsive = F(qq[p]), F(c6[p]), F(c12[p])
            for l in range(LANES):
                inverse2 = _1 / w[LANES + l]
                r6 = inverse2 * inverse2 * inverse2
                coulomb, attraction, repulsion = q * np.sqrt(inverse2), attractive * r6, repulsive * r6 * r6
                w[l] += coulomb + (repulsion - attraction)
                w[2 * LANES + l] += (_6 * attraction - _12 * repulsion - coulomb) * inverse2
        if by_distance is not None:
            for l in range(LANES):
                by_distance[p, l] = w[2 * LANES + l]
        if p % _RUN == _RUN - 1:
            flush(w, total)


@compiled
def spread(atoms, first, second, n_pairs, born, by_distance):
    """Derivatives by r of pairs, at fixed radii and through the Born radii, to gradients.

    dU/dI = (B dU/dB) (d ln B / dI), and each pair's r moves the integrals of both its atoms.
    """
    if born:
        for i in range(len(atoms)):
            for l in range(LANES):
                atoms[i, BY_BORN + l] *= atoms[i, SUM + l]
    for p in range(n_pairs):
        i, j = first[p], second[p]
        if born:
            for l in range(LANES):
                by_distance[p, l] += (
                    atoms[i, BY_BORN + l] * by_distance[p, LANES + l]
                    + atoms[j, BY_BORN + l] * by_distance[p, 2 * LANES + l]
                )
        for c in range(0, 3 * LANES, LANES):
            for l in range(LANES):
                along = by_distance[p, l] * (atoms[i, X + c + l] - atoms[j, X + c + l])
                atoms[i, GX + c + l] += along
                atoms[j, GX + c + l] -= along
