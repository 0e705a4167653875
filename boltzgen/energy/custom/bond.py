"""Custom bonds: U = f(r)."""

import openmm
import torch
from torch import Tensor
from typing_extensions import override

from boltzgen.energy.custom.base import CustomTerm, Parameters, parameter_names, total
from boltzgen.energy.geometry import Geometry, PairList, differences
from boltzgen.energy.measures import norm


class CustomBonds(CustomTerm):
    """An expression of the distance r [nm] of pairs of atoms (n, 2), in kJ/mol.

    At r = 0, where it has no direction, the gradient is zero.
    """

    arms: Tensor

    def __init__(self, force: openmm.CustomBondForce, n_atoms: int) -> None:
        super().__init__(force)
        bonds = [force.getBondParameters(n) for n in range(force.getNumBonds())]
        self.parameters_of = Parameters(parameter_names(force, "Bond"), [bond[2] for bond in bonds])
        i, j = torch.tensor([bond[:2] for bond in bonds], dtype=torch.long).reshape(-1, 2).unbind(1)
        self.register_buffer("arms", differences(i, j, n_atoms))
        self.expression = self.compile_expression(force.getEnergyFunction(), ["r", *self.parameters_of.names])

    @classmethod
    def from_openmm(cls, force: openmm.CustomBondForce, pairs: PairList) -> "CustomBonds":
        """Read an OpenMM `CustomBondForce`."""
        return cls(force, pairs.n_atoms)

    @override
    def forward(self, geometry: Geometry) -> Tensor:
        x = geometry.x
        r = norm(self.arms.to(x.dtype) @ x)
        return total(self.expression, {"r": r} | self.parameters_of.columns(x.dtype), len(r), x)
