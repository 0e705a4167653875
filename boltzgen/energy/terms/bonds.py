"""Harmonic bonds: U = k/2 (r - r0)^2."""

import openmm
import torch
from openmm import unit
from torch import Tensor
from typing_extensions import override

from boltzgen.energy.geometry import Geometry, PairList, differences, dot
from boltzgen.energy.terms.term import Term, with_gradient


class HarmonicBonds(Term):
    """Harmonic bonds between pairs of atoms (n, 2); r0 in nm, k in kJ/(mol nm^2)."""

    atoms: Tensor
    arms: Tensor
    r0: Tensor
    k: Tensor

    def __init__(self, atoms: list[tuple[int, int]], r0: list[float], k: list[float], n_atoms: int) -> None:
        super().__init__()
        self.register_buffer("atoms", torch.tensor(atoms, dtype=torch.long).reshape(-1, 2))
        i, j = self.atoms.unbind(1)
        self.register_buffer("arms", differences(i, j, n_atoms))
        self.parameter_column("r0", r0)
        self.parameter_column("k", k)

    @classmethod
    def from_openmm(cls, force: openmm.HarmonicBondForce, pairs: PairList) -> "HarmonicBonds":
        """Read an OpenMM `HarmonicBondForce`."""
        atoms, r0, k = [], [], []
        for n in range(force.getNumBonds()):
            i, j, length, constant = force.getBondParameters(n)
            atoms.append((i, j))
            r0.append(length.value_in_unit(unit.nanometer))
            k.append(constant.value_in_unit(unit.kilojoule_per_mole / unit.nanometer**2))
        return cls(atoms, r0, k, pairs.n_atoms)

    @override
    def forward(self, geometry: Geometry) -> Tensor:
        x, arms, k = geometry.x, geometry.cast(self.arms), geometry.cast(self.k)
        with torch.no_grad():
            vectors = arms @ x
            r = dot(vectors, vectors).sqrt_()
            stretch = r - geometry.cast(self.r0)
            by_distance = k * stretch
            energy = 0.5 * (by_distance * stretch).sum(0)
            if not x.requires_grad:
                return energy
            # dU/dv = k (r - r0) v / r for v = x[i] - x[j]. Two atoms in one place have no direction: no
            # gradient.
            scale = by_distance.div_(r).masked_fill_(r == 0, 0.0)
            gradient = arms.T @ vectors.mul_(scale)
        return with_gradient(energy, x, gradient)
