"""Molecules with any protein force field and implicit solvent of OpenMM, and frames of their dynamics."""

from functools import lru_cache

import openmm
import torch
from openmm import app, unit
from torch import Tensor

from boltzgen.molecule.system import System
from tests.helpers.molecules import FOLDER

AMBER = {
    "amber96": "amber96.xml",
    "amber99sbildn": "amber99sbildn.xml",
    "amber14": "amber14/protein.ff14SB.xml",
    "amber19": "amber19/protein.ff19SB.xml",
}
#: OBC2 as `GBSAOBCForce`, with parameters for these force fields only.
GBSA = {"amber96": "amber96_obc.xml", "amber99sbildn": "amber99_obc.xml"}


@lru_cache(maxsize=2)
def force_field(field: str, solvent: str) -> app.ForceField:
    files = [AMBER.get(field, f"{field}.xml")]
    if solvent != "vacuum":
        files.append(GBSA[field] if solvent == "gbsa" else f"implicit/{solvent}.xml")
    return app.ForceField(*files)


def make(field: str, solvent: str, molecule: str) -> System:
    structure = app.PDBFile(str(FOLDER / f"{molecule}.pdb"))
    system = force_field(field, solvent).createSystem(structure.topology, nonbondedMethod=app.NoCutoff)
    return System(structure.topology, system, structure.getPositions(asNumpy=True))


def thermal_frames(system: System, count: int = 4) -> Tensor:
    """Langevin dynamics at 300 K with 1 fs steps, started at twice the temperature: half of it goes into the
    potential energy.
    """
    integrator = openmm.LangevinMiddleIntegrator(300.0, 50.0, 0.001)
    integrator.setRandomNumberSeed(1)
    context = openmm.Context(
        system.openmm_system, integrator, openmm.Platform.getPlatformByName("CPU"), {"Threads": "1"}
    )
    context.setPositions(system.positions.numpy())
    context.setVelocitiesToTemperature(600.0, 2)
    frames = []
    for _ in range(count):
        integrator.step(50)
        frames.append(
            torch.from_numpy(
                context.getState(getPositions=True).getPositions(asNumpy=True).value_in_unit(unit.nanometer)
            )
        )
    return torch.stack(frames)
