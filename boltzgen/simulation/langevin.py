"""Plain molecular dynamics with OpenMM."""

from collections.abc import Mapping

import numpy as np
import openmm
import torch
from openmm import unit
from torch import Tensor
from typing_extensions import override

from boltzgen.molecule.system import System
from boltzgen.simulation.sampler import Frames, OnFrame, Sampler, State

#: Friction coefficient in 1/ps and time step in ps.
FRICTION, TIME_STEP = 1.0, 0.001


class Langevin(Sampler):
    """Independent trajectories of Langevin dynamics, one after the other, on any OpenMM platform.

    OpenMM's middle integrator (BAOAB's relative; Zhang et al., J. Phys. Chem. A 123, 6056, 2019) with 1 fs
    steps: its distribution of positions is exact up to an error of fourth order for bonds. Frames may leave
    the domain of the system: whoever uses them cuts those.

    Args:
        system: any OpenMM System, constraints and all forces included.
        temperature: in K.
        platform, properties: of OpenMM.
        seed: of all randomness; that of a trajectory derives from (seed, index of the run, trajectory).

    Raises:
        ValueError: OpenMM has no such platform here.
    """

    def __init__(
        self,
        system: System,
        temperature: float,
        *,
        platform: str = "CPU",
        properties: Mapping[str, str] | None = None,
        seed: int = 0,
    ) -> None:
        self.system, self.temperature, self.seed = system, temperature, seed
        known = [openmm.Platform.getPlatform(k).getName() for k in range(openmm.Platform.getNumPlatforms())]
        if platform not in known:
            raise ValueError(f"OpenMM has no platform {platform!r} here; give `platform` as one of {known}")
        self.platform, self.properties = openmm.Platform.getPlatformByName(platform), dict(properties or {})

    @override
    def start(self, x: Tensor) -> State:
        n = len(x)
        integers = torch.zeros(n, 1, dtype=torch.long)
        step = torch.tensor([TIME_STEP], dtype=torch.float64)
        return State(
            x=x[:, None].double(),
            replica=integers,
            end=integers.clone(),
            step=step,
            v=torch.zeros_like(x[:, None]).double(),
        )

    @override
    def _run(
        self, state: State, index: int, n_frames: int, interval: int, *, tune: bool, on_frame: OnFrame
    ) -> Frames:
        assert state.v is not None
        n_walkers, _, n_atoms, _ = state.x.shape
        x, potential = (
            torch.empty(n_frames, n_walkers, 1, n_atoms, 3),
            torch.empty(n_frames, n_walkers, 1, dtype=torch.float64),
        )
        for w in range(n_walkers):
            key = (self.seed, index, *self.key, w)
            seed = int(np.random.SeedSequence(key).generate_state(1)[0] % (2**31 - 1)) + 1
            context, integrator = self._context(seed)
            context.setPositions(state.x[w, 0].numpy())
            if index == 0:
                context.setVelocitiesToTemperature(self.temperature, seed)
            else:
                context.setVelocities(state.v[w, 0].numpy())
            for frame in range(n_frames):
                try:
                    integrator.step(interval)
                    now = context.getState(getPositions=True, getEnergy=True, getVelocities=True)
                except openmm.OpenMMException as error:
                    raise FloatingPointError(
                        f"the dynamics broke down ({error}); start from a minimised structure"
                    ) from error
                x[frame, w, 0] = torch.from_numpy(
                    now.getPositions(asNumpy=True).value_in_unit(unit.nanometer)
                )
                potential[frame, w, 0] = now.getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
                if w == n_walkers - 1:
                    on_frame(frame + 1)
            state.x[w, 0] = torch.from_numpy(now.getPositions(asNumpy=True).value_in_unit(unit.nanometer))
            state.v[w, 0] = torch.from_numpy(
                now.getVelocities(asNumpy=True).value_in_unit(unit.nanometer / unit.picosecond)
            )
        if not bool(potential.isfinite().all()):
            raise FloatingPointError(
                "the dynamics broke down: an energy is not finite; start from a minimised structure"
            )
        steps = n_walkers * n_frames * interval
        statistics = {
            "n_energy_evaluations": steps,
            "picoseconds": [n_frames * interval * TIME_STEP],
            "time_step_ps": [TIME_STEP],
        }
        return Frames(x, potential, state.replica.repeat(n_frames, 1, 1), statistics)

    def _context(self, seed: int) -> tuple[openmm.Context, openmm.Integrator]:
        integrator = openmm.LangevinMiddleIntegrator(
            self.temperature * unit.kelvin, FRICTION / unit.picosecond, TIME_STEP * unit.picosecond
        )
        integrator.setRandomNumberSeed(seed)
        return openmm.Context(
            self.system.openmm_system, integrator, self.platform, self.properties
        ), integrator


class _Iterations(openmm.MinimizationReporter):  # type: ignore[misc]
    """Counts the iterations of a minimisation."""

    def __init__(self) -> None:
        super().__init__()
        self.n = 0

    def report(self, iteration: int, x: object, gradient: object, arguments: object) -> bool:
        """Count one, and go on."""
        self.n += 1
        return False


def minimised(system: System, n: int) -> tuple[Tensor, int]:
    """The system's positions at a nearby minimum of its energy, n times.

    Returns:
        Positions, float64 (n, n_atoms, 3) in nm, and the iterations that it took, each an energy or a few:
        OpenMM does not tell how many.
    """
    context = openmm.Context(
        system.openmm_system,
        openmm.VerletIntegrator(0.001),
        openmm.Platform.getPlatformByName("CPU"),
        {"Threads": "1"},
    )
    context.setPositions(system.positions.numpy())
    iterations = _Iterations()
    openmm.LocalEnergyMinimizer.minimize(context, 10.0, 1000, iterations)
    x = torch.from_numpy(
        context.getState(getPositions=True).getPositions(asNumpy=True).value_in_unit(unit.nanometer)
    )
    return x.repeat(n, 1, 1), iterations.n
