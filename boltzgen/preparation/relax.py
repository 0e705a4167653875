"""Energy minimisation."""

import time

import numpy as np
import openmm
from openmm import unit

from boltzgen.molecule.openmm_files import reference_context

#: Iterations and seconds after which a minimisation is given up: one of a hundred atoms takes some thousand
#: iterations, and seconds.
MOST_ITERATIONS, MOST_SECONDS = 100_000, 900.0
#: In kJ/mol, and kJ/mol/nm: more than atoms have that the four decimals of a PDB file hold apart (1e47).
_ABSURD = 1e60


class _Limit(openmm.MinimizationReporter):  # type: ignore[misc]
    """Ends a minimisation that takes too long."""

    def __init__(self) -> None:
        super().__init__()
        self.n = 0
        self.end = time.monotonic() + MOST_SECONDS

    def report(self, iteration: int, x: object, gradient: object, arguments: object) -> bool:
        """Count one; whether that was the last."""
        self.n += 1
        return self.exceeded

    @property
    def exceeded(self) -> bool:
        """Whether there have been too many iterations, or too much time has passed."""
        return self.n >= MOST_ITERATIONS or time.monotonic() > self.end


def minimise(system: openmm.System, positions: np.ndarray) -> np.ndarray:
    """Positions (n_atoms, 3) in nm, float64, at a nearby minimum of the energy, constraints kept.

    By OpenMM's Reference platform.

    Raises:
        ValueError: the energy is not finite at the beginning or the end, the minimisation broke down, or did
            not come to an end.
    """
    limit = _Limit()
    try:
        context = reference_context(system)
        context.setPositions(positions)
        _check_finite(context, "of the structure", "check the force field, and the structure for overlaps")
        if system.getNumConstraints():
            context.applyConstraints(1e-8)
        openmm.LocalEnergyMinimizer.minimize(context, 1.0, 0, limit)
        if system.getNumConstraints():
            context.applyConstraints(1e-8)
    except openmm.OpenMMException as error:
        raise ValueError(
            f"the energy cannot be minimised ({error}); give a structure without overlapping atoms"
        ) from error
    if limit.exceeded:
        raise ValueError(
            f"the energy has no minimum nearby: it still falls after {limit.n} iterations; check the force "
            "field for absurd parameters, or give a structure that is less strained"
        )
    _check_finite(context, "after minimisation", "give a structure without overlapping atoms")
    state = context.getState(getPositions=True)
    return np.array(state.getPositions(asNumpy=True).value_in_unit(unit.nanometer), dtype=np.float64)


def _check_finite(context: openmm.Context, where: str, advice: str) -> None:
    state = context.getState(getEnergy=True, getForces=True)
    energy = state.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
    forces = state.getForces(asNumpy=True).value_in_unit(unit.kilojoule_per_mole / unit.nanometer)
    if not (np.isfinite(energy) and np.isfinite(forces).all()):
        raise ValueError(f"the energy {where} is not finite ({energy:g} kJ/mol, or its forces); {advice}")
    if max(abs(energy), np.abs(forces).max()) > _ABSURD:
        raise ValueError(
            f"the energy {where} is absurd ({energy:g} kJ/mol, forces up to {np.abs(forces).max():.0e} "
            f"kJ/mol/nm); {advice}"
        )
