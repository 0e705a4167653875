"""Custom external potentials: U = f(x, y, z) of single particles."""

import openmm
import torch
from torch import Tensor
from typing_extensions import override

from boltzgen.energy.custom.base import CustomTerm, Parameters, parameter_names, total
from boltzgen.energy.geometry import Geometry, PairList


class CustomExternal(CustomTerm):
    """An expression of the coordinates x, y, z [nm] of n particles, in kJ/mol."""

    particles: Tensor

    def __init__(self, force: openmm.CustomExternalForce) -> None:
        super().__init__(force)
        particles = [force.getParticleParameters(n) for n in range(force.getNumParticles())]
        self.parameters_of = Parameters(
            parameter_names(force, "Particle"), [parameters for _, parameters in particles]
        )
        self.register_buffer("particles", torch.tensor([i for i, _ in particles], dtype=torch.long))
        self.expression = self.compile_expression(
            force.getEnergyFunction(), ["x", "y", "z", *self.parameters_of.names]
        )

    @classmethod
    def from_openmm(cls, force: openmm.CustomExternalForce, pairs: PairList) -> "CustomExternal":
        """Read an OpenMM `CustomExternalForce`."""
        return cls(force)

    @override
    def forward(self, geometry: Geometry) -> Tensor:
        x, y, z = geometry.x.index_select(1, self.particles)
        return total(
            self.expression, {"x": x, "y": y, "z": z} | self.parameters_of.columns(x.dtype), len(x), x
        )
