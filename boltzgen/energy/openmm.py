"""Energies from OpenMM itself, one configuration at a time: the reference, and the way out for forces that torch terms lack."""

from typing import Any

import numpy as np
import openmm
import torch
from openmm import unit
from torch import Tensor

from boltzgen.energy.base import Energy
from boltzgen.energy.first_order import first_order
from boltzgen.system import System


class OpenMMEnergy(Energy):
    """Reduced energy in kT computed by an OpenMM `Context`, with OpenMM's forces as its gradient.

    Works for every OpenMM force, in a Python loop over the batch: hundreds of microseconds per configuration and more. A configuration
    for which OpenMM raises has energy +inf and a NaN gradient. Second derivatives raise.

    Args:
        system: the molecule.
        temperature: T in K, by default the system's.
        platform: name of an OpenMM platform. "Reference" is float64 and exact.

    Raises:
        ValueError: OpenMM has no such platform here.
    """

    def __init__(self, system: System, temperature: Any = None, *, platform: str = "Reference") -> None:
        super().__init__(system.n_atoms, system.temperature if temperature is None else temperature)
        available = [openmm.Platform.getPlatform(i).getName() for i in range(openmm.Platform.getNumPlatforms())]
        if platform not in available:
            raise ValueError(f"OpenMM has no platform {platform!r} here; available: {', '.join(available)}")
        self.platform = platform
        self.openmm_system = system.openmm_system
        # A list, so that every at(T) shares the one context.
        self._contexts: list[openmm.Context] = []

    @property
    def context(self) -> openmm.Context:
        """The context that computes, made on first use."""
        if not self._contexts:
            integrator = openmm.VerletIntegrator(0.001)
            self._contexts.append(openmm.Context(self.openmm_system, integrator, openmm.Platform.getPlatformByName(self.platform)))
        return self._contexts[0]

    def potential(self, x: Tensor) -> Tensor:
        """Potential energy in kJ/mol, shape (...), of positions (..., n_atoms, 3) in nm."""
        energy: Tensor = _Potential.apply(x if torch.is_grad_enabled() else x.detach(), self)
        return energy

    def evaluate(self, x: np.ndarray, forces: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Energies in kJ/mol, (batch,), and forces in kJ/(mol nm), (batch, n_atoms, 3).

        Args:
            x: positions in nm, float64 (batch, n_atoms, 3).
            forces: whether forces are wanted; they are zero otherwise.
        """
        energies, all_forces = np.empty(len(x)), np.zeros(x.shape)
        for row, positions in enumerate(x):
            try:
                self.context.setPositions(positions)
                state = self.context.getState(getEnergy=True, getForces=forces)
                energies[row] = state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
                if forces:
                    all_forces[row] = state.getForces(asNumpy=True).value_in_unit(unit.kilojoule_per_mole / unit.nanometer)
            except openmm.OpenMMException:
                energies[row], all_forces[row] = np.inf, np.nan
        return energies, all_forces


class _Potential(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, energy: OpenMMEnergy) -> Tensor:
        flat = x.detach().reshape(-1, *x.shape[-2:]).to("cpu", torch.float64).numpy()
        values, forces = energy.evaluate(flat, forces=ctx.needs_input_grad[0])
        ctx.save_for_backward(torch.from_numpy(-forces).to(x).reshape(x.shape), x)
        return torch.from_numpy(values).to(x).reshape(x.shape[:-2])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        slope, x = ctx.saved_tensors
        return first_order(gradient, slope, x), None
