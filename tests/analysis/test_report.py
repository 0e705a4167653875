"""The report of a samples file equals the library's own estimates."""

import csv
import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from matplotlib.image import imread

from boltzgen import weights as reweighting
from boltzgen.analysis.panels import ramachandran_grid
from boltzgen.analysis.report import analyze
from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.molecule.states import DIVISIONS
from boltzgen.molecule.system import System
from boltzgen.samples.file import read_samples
from boltzgen.samples.sizes import radius_of_gyration
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.samples.writer import SamplesWriter
from boltzgen.storage import finite_or_none
from tests.helpers.molecules import peptide, random_y
from tests.helpers.posing import made_up_samples


@pytest.fixture(scope="module")
def samples(system: System) -> WeightedSamples:
    return made_up_samples(system, 20_000)


@pytest.fixture(scope="module")
def folder(system: System, samples: WeightedSamples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    with SamplesWriter(folder / "s.h5", system, 300.0, seed=5) as writer:
        writer.write(samples)
        writer.n_energy_evaluations = 20_480
    analyze(folder / "s.h5", folder / "new" / "out")
    return folder


def test_weights_and_origin(folder: Path, samples: WeightedSamples) -> None:
    report = json.loads((folder / "new" / "out" / "report.json").read_text())
    assert (report["system"], report["temperature"], report["seed"], report["n_energy_evaluations"]) == (
        "alanine_dipeptide",
        300.0,
        5,
        20_480,
    )
    assert report["n_samples"] == 20_000
    assert report["fraction_outside_domain"] == pytest.approx(0.01)
    assert report["effective_sample_size"] == pytest.approx(samples.effective_sample_size, rel=1e-9)
    assert report["sampling_efficiency"] == pytest.approx(samples.sampling_efficiency, rel=1e-9)
    clipped = reweighting.sampling_efficiency(reweighting.clip_log_weights(samples.log_w))
    assert report["sampling_efficiency_clipped"] == pytest.approx(clipped, rel=1e-9)
    assert clipped > samples.sampling_efficiency
    assert report["largest_weight_share"] == pytest.approx(
        reweighting.largest_weight_share(samples.log_w), rel=1e-9
    )
    log_z = samples.log_z
    assert (report["log_z"], report["log_z_error"]) == pytest.approx((log_z.value, log_z.error), rel=1e-9)
    # By construction log_w is normal with mean -3 and deviation 0.3, and one draw in 100 has none.
    assert abs(report["log_z"] - (-3.0 + 0.045 + np.log(0.99))) < 4 * report["log_z_error"]


def test_basins(folder: Path, samples: WeightedSamples) -> None:
    basins = {
        b["name"]: b for b in json.loads((folder / "new" / "out" / "report.json").read_text())["basins"]
    }
    assert list(basins) == ["C7ax", "alphaL", "alphaR", "C7eq", "C5"]
    for expected in samples.populations():
        b = basins[expected.name]
        assert set(b) >= {"name", "population", "low", "high", "n_raw", "n_effective", "delta_f_kT"}
        assert (b["population"], b["low"], b["high"], b["n_raw"]) == pytest.approx(
            (expected.population, expected.low, expected.high, expected.n_raw)
        )
    assert basins["C7ax"]["low"] < 0.0050 < basins["C7ax"]["high"]
    assert basins["C7ax"]["n_raw"] > 50
    assert basins["C7eq"]["delta_f_kT"] == 0.0
    assert basins["alphaL"]["is_upper_bound"]
    assert basins["alphaL"]["delta_f_high"] is None


def test_surfaces_and_picture(folder: Path, samples: WeightedSamples) -> None:
    out = folder / "new" / "out"
    pictures = {
        "ramachandran.png",
        "ramachandran.npz",
        "ramachandran.csv",
        "sizes.png",
        "radius_of_gyration.csv",
    }
    assert {p.name for p in out.iterdir()} == {"report.json", *pictures}
    assert set(json.loads((out / "report.json").read_text())["files"]) == pictures
    saved = np.load(out / "ramachandran.npz")
    i, j = np.unravel_index(saved["free_energy"].argmin(), saved["free_energy"].shape)
    assert abs(saved["centres"][i] + 80) < 15
    assert abs(saved["centres"][j] - 70) < 15
    with (out / "ramachandran.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == saved["free_energy"].size
    row = rows[i * len(saved["centres"]) + j]
    assert float(row["phi_degrees"]) == saved["centres"][i]
    assert float(row["psi_degrees"]) == saved["centres"][j]
    assert float(row["free_energy_kT"]) == 0.0
    assert sum(int(r["count"]) for r in rows) == int(torch.isfinite(samples.log_w).sum())


def test_one_amino_acid_has_a_size_but_no_ends(
    folder: Path, system: System, samples: WeightedSamples
) -> None:
    report = json.loads((folder / "new" / "out" / "report.json").read_text())
    assert report["rotamers"] == {}
    assert list(report["sizes"]) == ["radius_of_gyration"]
    found = samples.expectation(radius_of_gyration)
    assert report["sizes"]["radius_of_gyration"] == {
        "mean": pytest.approx(found.value),
        "standard_error": pytest.approx(found.error),
        "unit": "nm",
    }
    with (folder / "new" / "out" / "radius_of_gyration.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert sum(float(r["probability"]) for r in rows) == pytest.approx(1.0, abs=1e-4)
    assert sum(float(r["probability"]) * float(r["radius_of_gyration_nm"]) for r in rows) == pytest.approx(
        found.value, abs=1e-3
    )
    assert min(float(r["free_energy_kT"]) for r in rows) == 0.0


@pytest.fixture(scope="module")
def peptide_samples() -> WeightedSamples:
    """PHE-PRO-TRP without caps, every torsion drawn uniformly."""
    system = peptide("phe_pro_trp")
    coordinates = MolecularCoordinates(system)
    x = coordinates(random_y(coordinates, 400))[0]
    return WeightedSamples.from_energies(x, torch.linspace(-1, 1, 400), torch.zeros(400), system)


def test_rotamers_and_ends_of_a_peptide(peptide_samples: WeightedSamples, tmp_path: Path) -> None:
    system = peptide("phe_pro_trp")
    with SamplesWriter(tmp_path / "s.h5", system, 300.0) as writer:
        writer.write(peptide_samples)
    result = analyze(tmp_path / "s.h5", tmp_path / "out")
    assert result == json.loads((tmp_path / "out" / "report.json").read_text())
    expected = peptide_samples.rotamer_populations()
    assert (
        list(result["rotamers"])
        == list(expected)
        == ["omega1", "chi1_1", "chi1_2", "chi1_3", "chi2_1", "chi2_2", "chi2_3"]
    )
    for name, states in result["rotamers"].items():
        arcs = [(state.pop("from_degrees"), state.pop("to_degrees")) for state in states]
        assert arcs == DIVISIONS[system.rotamers[name].division].arcs
        assert states == finite_or_none([asdict(row) for row in expected[name]])
        assert sum(state["population"] for state in states) == pytest.approx(1.0)
    assert [s["name"] for s in result["rotamers"]["omega1"]] == ["cis", "trans"]
    pucker, omega = result["notes"]
    assert "C\u03b3-endo" in pucker
    assert "after residue 3" in omega
    assert list(result["sizes"]) == ["radius_of_gyration", "end_to_end"]
    names = {
        "ramachandran2.png",
        "ramachandran2.npz",
        "ramachandran2.csv",
        "radius_of_gyration.csv",
        "end_to_end.csv",
        "sizes.png",
    }
    assert set(result["files"]) == names
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"report.json", *names}


def test_several_residues_are_in_one_picture_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    panels: list[str] = []

    def grid(surfaces: list[Any], *args: Any, **options: Any) -> Figure:
        panels.extend(name for name, _, _ in surfaces)
        return ramachandran_grid(surfaces, *args, **options)

    monkeypatch.setattr("boltzgen.analysis.surfaces.ramachandran_grid", grid)
    system = peptide("capped_ala3")
    coordinates = MolecularCoordinates(system)
    x = coordinates(random_y(coordinates, 200))[0]
    with SamplesWriter(tmp_path / "s.h5", system, 300.0) as writer:
        writer.write(WeightedSamples.from_energies(x, torch.zeros(200), torch.zeros(200)))
    result = analyze(tmp_path / "s.h5", tmp_path / "out")
    written = {f"ramachandran{k}.{kind}" for k in (2, 3, 4) for kind in ("png", "npz", "csv")}
    assert set(result["files"]) == written | {
        "ramachandran.png",
        "radius_of_gyration.csv",
        "end_to_end.csv",
        "sizes.png",
    }
    again = read_samples(tmp_path / "s.h5")
    expected = {name: [asdict(row) for row in rows] for name, rows in again.region_populations().items()}
    assert result["regions"] == finite_or_none(expected)
    assert (list(result["regions"]), result["basins"]) == (["ALA 2", "ALA 3", "ALA 4"], [])
    assert panels == ["ALA 2", "ALA 3", "ALA 4"]
    height, width, _ = imread(tmp_path / "out" / "ramachandran.png").shape
    assert width > 2 * height


def test_a_killed_analysis_leaves_no_half_of_a_file(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each file appears when it is whole, the report last, and an older one stays until then."""
    shutil.copytree(folder / "new" / "out", tmp_path / "out")
    before = {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()}
    synchronise = os.fsync
    left: list[None] = []

    def stop(descriptor: int) -> None:
        if not left:
            raise KeyboardInterrupt
        left.pop()
        synchronise(descriptor)

    monkeypatch.setattr(os, "fsync", stop)
    for n in (0, 1, 4, 7):
        left[:] = [None] * n
        with pytest.raises(KeyboardInterrupt):
            analyze(folder / "s.h5", tmp_path / "out")
        assert {p.name: p.read_bytes() for p in (tmp_path / "out").iterdir()} == before


def test_every_file_of_a_report_is_written_whole(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each under a temporary name first, the report last."""
    renamed: list[str] = []
    replace = os.replace

    def see(source: Any, target: Any) -> None:
        assert Path(source).name.endswith(".part")
        renamed.append(Path(target).name)
        replace(source, target)

    monkeypatch.setattr(os, "replace", see)
    result = analyze(folder / "s.h5", tmp_path / "out")
    assert renamed == sorted(renamed, key=lambda name: name == "report.json")
    assert set(renamed) == {"report.json", *result["files"]} == {p.name for p in (tmp_path / "out").iterdir()}


def test_a_name_leads_to_no_other_folder(folder: Path, tmp_path: Path) -> None:
    """A file whose torsion is called as a path is refused."""
    shutil.copyfile(folder / "s.h5", tmp_path / "s.h5")
    with h5py.File(tmp_path / "s.h5", "a") as file:
        names = json.loads(file.attrs["torsions"])
        names = {f"{name}/../../OUTSIDE": atoms for name, atoms in names.items()}
        file.attrs["torsions"] = np.bytes_(json.dumps(names))
    with pytest.raises(ValueError, match=r"expected a name of 1 to 100 printed characters.*OUTSIDE"):
        analyze(tmp_path / "s.h5", tmp_path / "a" / "b")
    assert [p.name for p in tmp_path.iterdir()] == ["s.h5"]


def test_only_a_chunk_of_positions_is_held(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def watch(samples: WeightedSamples) -> torch.Tensor:
        seen.append(len(samples))
        return radius_of_gyration(samples)

    monkeypatch.setattr("boltzgen.samples.sizes.radius_of_gyration", watch)
    analyze(folder / "s.h5", tmp_path)
    assert sum(seen) == 20_000
    assert max(seen) <= 16_384


def test_a_file_without_weight_or_samples_is_refused(
    system: System, samples: WeightedSamples, tmp_path: Path
) -> None:
    with SamplesWriter(tmp_path / "empty.h5", system, 300.0):
        pass
    with pytest.raises(ValueError, match="holds no samples"):
        analyze(tmp_path / "empty.h5", tmp_path / "out")
    with SamplesWriter(tmp_path / "outside.h5", system, 300.0) as writer:
        writer.write(samples[::100])
    with pytest.raises(ValueError, match="all 200 weights are zero"):
        analyze(tmp_path / "outside.h5", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_values_that_json_lacks_become_null() -> None:
    assert finite_or_none({"a": [1.0, float("inf")], "b": float("nan"), "c": "x"}) == {
        "a": [1.0, None],
        "b": None,
        "c": "x",
    }
