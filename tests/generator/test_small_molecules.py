"""Molecules in which little or nothing turns: the same commands serve them, with exact weights."""

import json
import math
import subprocess
import sys
from pathlib import Path

import openmm
import pytest
from openmm import unit

from boltzgen import cli
from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.molecule.openmm_files import _number_types
from boltzgen.molecule.system import System
from boltzgen.training.settings import Settings

#: A few seconds.
SHORT = Settings(rounds=4, steps=10, batch=128, walkers=16)
SMALL = Path(__file__).parents[1] / "data" / "small"


def call(capfd: pytest.CaptureFixture[str], *arguments: object) -> str:
    assert cli.main([str(a) for a in arguments]) == 0
    return capfd.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize(("name", "n_periodic"), [("methanol", 1), ("benzene", 0)])
def test_from_a_pdb_file_to_a_report(
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    n_periodic: int,
) -> None:
    """Trained for next to nothing; log Z agrees between two sets of draws to within their errors."""
    monkeypatch.setattr("boltzgen.training.run.Settings", lambda: SHORT)
    monkeypatch.setattr("boltzgen.training.run_summary.MOST_DRAWS", 2048)
    call(capfd, "prepare", SMALL / f"{name}.pdb", "--forcefield", "charmm36.xml", "-o", tmp_path / "system")
    coordinates = MolecularCoordinates(System.load(tmp_path / "system"))
    assert (coordinates.n_periodic, coordinates.n_full) == (n_periodic, 0)
    call(capfd, "train", tmp_path / "system", "-o", tmp_path / "run", "--rounds", 6)
    drawn = [
        json.loads(
            call(
                capfd,
                "sample",
                tmp_path / "run",
                "-n",
                4096,
                "--seed",
                seed,
                "-o",
                tmp_path / f"{seed}.h5",
                "--json",
            )
        )
        for seed in (1, 2)
    ]
    assert min(d["sampling_efficiency"] for d in drawn) > 0.05
    assert abs(drawn[0]["log_z"] - drawn[1]["log_z"]) < 4 * math.hypot(*(d["log_z_error"] for d in drawn))
    report = json.loads(call(capfd, "analyze", tmp_path / "2.h5", "-o", tmp_path / "report", "--json"))
    assert report["rotamers"] == {}
    assert report["sizes"]["radius_of_gyration"]["mean"] > 0.05


@pytest.mark.slow
def test_a_charmm_system_is_the_same_in_every_process() -> None:
    """OpenMM numbers its atom types by a set of strings: the fingerprint, by which runs find their system,
    must not see that.
    """
    code = "from boltzgen.molecule.system import System; print(System.load('dimethoxyethane').fingerprint)"
    found = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(found) == 1


def test_numbering_the_types_changes_no_energy() -> None:
    """Types that come as 2, 0, 1 among the atoms become 0, 1, 2, with the rows and columns of their table."""
    force, system = openmm.CustomNonbondedForce("table(type1, type2) / r"), openmm.System()
    force.addTabulatedFunction(
        "table", openmm.Discrete2DFunction(3, 3, [1.0, 2.0, 4.0, 2.0, 8.0, 16.0, 4.0, 16.0, 32.0])
    )
    force.addPerParticleParameter("type")
    for kind in (2, 0, 0, 1):
        system.addParticle(1.0)
        force.addParticle((kind,))
    system.addForce(force)
    energies = []
    for _ in range(2):
        context = openmm.Context(
            system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference")
        )
        context.setPositions([(0, 0, 0), (0.3, 0, 0), (0, 0.5, 0), (0, 0, 0.9)])
        energies.append(
            context.getState(energy=True).getPotentialEnergy().value_in_unit(unit.kilojoule_per_mole)
        )
        _number_types(system.getForce(0))
    assert [system.getForce(0).getParticleParameters(k) for k in range(4)] == [(0.0,), (1.0,), (1.0,), (2.0,)]
    assert energies[0] == pytest.approx(energies[1], abs=1e-9)
