"""Custom angles: U = f(theta)."""

import openmm
import torch
from torch import Tensor
from typing_extensions import override

from boltzgen.energy.custom.base import CustomTerm, Parameters, parameter_names, total
from boltzgen.energy.geometry import Geometry, PairList, differences
from boltzgen.energy.measures import angle_between


class CustomAngles(CustomTerm):
    """An expression of the angle theta [rad] of triples of atoms (n, 3), in kJ/mol.

    Exactly straight angles have no gradient.
    """

    arms: Tensor

    def __init__(self, force: openmm.CustomAngleForce, n_atoms: int) -> None:
        super().__init__(force)
        angles = [force.getAngleParameters(n) for n in range(force.getNumAngles())]
        self.parameters_of = Parameters(parameter_names(force, "Angle"), [angle[3] for angle in angles])
        i, j, k = torch.tensor([angle[:3] for angle in angles], dtype=torch.long).reshape(-1, 3).unbind(1)
        self.register_buffer("arms", differences(torch.cat([i, k]), torch.cat([j, j]), n_atoms))
        self.expression = self.compile_expression(
            force.getEnergyFunction(), ["theta", *self.parameters_of.names]
        )

    @classmethod
    def from_openmm(cls, force: openmm.CustomAngleForce, pairs: PairList) -> "CustomAngles":
        """Read an OpenMM `CustomAngleForce`."""
        return cls(force, pairs.n_atoms)

    @override
    def forward(self, geometry: Geometry) -> Tensor:
        x = geometry.x
        theta = angle_between(*(self.arms.to(x.dtype) @ x).chunk(2, dim=1))
        return total(self.expression, {"theta": theta} | self.parameters_of.columns(x.dtype), len(theta), x)
