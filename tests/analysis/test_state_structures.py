"""A structure of each state: the draw of the lowest energy, as PDB and as SDF."""

from pathlib import Path

import mdtraj
import numpy as np
import pytest

from boltzgen.analysis.state_structures import write_structures
from boltzgen.analysis.states import state_energies
from boltzgen.free_energy.state_energies import StateEnergies
from boltzgen.molecule.system import System
from boltzgen.samples.sdf import MOLECULE
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.samples.writer import SamplesWriter
from tests.helpers.command_line import call, refused
from tests.helpers.posing import made_up_samples
from tests.helpers.sdf import entries, molecule


@pytest.fixture
def samples(alanine: System) -> WeightedSamples:
    return made_up_samples(alanine, 2000)


@pytest.fixture
def file(samples: WeightedSamples, alanine: System, tmp_path: Path) -> Path:
    with SamplesWriter(tmp_path / "s.h5", alanine, 300.0) as writer:
        writer.write(samples)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / MOLECULE).write_text(molecule(samples.mdtraj_topology))
    return tmp_path / "s.h5"


def lowest(energies: StateEnergies, u: np.ndarray) -> dict[str, int]:
    """The draw of the lowest energy in each state that has any; alphaL has none."""
    found = {}
    for k, name in enumerate(energies.names):
        rows = np.flatnonzero((energies.labels == k) & np.isfinite(u))
        if len(rows):
            found[name] = int(rows[u[rows].argmin()])
    assert len(found) == len(energies.names) - 1
    return found


def test_models_of_a_pdb_file(file: Path, samples: WeightedSamples, tmp_path: Path) -> None:
    energies = state_energies(file)
    n = write_structures(energies, file, tmp_path / "a.pdb")
    found = mdtraj.load(str(tmp_path / "a.pdb"))
    expected = list(lowest(energies, samples.u.numpy()).values())
    assert n == found.n_frames == len(expected) >= 4
    np.testing.assert_allclose(found.xyz, samples.x[expected].numpy(), atol=6e-5)


def test_entries_of_an_sdf_file(file: Path, samples: WeightedSamples, tmp_path: Path) -> None:
    energies = state_energies(file)
    write_structures(energies, file, tmp_path / "a.sdf", unit="kJ/mol", system=tmp_path / "folder")
    found = entries(tmp_path / "a.sdf")
    places = lowest(energies, samples.u.numpy())
    assert [values["state"] for _, _, values in found] == list(places)
    rows = [row for row in energies.rows if row.name in places]
    for (x, _, values), row, place in zip(found, rows, places.values(), strict=True):
        np.testing.assert_allclose(x, samples.x[place].numpy(), atol=6e-6)
        assert (int(values["draw"]), values["unit"]) == (place, "kJ/mol")
        assert float(values["population"]) == pytest.approx(row.population.value)
        assert float(values["free_energy"]) == pytest.approx(row.free_energy.to("kJ/mol").value)
        assert row.energy is not None and row.minus_ts is not None
        assert float(values["energy_error"]) == pytest.approx(row.energy.to("kJ/mol").error, nan_ok=True)
        assert float(values["minus_ts"]) == pytest.approx(row.minus_ts.to("kJ/mol").value, nan_ok=True)


def test_draws_of_several_files_say_which_one_they_are_of(
    file: Path, alanine: System, samples: WeightedSamples, tmp_path: Path
) -> None:
    more = made_up_samples(alanine, 1500, 3)
    more.save(tmp_path / "more.h5", temperature=300.0)
    both = [file, tmp_path / "more.h5"]
    energies = state_energies(both)
    write_structures(energies, both, tmp_path / "a.sdf", system=tmp_path / "folder")
    drawn = dict(zip(map(str, both), (samples, more), strict=True))
    found = entries(tmp_path / "a.sdf")
    assert {values["file"] for _, _, values in found} == set(drawn)
    for x, _, values in found:
        chosen = drawn[values["file"]].x[int(values["draw"])]
        np.testing.assert_allclose(x, chosen.numpy(), atol=6e-6)
        assert energies.u is not None
        inside = (energies.labels == energies.names.index(values["state"])) & np.isfinite(energies.log_w)
        assert float(drawn[values["file"]].u[int(values["draw"])]) == energies.u[inside].min()


def test_the_command(file: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    at = ("free-energy", "states", file, "--structures")
    code, out, _ = call(capfd, *at, tmp_path / "a.pdb")
    assert code == 0
    assert "ΔF = ΔU - TΔS, with standard errors" in " ".join(out.split())
    assert "a.pdb" in out
    assert mdtraj.load(str(tmp_path / "a.pdb")).n_frames >= 4
    refused(call(capfd, *at, tmp_path / "a.pdb"), "exists already; add --force")
    refused(call(capfd, *at, tmp_path / "a.sdf"), "give as --system the folder")
    refused(call(capfd, *at, tmp_path / "a.xyz"), "ends in .pdb or .sdf")
    assert not (tmp_path / "a.sdf").exists()
