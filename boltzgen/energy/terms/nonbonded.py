"""Coulomb and Lennard-Jones interactions, with or without a cutoff.

U = qq / (4 pi eps0 r) + 4 eps ((sigma/r)^12 - (sigma/r)^6)
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import pi, sqrt

import openmm
import torch
from openmm import unit
from torch import Tensor
from typing_extensions import override

from boltzgen.energy.geometry import Geometry, PairList
from boltzgen.energy.terms.term import Term, UnsupportedForceError, row_sum, with_gradient

#: Coulomb's constant 1 / (4 pi eps0) in kJ nm / (mol e^2), from the constants of CODATA 2018 as OpenMM uses
#: them.
COULOMB = (1.602176634e-19**2 * 6.02214076e23) / (4 * pi * 8.8541878128e-12) * 1e6


class Nonbonded(Term):
    """Pair interactions of the leading rows of the pair list: U = qq/r + c12/r^12 - c6/r^6.

    qq in kJ nm/mol, c6 in kJ nm^6/mol, c12 in kJ nm^12/mol. With the three energies C = qq/r, R = c12/r^12
    and A = c6/r^6, in this order of the code's products,

        r6 = (1/r)^6,    R = (c12 r6) r6,    A = c6 r6,    dU/dr = (-12 R + 6 A - C) / r,

    which is zero for the pairs at the end of the list that have no row here.
    """

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
        """Read an OpenMM `NonbondedForce`: Lorentz-Berthelot rules, replaced where there is an exception.

        Parameter offsets count with the default values of their global parameters.
        """
        method = force.getNonbondedMethod()
        if method not in (openmm.NonbondedForce.NoCutoff, openmm.NonbondedForce.CutoffNonPeriodic):
            raise UnsupportedForceError(
                "NonbondedForce",
                "it is periodic (a periodic cutoff, Ewald or PME), expected NoCutoff or CutoffNonPeriodic",
            )
        particles, exceptions = parameters(force)
        qq, c6, c12 = [], [], []
        for i, j in pairs.atoms():
            (qi, si, ei), (qj, sj, ej) = particles[i], particles[j]
            product, length, depth = (
                exceptions[i, j] if (i, j) in exceptions else (qi * qj, 0.5 * (si + sj), sqrt(ei * ej))
            )
            qq.append(COULOMB * product)
            c6.append(4.0 * depth * length**6)
            c12.append(4.0 * depth * length**12)
        # Pairs without any interaction are left off the end: the pair list puts them there.
        n = max((row + 1 for row in range(len(qq)) if qq[row] or c12[row]), default=0)
        if method == openmm.NonbondedForce.NoCutoff:
            return cls(qq[:n], c6[:n], c12[:n])
        bare = [pair in exceptions for pair in pairs.atoms()[:n]]
        return CutoffNonbonded(qq[:n], c6[:n], c12[:n], bare, Cutoff.from_openmm(force))

    @override
    def forward(self, geometry: Geometry) -> Tensor:
        distances = geometry.distances
        with torch.no_grad():
            qq, c6, c12 = geometry.cast(self.qq), geometry.cast(self.c6), geometry.cast(self.c12)
            inverse = geometry.inverse_distances[: len(qq)]
            coulomb = qq * inverse
            r6 = inverse.square()
            r6 = r6.square().mul_(r6)
            repulsion = (c12 * r6).mul_(r6)
            attraction = c6 * r6
            energy = row_sum((coulomb + repulsion).sub_(attraction))
            if not distances.requires_grad:
                return energy
            by_distance = torch.zeros_like(distances)
            r_times = repulsion.mul_(-12.0).add_(attraction, alpha=6.0).sub_(coulomb)
            torch.mul(r_times, inverse, out=by_distance[: len(qq)])
        return with_gradient(energy, distances, by_distance)


@dataclass(frozen=True)
class Cutoff:
    """How interactions end at a distance.

    Attributes:
        distance: cutoff r_c in nm.
        k: factor of r^2 in the reaction field qq (1/r + k r^2 - c), in 1/nm^3.
        c: constant of the reaction field, in 1/nm.
        switch: distance in nm at which the switching function of the Lennard-Jones energy begins, or None.
    """

    distance: float
    k: float
    c: float
    switch: float | None

    @classmethod
    def from_openmm(cls, force: openmm.NonbondedForce) -> "Cutoff":
        """k = r_c^-3 (eps - 1)/(2 eps + 1) and c = r_c^-1 3 eps/(2 eps + 1) of a force.

        eps is the dielectric constant beyond the cutoff r_c.
        """
        distance = force.getCutoffDistance().value_in_unit(unit.nanometer)
        dielectric = force.getReactionFieldDielectric()
        k = distance**-3 * (dielectric - 1.0) / (2.0 * dielectric + 1.0)
        c = 3.0 * dielectric / (2.0 * dielectric + 1.0) / distance
        switch = (
            force.getSwitchingDistance().value_in_unit(unit.nanometer)
            if force.getUseSwitchingFunction()
            else None
        )
        return cls(distance, k, c, switch)


class CutoffNonbonded(Nonbonded):
    """Pair interactions up to a cutoff, U = qq (1/r + k r^2 - c) + S(r) U_LJ.

    Pairs with ``bare`` true (exceptions) keep U = qq/r + U_LJ at any distance. Between switch and r_c,
    S(r) = 1 - 10 t^3 + 15 t^4 - 6 t^5 with t = (r - switch)/(r_c - switch).
    """

    bare: Tensor
    field: Tensor

    def __init__(
        self, qq: list[float], c6: list[float], c12: list[float], bare: list[bool], cutoff: Cutoff
    ) -> None:
        super().__init__(qq, c6, c12)
        self.cutoff = cutoff
        self.register_buffer("bare", torch.tensor(bare, dtype=torch.bool).reshape(-1, 1))
        # qq where there is a reaction field.
        self.parameter_column("field", self.qq.where(~self.bare, 0.0))

    @override
    def forward(self, geometry: Geometry) -> Tensor:
        r = geometry.distances[: len(self.qq)]
        qq, c6, c12, field = (p.to(r.dtype) for p in (self.qq, self.c6, self.c12, self.field))
        r6 = r.reciprocal().pow(6)
        lennard_jones = (c12 * r6 - c6) * r6
        if self.cutoff.switch is not None:
            t = ((r - self.cutoff.switch) / (self.cutoff.distance - self.cutoff.switch)).clamp(0.0, 1.0)
            switched = 1.0 + t.pow(3) * (-10.0 + t * (15.0 - 6.0 * t))
            lennard_jones = torch.where(self.bare, 1.0, switched) * lennard_jones
        energy = qq / r + field * (self.cutoff.k * r.square() - self.cutoff.c) + lennard_jones
        # A distance that is not a number is not beyond the cutoff.
        return row_sum(torch.where(self.bare | ~(r > self.cutoff.distance), energy, 0.0))


Values = tuple[float, float, float]


def parameters(force: openmm.NonbondedForce) -> tuple[list[Values], dict[tuple[int, int], Values]]:
    """Charge in e, sigma in nm and epsilon in kJ/mol of every particle and every exception (i < j).

    An exception has the product of two charges. Offsets are added at the default values of their global
    parameters.
    """
    default = {
        force.getGlobalParameterName(n): force.getGlobalParameterDefaultValue(n)
        for n in range(force.getNumGlobalParameters())
    }
    particles = [_plain(force.getParticleParameters(i)) for i in range(force.getNumParticles())]
    rows = [force.getExceptionParameters(n) for n in range(force.getNumExceptions())]
    exceptions = [_plain(row[2:]) for row in rows]
    for n in range(force.getNumParticleParameterOffsets()):
        name, index, *scales = force.getParticleParameterOffset(n)
        particles[index] = _shifted(particles[index], scales, default[name])
    for n in range(force.getNumExceptionParameterOffsets()):
        name, index, *scales = force.getExceptionParameterOffset(n)
        exceptions[index] = _shifted(exceptions[index], scales, default[name])
    return particles, {
        (min(i, j), max(i, j)): values for (i, j, *_), values in zip(rows, exceptions, strict=True)
    }


def _plain(quantities: Sequence[unit.Quantity]) -> Values:
    charge, length, depth = (q.value_in_unit_system(unit.md_unit_system) for q in quantities)
    return charge, length, depth


def _shifted(values: Values, scales: Sequence[float], parameter: float) -> Values:
    charge, length, depth = (value + parameter * scale for value, scale in zip(values, scales, strict=True))
    return charge, length, depth


def excluded_pairs(system: openmm.System) -> frozenset[tuple[int, int]]:
    """Pairs (i < j) that every `NonbondedForce` of the system leaves out."""
    sets = [
        {pair for pair, (product, _, depth) in parameters(force)[1].items() if product == 0 and depth == 0}
        for force in system.getForces()
        if isinstance(force, openmm.NonbondedForce)
    ]
    return frozenset(set.intersection(*sets)) if sets else frozenset()
