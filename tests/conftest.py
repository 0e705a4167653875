"""What tests of several rooms share: threads, seeds, alanine dipeptide and frames of it."""

import os

import openmm
import pytest
import torch
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from torch import Tensor

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.molecule.system import System

# One thread for each worker of pytest-xdist, which inherits this, as do the programs that tests start. Tests
# that need more set them themselves.
torch.set_num_threads(1)
for threads in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS", "OPENMM_CPU_THREADS"):
    os.environ.setdefault(threads, "1")

# The same examples in every run, however long a busy machine takes to draw one.
hypothesis_settings.register_profile(
    "repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
hypothesis_settings.load_profile("repeatable")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Untrained networks are the same in every run, whatever ran before: a test that fails fails again. Runs
    before fixtures of any scope.
    """
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def alanine() -> System:
    return System.load("alanine_dipeptide")


@pytest.fixture(scope="session")
def system(alanine: System) -> System:
    """The system of tests that need one and do not mind which: alanine dipeptide."""
    return alanine


@pytest.fixture(scope="session")
def coordinates(alanine: System) -> MolecularCoordinates:
    return MolecularCoordinates(alanine)


@pytest.fixture(scope="session")
def thermal_frames(alanine: System) -> dict[float, Tensor]:
    """1024 frames of dynamics by temperature in K."""
    return {temperature: langevin_frames(alanine, temperature, 1024) for temperature in (300.0, 1200.0)}


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
