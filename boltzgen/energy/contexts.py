"""Energies and forces of many configurations from one OpenMM `Context`."""

from collections.abc import Mapping

import numpy as np
import openmm
from openmm import unit

_FORCE = unit.kilojoule_per_mole / unit.nanometer


class ContextEngine:
    """An OpenMM context, made on first use, that evaluates one configuration after the other.

    Args:
        system: not changed.
        platform: name of an OpenMM platform.
        properties: the platform's properties, such as ``{"Threads": "1"}``.
    """

    def __init__(self, system: openmm.System, platform: str, properties: Mapping[str, str]) -> None:
        self._system = system
        self._platform = platform
        self._properties = dict(properties)
        self._context: openmm.Context | None = None

    @property
    def context(self) -> openmm.Context:
        """The context, made at the first access."""
        if self._context is None:
            platform = openmm.Platform.getPlatformByName(self._platform)
            self._context = openmm.Context(
                self._system, openmm.VerletIntegrator(0.001), platform, self._properties
            )
        return self._context

    def evaluate(self, x: np.ndarray, *, forces: bool = False) -> tuple[np.ndarray, np.ndarray]:
        """Energies in kJ/mol, (batch,), and forces in kJ/(mol nm), (batch, n_atoms, 3).

        Forces are zero unless wanted. A configuration for which OpenMM raises has energy +inf and NaN forces.

        Args:
            x: positions in nm, float64 (batch, n_atoms, 3).
            forces: whether forces are wanted.
        """
        context = self.context
        energies, all_forces = np.full(len(x), np.inf), np.zeros(x.shape)
        for row, positions in enumerate(x):
            try:
                context.setPositions(positions)
                state = context.getState(getEnergy=True, getForces=forces)
                energies[row] = state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
                if forces:
                    all_forces[row] = state.getForces(asNumpy=True).value_in_unit(_FORCE)
            except openmm.OpenMMException:
                all_forces[row] = np.nan
        return energies, all_forces

    def close(self) -> None:
        """Free the context; it is made again when needed."""
        self._context = None
