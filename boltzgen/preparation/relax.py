"""Energy minimisation."""

import numpy as np
import openmm
from openmm import unit


def minimise(system: openmm.System, positions: np.ndarray) -> np.ndarray:
    """Positions (n_atoms, 3) in nm, float64, at a nearby minimum of the energy, constraints kept.

    By OpenMM's Reference platform.

    Raises:
        ValueError: the minimisation broke down, or the energy at its end is not finite.
    """
    context = openmm.Context(
        system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference")
    )
    context.setPositions(positions)
    try:
        if system.getNumConstraints():
            context.applyConstraints(1e-8)
        openmm.LocalEnergyMinimizer.minimize(context, 1.0, 0)
        if system.getNumConstraints():
            context.applyConstraints(1e-8)
        state = context.getState(getPositions=True, getEnergy=True)
    except openmm.OpenMMException as error:
        raise ValueError(
            f"the energy cannot be minimised ({error}); give a structure without overlapping atoms"
        ) from error
    if not np.isfinite(state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)):
        raise ValueError("the minimised energy is not finite; give a structure without overlapping atoms")
    return np.array(state.getPositions(asNumpy=True).value_in_unit(unit.nanometer), dtype=np.float64)
