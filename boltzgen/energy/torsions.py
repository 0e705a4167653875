"""Periodic torsions: U = k (1 + cos(n phi - phase))."""

from collections import defaultdict
from collections.abc import Sequence
from math import cos, sin

import openmm
import torch
from openmm import unit
from torch import Tensor

from boltzgen.energy.geometry import Geometry, PairList, differences
from boltzgen.energy.term import Term, UnsupportedForceError

Quadruple = tuple[int, int, int, int]


class PeriodicTorsions(Term):
    """Fourier series in torsions, one series for each distinct quadruple of atoms.

    U = sum_t [ c_t0 + sum_n c_tn cos(n phi_t) + s_tn sin(n phi_t) ], with cos(n phi) and sin(n phi) from cos(phi) and sin(phi) by Chebyshev's
    recurrence: no inverse trigonometric function, so that planar torsions are ordinary points. Where three atoms in a row are exactly
    collinear the torsion is undefined: it counts as zero there, without gradient.

    Args:
        series: coefficients (c, s) in kJ/mol by multiplicity, for each quadruple.
    """

    arms: Tensor
    cosine: Tensor
    sine: Tensor
    constant: Tensor

    def __init__(self, series: dict[Quadruple, dict[int, tuple[float, float]]], n_atoms: int) -> None:
        super().__init__()
        self.register_buffer("arms", bond_vectors(list(series), n_atoms))
        highest = max((n for terms in series.values() for n in terms), default=0)
        table = torch.zeros(2, highest + 1, len(series), 1, dtype=torch.float64)
        for row, terms in enumerate(series.values()):
            for n, (c, s) in terms.items():
                table[0, n, row], table[1, n, row] = c, s
        self.register_buffer("constant", table[0, 0].sum())
        self.register_buffer("cosine", table[0, 1:].contiguous())
        self.register_buffer("sine", table[1, 1:].contiguous())

    @classmethod
    def from_openmm(cls, force: openmm.PeriodicTorsionForce, pairs: PairList) -> "PeriodicTorsions":
        """Read an OpenMM `PeriodicTorsionForce`: k cos(n phi - phase) = k cos(phase) cos(n phi) + k sin(phase) sin(n phi)."""
        series: dict[Quadruple, dict[int, tuple[float, float]]] = defaultdict(lambda: defaultdict(lambda: (0.0, 0.0)))
        for index in range(force.getNumTorsions()):
            i, j, k, l, n, phase, constant = force.getTorsionParameters(index)
            if n < 1:
                raise UnsupportedForceError("PeriodicTorsionForce", f"torsion {index} has periodicity {n}, expected at least 1")
            delta, height = phase.value_in_unit(unit.radian), constant.value_in_unit(unit.kilojoule_per_mole)
            terms = series[i, j, k, l]
            terms[0] = (terms[0][0] + height, 0.0)
            terms[n] = (terms[n][0] + height * cos(delta), terms[n][1] + height * sin(delta))
        return cls(series, pairs.n_atoms)

    def forward(self, geometry: Geometry) -> Tensor:
        x = geometry.x
        c, s = cosine_and_sine(self.arms.to(x.dtype), x)
        cosine, sine = self.cosine.to(x.dtype), self.sine.to(x.dtype)
        total = self.constant.to(x.dtype).expand(x.shape[-1])
        previous, current = (torch.ones_like(c), torch.zeros_like(s)), (c, s)
        for row in range(len(cosine)):
            total = total + (cosine[row] * current[0] + sine[row] * current[1]).sum(0)
            if row + 1 < len(cosine):
                step = (2.0 * c * current[0] - previous[0], 2.0 * c * current[1] - previous[1])
                previous, current = current, step
        return total


def bond_vectors(quadruples: Sequence[Quadruple], n_atoms: int) -> Tensor:
    """The matrix, float64 (3 n, n_atoms), whose product with positions gives the vectors i->j of every quadruple, then j->k, then k->l."""
    i, j, k, l = torch.tensor(quadruples, dtype=torch.long).reshape(-1, 4).unbind(1)
    return differences(torch.cat([j, k, l]), torch.cat([i, j, k]), n_atoms)


def cosine_and_sine(arms: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """cos(phi) and sin(phi), each (n, batch), of the torsions whose `bond_vectors` are ``arms``, at positions x (3, n_atoms, batch) in nm.

    cos(phi) = m.n / |m||n| and sin(phi) = |b2| b1.n / |m||n| with m = b1 x b2, n = b2 x b3. Where the torsion is undefined they are 1 and 0,
    without gradient.
    """
    b1, b2, b3 = (arms @ x).chunk(3, dim=1)
    m, n = torch.linalg.cross(b1, b2, dim=0), torch.linalg.cross(b2, b3, dim=0)
    norm2 = m.square().sum(0) * n.square().sum(0)
    defined = norm2 != 0
    scale = torch.where(defined, norm2, 1.0).rsqrt()
    c = torch.where(defined, (m * n).sum(0) * scale, 1.0)
    s = torch.where(defined, (b1 * n).sum(0) * b2.square().sum(0).sqrt() * scale, 0.0)
    return c, s
