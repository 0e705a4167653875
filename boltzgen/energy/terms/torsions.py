"""Periodic torsions: U = k (1 + cos(n phi - phase))."""

from collections import defaultdict
from collections.abc import Sequence
from math import cos, sin

import openmm
import torch
from openmm import unit
from torch import Tensor
from typing_extensions import override

from boltzgen.energy.geometry import Geometry, PairList, cross, differences, dot
from boltzgen.energy.terms.term import Term, UnsupportedForceError, with_gradient

Quadruple = tuple[int, int, int, int]


class PeriodicTorsions(Term):
    """Fourier series in torsions, one series for each distinct quadruple of atoms.

    U = sum_t [ c_t0 + sum_n c_tn cos(n phi_t) + s_tn sin(n phi_t) ], with cos(n phi) and sin(n phi) from
    cos(phi) and sin(phi) by Chebyshev's recurrence,

        cos(n phi) = 2 cos(phi) cos((n - 1) phi) - cos((n - 2) phi),    and the same for the sine:

    no inverse trigonometric function, so that planar torsions are ordinary points. With the bond vectors b1,
    b2 and b3, m = b1 x b2 and n = b2 x b3,

        cos(phi) = m.n / |m||n|,    sin(phi) = |b2| b1.n / |m||n|,
        d phi / db1 = |b2| m / m^2,    d phi / db3 = |b2| n / n^2,
        d phi / db2 = -[(b1.b2) d phi / db1 + (b3.b2) d phi / db3] / b2^2.

    Where three atoms in a row are exactly collinear the torsion is undefined: it counts as zero there,
    without gradient.

    Args:
        series: coefficients (c, s) in kJ/mol by multiplicity, for each quadruple.
    """

    atoms: Tensor
    arms: Tensor
    series: Tensor
    derivative: Tensor
    constant: Tensor

    def __init__(self, series: dict[Quadruple, dict[int, tuple[float, float]]], n_atoms: int) -> None:
        super().__init__()
        self.register_buffer("atoms", torch.tensor(list(series), dtype=torch.long).reshape(-1, 4))
        self.register_buffer("arms", bond_vectors(list(series), n_atoms))
        highest = max((n for terms in series.values() for n in terms), default=0)
        table = torch.zeros(2, highest + 1, len(series), 1, dtype=torch.float64)
        for row, terms in enumerate(series.values()):
            for n, (c, s) in terms.items():
                table[0, n, row], table[1, n, row] = c, s
        self.register_buffer("constant", table[0, 0].sum())
        cosine, sine = table[:, 1:]
        multiplicity = torch.arange(1, highest + 1, dtype=torch.float64).reshape(-1, 1, 1)
        # Coefficients of cos(n phi) and sin(n phi) in U and in dU/dphi, (n, 2, quadruples, 1).
        self.register_buffer("series", torch.stack([cosine, sine], 1))
        self.register_buffer("derivative", torch.stack([multiplicity * sine, -multiplicity * cosine], 1))

    @classmethod
    def from_openmm(cls, force: openmm.PeriodicTorsionForce, pairs: PairList) -> "PeriodicTorsions":
        """Read an OpenMM `PeriodicTorsionForce`.

        k cos(n phi - phase) = k cos(phase) cos(n phi) + k sin(phase) sin(n phi).
        """
        series: dict[Quadruple, dict[int, tuple[float, float]]] = defaultdict(
            lambda: defaultdict(lambda: (0.0, 0.0))
        )
        for index in range(force.getNumTorsions()):
            i, j, k, l, n, phase, constant = force.getTorsionParameters(index)
            if n < 1:
                raise UnsupportedForceError(
                    "PeriodicTorsionForce", f"torsion {index} has periodicity {n}, expected at least 1"
                )
            delta, height = phase.value_in_unit(unit.radian), constant.value_in_unit(unit.kilojoule_per_mole)
            terms = series[i, j, k, l]
            terms[0] = (terms[0][0] + height, 0.0)
            terms[n] = (terms[n][0] + height * cos(delta), terms[n][1] + height * sin(delta))
        return cls(series, pairs.n_atoms)

    @override
    def forward(self, geometry: Geometry) -> Tensor:
        x, arms = geometry.x, geometry.cast(self.arms)
        series, derivative = geometry.cast(self.series), geometry.cast(self.derivative)
        with torch.no_grad():
            b1, b2, b3 = (arms @ x).chunk(3, dim=1)
            m, n = cross(b1, b2), cross(b2, b3)
            m2, n2, length2 = dot(m, m), dot(n, n), dot(b2, b2)
            norm2 = m2 * n2
            undefined = norm2 == 0
            scale = norm2.masked_fill_(undefined, 1.0).rsqrt_()
            length = length2.sqrt()
            # cos(phi) and sin(phi), then of 2 phi, 3 phi, ...
            wave = torch.stack(
                [
                    dot(m, n).mul_(scale).masked_fill_(undefined, 1.0),
                    dot(b1, n).mul_(length).mul_(scale).masked_fill_(undefined, 0.0),
                ]
            )
            twice = 2.0 * wave[0]
            before = torch.stack([torch.ones_like(twice), torch.zeros_like(twice)])
            energies, by_phi = torch.zeros_like(wave), torch.zeros_like(wave)
            for row in range(len(series)):
                if row:
                    before, wave = wave, before.neg_().addcmul_(twice, wave)
                energies.addcmul_(series[row], wave)
                if x.requires_grad:
                    by_phi.addcmul_(derivative[row], wave)
            energy = energies.sum((0, 1)).add_(geometry.cast(self.constant))
            if not x.requires_grad:
                return energy
            # From here on m and n are dU/db1 and dU/db3, and `middle` is dU/db2.
            by_phi_length = by_phi.sum(0).mul_(length).masked_fill_(undefined, 0.0)
            m.mul_(by_phi_length / m2.masked_fill_(undefined, 1.0))
            n.mul_(by_phi_length / n2.masked_fill_(undefined, 1.0))
            length2.masked_fill_(undefined, 1.0)
            middle = (m * (dot(b1, b2) / length2)).addcmul_(n, dot(b3, b2) / length2).neg_()
            gradient = arms.T @ torch.cat([m, middle, n], dim=1)
        return with_gradient(energy, x, gradient)


def bond_vectors(quadruples: Sequence[Quadruple], n_atoms: int) -> Tensor:
    """The matrix, float64 (3 n, n_atoms), from positions to the bond vectors of quadruples i, j, k, l.

    First come the vectors i->j of every quadruple, then j->k, then k->l.
    """
    i, j, k, l = torch.tensor(quadruples, dtype=torch.long).reshape(-1, 4).unbind(1)
    return differences(torch.cat([j, k, l]), torch.cat([i, j, k]), n_atoms)
