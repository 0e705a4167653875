"""Harmonic angles: U = k/2 (theta - theta0)^2."""

import openmm
import torch
from openmm import unit
from torch import Tensor

from boltzgen.energy.geometry import Geometry, PairList, differences
from boltzgen.energy.term import Term


class HarmonicAngles(Term):
    """Harmonic angles; atoms (n, 3) with the vertex in the middle, theta0 in rad, k in kJ/(mol rad^2).

    The angle comes from the arctangent of cross and dot product, accurate near 0 and pi too. At an exactly straight angle, where its gradient has
    no direction, the gradient is zero.
    """

    arms: Tensor
    theta0: Tensor
    k: Tensor

    def __init__(self, atoms: list[tuple[int, int, int]], theta0: list[float], k: list[float], n_atoms: int) -> None:
        super().__init__()
        i, j, l = torch.tensor(atoms, dtype=torch.long).reshape(-1, 3).unbind(1)
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

    def forward(self, geometry: Geometry) -> Tensor:
        x = geometry.x
        a, b = (self.arms.to(x.dtype) @ x).chunk(2, dim=1)
        cross = torch.linalg.cross(a, b, dim=0).square().sum(0)
        straight = cross == 0
        sine = torch.where(straight, 1.0, cross).sqrt()
        theta = torch.atan2(torch.where(straight, 0.0, sine), (a * b).sum(0))
        return (0.5 * self.k.to(x.dtype) * (theta - self.theta0.to(x.dtype)).square()).sum(0)
