"""Energies along a torsion with all else relaxed: psi of alanine dipeptide."""

import json
from pathlib import Path

import numpy as np
import pytest

from boltzgen.analysis import energy_scan as module
from boltzgen.analysis.energy_scan import energy_scan
from boltzgen.analysis.pmf_report import pmf_report
from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.energy.choose import energy_for
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.generator.relax import relaxed
from boltzgen.geometry import dihedrals
from boltzgen.molecule.system import System
from boltzgen.samples.measured_file import MeasuredFile
from boltzgen.samples.writer import SamplesWriter
from tests.helpers.command_line import call, refused
from tests.helpers.molecules import peptide

NAME = "alanine_dipeptide"
KT = 8.31446261815324e-3 * 300


@pytest.fixture(autouse=True)
def few_points(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "N_POINTS", 12)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    samples = BoltzmannGenerator.load(NAME).sample(2000, seed=4)
    path = tmp_path_factory.mktemp("scan") / "s.h5"
    with SamplesWriter(path, System.load(NAME), 300.0) as writer:
        writer.write(samples)
    return path


def test_a_scan(file: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Lowest near the global minimum, by the energy of that; F and it have their maxima in one place."""
    report = pmf_report(file, ["psi"], unit="kJ/mol", system=NAME, scan=True)
    scan = report.scan
    assert scan is not None
    assert len(scan.angle) == 12 and np.all(np.diff(scan.angle) > 0)
    spacing = np.diff(np.append(scan.angle, scan.angle[0] + 360))
    assert spacing.max() < 40  # what relaxes turns the torsion by a few degrees
    assert scan.energy.min() == 0.0
    molecule = System.load(NAME)
    coordinates, energy = MolecularCoordinates(molecule), energy_for(molecule)
    y, _ = relaxed(coordinates, energy, coordinates.inverse(molecule.positions)[0])
    psi = np.degrees(float(dihedrals(coordinates(y)[0], molecule.torsions["psi"])))
    lowest = scan.angle[scan.energy.argmin()]
    assert min(abs(lowest - psi), 360 - abs(lowest - psi)) < 60
    barrier = scan.energy_in("kJ/mol").max()
    assert barrier == pytest.approx(KT * scan.energy.max()) and 10 < barrier < 40
    f = np.where(np.isfinite(report.pmf.free_energy), report.pmf.free_energy, -1.0)
    top = report.pmf.centres[0][f.argmax()]
    away = abs(scan.angle[scan.energy.argmax()] - top)
    assert min(away, 360 - away) < 45
    assert report.to_dict()["scan"]["energy"] == scan.energy_in("kJ/mol").tolist()
    report.figure("psi").savefig(file.with_name("a.png"))
    monkeypatch.setattr("boltzgen.analysis.pmf_report.energy_scan", lambda *_: scan)  # not once more
    code, out, _ = call(
        capfd, "free-energy", "pmf", file, "--along", "psi", "--scan", "--system", NAME, "--json"
    )
    assert code == 0
    assert json.loads(out)["scan"]["angle"] == pytest.approx(scan.angle.tolist())
    assert "highest at" in scan.in_words("kT")


def test_a_ring_torsion_is_not_scanned() -> None:
    """Proline's phi is about a bond of its ring, which has a circle of its own but does not turn."""
    proline = peptide("ace_pro_nme")
    coordinates = MolecularCoordinates(proline)
    assert module._place(proline, coordinates, "psi")[0] == proline.torsions["psi"]
    with pytest.raises(ValueError, match="phi does not turn freely"):
        module._place(proline, coordinates, "phi")


def test_what_is_refused(file: Path, capfd: pytest.CaptureFixture[str]) -> None:
    at = ("free-energy", "pmf", file, "--scan")
    refused(
        call(capfd, *at, "--along", "psi"), "a --scan is along one torsion, of a molecule given as --system"
    )
    refused(
        call(capfd, *at, "--along", "psi", "--along", "phi", "--system", NAME),
        "a --scan is along one torsion",
    )
    refused(
        call(capfd, *at, "--along", "radius_of_gyration", "--system", NAME),
        "along a torsion by its name, got 'radius_of_gyration'; choose from phi",
    )
    omega = next(name for name in System.load(NAME).torsions if name.startswith("omega"))
    with pytest.raises(ValueError, match="does not turn freely"):
        energy_scan(MeasuredFile(file), System.load(NAME), omega)
