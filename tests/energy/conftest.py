"""Configurations of alanine dipeptide: molecular dynamics at two temperatures, and distorted ones."""

import openmm
import pytest
import torch
from torch import Tensor

from boltzgen.molecule.system import System

N_FRAMES = 1024


def langevin_frames(system: System, temperature: float, n_frames: int, steps_apart: int = 8) -> Tensor:
    """Frames (n_frames, n_atoms, 3) in nm of OpenMM Langevin dynamics, 1 fs steps, fixed seed."""
    integrator = openmm.LangevinMiddleIntegrator(temperature, 20.0, 0.001)
    integrator.setRandomNumberSeed(20)
    platform = openmm.Platform.getPlatformByName("CPU")
    context = openmm.Context(
        system.openmm_system, integrator, platform, {"Threads": "1", "DeterministicForces": "true"}
    )
    context.setPositions(system.positions.numpy())
    openmm.LocalEnergyMinimizer.minimize(context, 10.0, 200)
    context.setVelocitiesToTemperature(temperature, 21)
    integrator.step(500)
    frames = torch.empty(n_frames, system.n_atoms, 3, dtype=torch.float64)
    for k in range(n_frames):
        integrator.step(steps_apart)
        frames[k] = torch.from_numpy(context.getState(getPositions=True).getPositions(asNumpy=True)._value)
    return frames


@pytest.fixture(scope="session")
def alanine() -> System:
    return System.load("alanine_dipeptide")


@pytest.fixture(scope="session")
def thermal_frames(alanine: System) -> dict[float, Tensor]:
    """MD frames by temperature in K."""
    return {temperature: langevin_frames(alanine, temperature, N_FRAMES) for temperature in (300.0, 1200.0)}


@pytest.fixture(scope="session")
def distorted_frames(alanine: System) -> Tensor:
    """The reference positions with normal noise of 0.005 to 0.3 nm: from mildly strained to clashing, (256,
    n_atoms, 3).
    """
    generator = torch.Generator().manual_seed(22)
    scale = torch.logspace(-2.3, -0.5, 256, dtype=torch.float64)[:, None, None]
    return alanine.positions + scale * torch.randn(
        256, alanine.n_atoms, 3, generator=generator, dtype=torch.float64
    )
