"""Frames of molecular dynamics at 600 K go to internal coordinates and back: every capped amino acid, larger
peptides, every shipped system.
"""

from pathlib import Path

import openmm
import pytest
import torch
from openmm import app, unit
from torch import Tensor

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.molecule.shipped import shipped_systems
from boltzgen.molecule.system import System

FOLDER = Path(__file__).parents[1] / "data" / "peptides"
PEPTIDES = sorted(file.stem for file in FOLDER.glob("*.pdb"))
N_FRAMES = 8


def frames(system: System) -> Tensor:
    """Every 50 steps of 1 fs, from the reference structure, float64 (N_FRAMES, n_atoms, 3) in nm."""
    integrator = openmm.LangevinMiddleIntegrator(600 * unit.kelvin, 5 / unit.picosecond, 1 * unit.femtosecond)
    integrator.setRandomNumberSeed(1)
    integrator.setConstraintTolerance(1e-10)  # the coordinates hold constrained bonds at their length exactly
    context = openmm.Context(system.openmm_system, integrator, openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(system.positions.numpy())
    openmm.LocalEnergyMinimizer.minimize(context, 10.0, 100)
    context.setVelocitiesToTemperature(600 * unit.kelvin, 1)
    found = []
    for _ in range(N_FRAMES):
        integrator.step(50)
        found.append(
            torch.from_numpy(
                context.getState(positions=True).getPositions(asNumpy=True).value_in_unit(unit.nanometer)
            )
        )
    return torch.stack(found)


def system_named(name: str) -> System:
    if name in PEPTIDES:
        return System.from_pdb(FOLDER / f"{name}.pdb", ["amber99sbildn.xml", "amber99_obc.xml"], app.HBonds)
    return System.load(name)


@pytest.mark.parametrize("name", [*PEPTIDES, *shipped_systems()])
def test_hot_frames_go_there_and_back(name: str) -> None:
    """To 1e-5 nm, with opposite log-determinants, in the domain but for cis bonds."""
    system = system_named(name)
    coordinates = MolecularCoordinates(system)
    x = frames(system)
    assert (x[-1] - x[0]).norm(dim=-1).max() > 0.05  # they move
    y, log_det = coordinates.inverse(coordinates.canonical(x))
    back, log_det_back = coordinates(y)
    aligned = coordinates.canonical(x)
    difference = torch.cdist(back, back) - torch.cdist(aligned, aligned)
    assert difference.abs().max() < 1e-5
    torch.testing.assert_close(log_det_back, -log_det, atol=1e-7, rtol=0)
    conditions = coordinates.domain_conditions(y)
    assert all(
        bool(holds.all()) for condition, holds in conditions.items() if condition != "cis peptide bond"
    )
    torch.testing.assert_close(coordinates.inverse(back)[0], y, atol=1e-7, rtol=0)
