"""Custom torsions: U = f(theta)."""

import openmm
import torch
from torch import Tensor
from typing_extensions import override

from boltzgen.energy.custom.base import CustomTerm, Parameters, parameter_names, total
from boltzgen.energy.geometry import Geometry, PairList, differences
from boltzgen.energy.measures import torsion_between


class CustomTorsions(CustomTerm):
    """An expression of the torsion theta [rad] in (-pi, pi] of quadruples of atoms (n, 4), in kJ/mol.

    Where three atoms in a row are exactly collinear the torsion is undefined: it counts as zero there,
    without gradient.
    """

    arms: Tensor

    def __init__(self, force: openmm.CustomTorsionForce, n_atoms: int) -> None:
        super().__init__(force)
        torsions = [force.getTorsionParameters(n) for n in range(force.getNumTorsions())]
        self.parameters_of = Parameters(
            parameter_names(force, "Torsion"), [torsion[4] for torsion in torsions]
        )
        i, j, k, l = (
            torch.tensor([torsion[:4] for torsion in torsions], dtype=torch.long).reshape(-1, 4).unbind(1)
        )
        self.register_buffer("arms", differences(torch.cat([j, k, l]), torch.cat([i, j, k]), n_atoms))
        self.expression = self.compile_expression(
            force.getEnergyFunction(), ["theta", *self.parameters_of.names]
        )

    @classmethod
    def from_openmm(cls, force: openmm.CustomTorsionForce, pairs: PairList) -> "CustomTorsions":
        """Read an OpenMM `CustomTorsionForce`."""
        return cls(force, pairs.n_atoms)

    @override
    def forward(self, geometry: Geometry) -> Tensor:
        x = geometry.x
        theta = torsion_between(*(self.arms.to(x.dtype) @ x).chunk(3, dim=1))
        return total(self.expression, {"theta": theta} | self.parameters_of.columns(x.dtype), len(theta), x)
