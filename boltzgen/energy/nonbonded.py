"""Coulomb and Lennard-Jones interactions without a cutoff: U = qq / (4 pi eps0 r) + 4 eps ((sigma/r)^12 - (sigma/r)^6)."""

from math import pi, sqrt

import openmm
import torch
from openmm import unit
from torch import Tensor

from boltzgen.energy.geometry import Geometry, PairList
from boltzgen.energy.term import Term, UnsupportedForceError, with_gradient

#: Coulomb's constant 1 / (4 pi eps0) in kJ nm / (mol e^2), from the constants of CODATA 2018 as OpenMM uses them.
COULOMB = (1.602176634e-19**2 * 6.02214076e23) / (4 * pi * 8.8541878128e-12) * 1e6


class Nonbonded(Term):
    """Pair interactions of the leading rows of the pair list: qq in kJ nm/mol, c6 in kJ nm^6/mol, c12 in kJ nm^12/mol."""

    qq: Tensor
    c6: Tensor
    c12: Tensor

    def __init__(self, qq: list[float], c6: list[float], c12: list[float]) -> None:
        super().__init__()
        self.parameter_column("qq", qq)
        self.parameter_column("c6", c6)
        self.parameter_column("c12", c12)

    @classmethod
    def from_openmm(cls, force: openmm.NonbondedForce, pairs: PairList) -> "Nonbonded":
        """Read an OpenMM `NonbondedForce`: Lorentz-Berthelot rules, replaced where there is an exception."""
        if force.getNonbondedMethod() != openmm.NonbondedForce.NoCutoff:
            raise UnsupportedForceError("NonbondedForce", "it uses a cutoff or a lattice sum, expected the method NoCutoff")
        if force.getNumParticleParameterOffsets() or force.getNumExceptionParameterOffsets():
            raise UnsupportedForceError("NonbondedForce", "its parameters depend on global parameters (offsets)")
        charge, sigma, epsilon = (
            [force.getParticleParameters(i)[k].value_in_unit(u) for i in range(pairs.n_atoms)]
            for k, u in enumerate((unit.elementary_charge, unit.nanometer, unit.kilojoule_per_mole))
        )
        exceptions = {}
        for n in range(force.getNumExceptions()):
            i, j, product, length, depth = force.getExceptionParameters(n)
            exceptions[min(i, j), max(i, j)] = (
                product.value_in_unit(unit.elementary_charge**2),
                length.value_in_unit(unit.nanometer),
                depth.value_in_unit(unit.kilojoule_per_mole),
            )
        qq, c6, c12 = [], [], []
        for i, j in pairs.atoms():
            combined = (charge[i] * charge[j], 0.5 * (sigma[i] + sigma[j]), sqrt(epsilon[i] * epsilon[j]))
            product, length, depth = exceptions.get((i, j), combined)
            qq.append(COULOMB * product)
            c6.append(4.0 * depth * length**6)
            c12.append(4.0 * depth * length**12)
        # Pairs without any interaction are left off the end: the pair list puts them there.
        n = max((row + 1 for row in range(len(qq)) if qq[row] or c12[row]), default=0)
        return cls(qq[:n], c6[:n], c12[:n])

    def forward(self, geometry: Geometry) -> Tensor:
        distances = geometry.distances
        with torch.no_grad():
            qq, c6, c12 = (p.to(distances.dtype) for p in (self.qq, self.c6, self.c12))
            inverse = distances[: len(qq)].reciprocal()
            coulomb = qq * inverse
            r6 = inverse.square()
            r6 = r6.square().mul_(r6)
            repulsion = (c12 * r6).mul_(r6)
            attraction = c6 * r6
            energy = (coulomb + repulsion).sub_(attraction).sum(0)
            if not distances.requires_grad:
                return energy
            slope = torch.zeros_like(distances)
            torch.mul(repulsion.mul_(-12.0).add_(attraction, alpha=6.0).sub_(coulomb), inverse, out=slope[: len(qq)])
        return with_gradient(energy, distances, slope)


def excluded_pairs(system: openmm.System) -> frozenset[tuple[int, int]]:
    """Pairs (i < j) that every `NonbondedForce` of the system leaves out."""
    sets = []
    for force in system.getForces():
        if isinstance(force, openmm.NonbondedForce):
            excluded = set()
            for n in range(force.getNumExceptions()):
                i, j, product, _, depth = force.getExceptionParameters(n)
                if product / unit.elementary_charge**2 == 0 and depth / unit.kilojoule_per_mole == 0:
                    excluded.add((min(i, j), max(i, j)))
            sets.append(excluded)
    return frozenset(set.intersection(*sets)) if sets else frozenset()
