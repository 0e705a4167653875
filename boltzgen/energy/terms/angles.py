"""Harmonic angles: U = k/2 (theta - theta0)^2."""

import openmm
import torch
from openmm import unit
from torch import Tensor
from typing_extensions import override

from boltzgen.energy.geometry import Geometry, PairList, cross, differences, dot
from boltzgen.energy.terms.term import Term, with_gradient


class HarmonicAngles(Term):
    """Harmonic angles; atoms (n, 3) with the vertex in the middle, theta0 in rad, k in kJ/(mol rad^2).

    The angle comes from the arctangent of cross and dot product, accurate near 0 and pi too. With the arms a
    and b from the vertex,

        d theta / da = a x (a x b) / (|a|^2 |a x b|),    d theta / db = -b x (a x b) / (|b|^2 |a x b|).

    At an exactly straight angle, where it has no direction, the gradient is zero.
    """

    atoms: Tensor
    arms: Tensor
    theta0: Tensor
    k: Tensor

    def __init__(
        self, atoms: list[tuple[int, int, int]], theta0: list[float], k: list[float], n_atoms: int
    ) -> None:
        super().__init__()
        self.register_buffer("atoms", torch.tensor(atoms, dtype=torch.long).reshape(-1, 3))
        i, j, l = self.atoms.unbind(1)
        self.register_buffer("arms", differences(torch.cat([i, l]), torch.cat([j, j]), n_atoms))
        self.parameter_column("theta0", theta0)
        self.parameter_column("k", k)

    @classmethod
    def from_openmm(cls, force: openmm.HarmonicAngleForce, pairs: PairList) -> "HarmonicAngles":
        """Read an OpenMM `HarmonicAngleForce`."""
        atoms, theta0, k = [], [], []
        for n in range(force.getNumAngles()):
            i, j, l, angle, constant = force.getAngleParameters(n)
            atoms.append((i, j, l))
            theta0.append(angle.value_in_unit(unit.radian))
            k.append(constant.value_in_unit(unit.kilojoule_per_mole / unit.radian**2))
        return cls(atoms, theta0, k, pairs.n_atoms)

    @override
    def forward(self, geometry: Geometry) -> Tensor:
        x, arms, k = geometry.x, geometry.cast(self.arms), geometry.cast(self.k)
        with torch.no_grad():
            vectors = arms @ x
            a, b = vectors.chunk(2, dim=1)
            normal = cross(a, b)
            sine = dot(normal, normal).sqrt_()
            bend = torch.atan2(sine, dot(a, b)).sub_(geometry.cast(self.theta0))
            by_angle = k * bend
            energy = 0.5 * (by_angle * bend).sum(0)
            if not x.requires_grad:
                return energy
            # dU/dtheta / |a x b|, then dU/da and dU/db, then by atoms: an arm is x[end] - x[vertex].
            scale = by_angle.div_(sine).masked_fill_(sine == 0, 0.0)
            by_arms = torch.empty_like(vectors)
            for arm, by_arm, signed in zip((a, b), by_arms.chunk(2, dim=1), (scale, -scale), strict=True):
                torch.mul(cross(arm, normal), signed / dot(arm, arm), out=by_arm)
            gradient = arms.T @ by_arms
        return with_gradient(energy, x, gradient)
