"""What a report is asked for: other pairs, profiles along quantities, bins, units, formats."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from boltzgen.analysis.profiles import profile
from boltzgen.analysis.quantity import quantity
from boltzgen.analysis.report import analyze
from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.molecule.system import System
from boltzgen.samples.sizes import end_to_end_distance
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.units import one_kt
from tests.helpers.molecules import peptide, random_y
from tests.helpers.posing import made_up_samples

N = 400


def random_samples(system: System) -> WeightedSamples:
    """Torsions drawn uniformly, unequal weights, one draw in fifty without any."""
    coordinates = MolecularCoordinates(system)
    x = coordinates(random_y(coordinates, N))[0]
    u = torch.linspace(-1, 1, N, dtype=torch.float64)
    u[::50] = torch.inf
    return WeightedSamples.from_energies(x, u, torch.zeros(N), system, temperature=350.0)


@pytest.fixture(scope="module")
def samples() -> WeightedSamples:
    return random_samples(peptide("capped_ala3"))


@pytest.fixture(scope="module")
def file(samples: WeightedSamples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("options") / "s.h5"
    samples.save(path)
    return path


def rows(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def column(path: Path, name: str) -> np.ndarray:
    return np.array([float(row[name] or "nan") for row in rows(path)])


def test_pairs_take_the_place_of_phi_and_psi(file: Path, samples: WeightedSamples, tmp_path: Path) -> None:
    result = analyze(file, tmp_path, pairs=[("phi2", "psi3"), ("phi3", "psi3")], bins=12)
    stems = ("surface_phi2_psi3", "ramachandran3")
    surfaces = {f"{stem}.{kind}" for stem in stems for kind in ("png", "npz", "csv")} | {"surfaces.png"}
    sizes = {"radius_of_gyration.csv", "end_to_end.csv", "sizes.png"}
    assert set(result["files"]) == surfaces | sizes
    assert {p.name for p in tmp_path.iterdir()} == {"report.json", *surfaces, *sizes}
    held = np.load(tmp_path / "surface_phi2_psi3.npz")
    edges = np.linspace(-np.pi, np.pi, 13)
    expected = np.histogram2d(
        samples.torsion("phi2").numpy(),
        samples.torsion("psi3").numpy(),
        (edges, edges),
        weights=samples.weights.numpy(),
    )[0]
    np.testing.assert_allclose(held["probability"], expected, atol=1e-9)
    assert list(rows(tmp_path / "surface_phi2_psi3.csv")[0])[:2] == ["phi2_degrees", "psi3_degrees"]


def test_profiles_along_quantities(file: Path, samples: WeightedSamples, tmp_path: Path) -> None:
    texts = ["distance CA2  CA4", "psi3", "cos(phi2)", " cos(phi2) "]
    result = analyze(file, tmp_path, along=texts, bins=20)
    assert list(result["along"]) == ["distance CA2 CA4", "psi3", "cos(phi2)"]
    distance, psi, cosine = result["along"].values()
    mean, error = samples.expectation(end_to_end_distance)
    assert (distance["mean"], distance["standard_error"]) == pytest.approx((mean, error), rel=1e-5)
    assert (distance["unit"], distance["file"]) == ("nm", "profile_distance_CA2_CA4.csv")
    assert psi == {"mean": None, "standard_error": None, "unit": "degrees", "file": "profile_psi3.csv"}
    assert cosine["mean"] == pytest.approx(samples.mean(lambda s: s.torsion("phi2").cos()).value, abs=1e-6)
    assert {"profiles.png", *(one["file"] for one in result["along"].values())} <= set(result["files"])
    assert {p.name for p in tmp_path.iterdir()} == {"report.json", *result["files"]}
    weights = samples.weights.numpy()
    values = quantity("distance CA2 CA4", samples.system)(samples).numpy()
    expected = profile(values, weights, 20)
    path = tmp_path / "profile_distance_CA2_CA4.csv"
    np.testing.assert_allclose(column(path, "probability"), expected.probability, atol=1e-7)
    np.testing.assert_allclose(column(path, "distance_CA2_CA4_nm"), expected.centres, rtol=1e-6)
    # A torsion's profile goes round the whole circle, in degrees.
    path = tmp_path / "profile_psi3.csv"
    np.testing.assert_allclose(column(path, "psi3_degrees"), np.linspace(-171, 171, 20))
    turns = np.histogram(samples.torsion("psi3").rad2deg(), np.linspace(-180, 180, 21), weights=weights)[0]
    np.testing.assert_allclose(column(path, "probability"), turns, atol=1e-7)


def test_files_of_quantities_are_told_apart(file: Path, tmp_path: Path) -> None:
    result = analyze(file, tmp_path, along=["phi2*psi2", "phi2 / psi2", "phi2*(psi2)"], bins=5)
    files = [one["file"] for one in result["along"].values()]
    assert files == ["profile_phi2_psi2.csv", "profile_phi2_psi2_2.csv", "profile_phi2_psi2_3.csv"]


@pytest.mark.parametrize("unit", ["kJ/mol", "kcal/mol"])
def test_units_of_tables(file: Path, tmp_path: Path, unit: Any) -> None:
    plain = analyze(file, tmp_path / "kT", along=["cos(phi2)"], bins=8)
    other = analyze(file, tmp_path / "unit", along=["cos(phi2)"], bins=8, units=unit)
    factor = one_kt(unit, 350.0)
    for name in ("ramachandran2", "radius_of_gyration", "profile_cos_phi2"):
        path = f"{name}.csv"
        energies = [key for key in rows(tmp_path / "kT" / path)[0] if key.endswith("_kT")]
        assert energies
        for key in energies:
            expected = factor * column(tmp_path / "kT" / path, key)
            found = column(tmp_path / "unit" / path, key.removesuffix("kT") + unit)
            np.testing.assert_allclose(found, expected, rtol=1e-6)
        same = column(tmp_path / "unit" / path, "probability")
        np.testing.assert_array_equal(same, column(tmp_path / "kT" / path, "probability"))
    assert other == plain  # JSON has kT


@pytest.mark.parametrize(("format", "magic"), [("pdf", b"%PDF"), ("svg", b"<?xml")])
def test_formats_of_pictures(file: Path, tmp_path: Path, format: Any, magic: bytes) -> None:
    result = analyze(file, tmp_path, along=["phi2"], format=format, bins=6)
    pictures = [name for name in result["files"] if name.endswith(format)]
    stems = ["ramachandran2", "ramachandran3", "ramachandran4", "ramachandran", "sizes", "profiles"]
    assert pictures == [f"{stem}.{format}" for stem in stems]
    assert all((tmp_path / name).read_bytes().startswith(magic) for name in pictures)
    assert not list(tmp_path.glob("*.png"))


def test_a_molecule_without_phi_and_psi_has_profiles_of_its_torsions(tmp_path: Path) -> None:
    system = System.load("dimethoxyethane")
    drawn = random_samples(system)
    drawn.save(tmp_path / "s.h5")
    result = analyze(tmp_path / "s.h5", tmp_path / "out", units="kJ/mol")
    assert result["files"] == ["torsions.csv", "torsions.png", "radius_of_gyration.csv", "sizes.png"]
    held = rows(tmp_path / "out" / "torsions.csv")
    assert list(held[0])[:3] == ["torsion", "degrees", "free_energy_kJ/mol"]
    for name in system.torsions:
        own = [row for row in held if row["torsion"] == name]
        assert len(own) == 36
        counts = np.histogram(
            drawn.torsion(name).rad2deg(), np.linspace(-180, 180, 37), weights=drawn.weights.numpy()
        )[0]
        np.testing.assert_allclose([float(row["probability"]) for row in own], counts, atol=1e-7)
    pair = list(system.torsions)[:2]
    result = analyze(tmp_path / "s.h5", tmp_path / "out", pairs=[(pair[0], pair[1])])
    assert "surface_torsion_C1-O1-C2-C3_torsion_O1-C2-C3-O2.png" in result["files"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"pairs": [("phi2", "psi9")]},
            "`pairs` names a torsion 'psi9' that this molecule has not",
        ),
        ({"pairs": [("phi2", "phi2")]}, "`pairs` of two different torsions each, got 'phi2 phi2'"),
        ({"pairs": ["phi2"]}, "`pairs` of two different torsions each, got 'phi2'"),
        ({"along": ["distance CA2 CA9"]}, "no atom called 'CA9'"),
        ({"along": ["log(0 - 1 - phi2 * phi2)"]}, r"not a finite number in 392 of 400 conformations"),
        ({"bins": 1}, "expected 2 to 720 `bins`, got 1"),
        ({"units": "J"}, "expected `unit` to be one of kT, kJ/mol, kcal/mol, got 'J'"),
        ({"format": "jpg"}, "expected `format` to be one of png, pdf, svg, got 'jpg'"),
    ],
)
def test_wrong_options_leave_nothing(
    file: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        analyze(file, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_the_report_says_what_it_is_of(system: System, tmp_path: Path) -> None:
    made_up_samples(system, 200).save(tmp_path / "s.h5", temperature=300.0)
    result = analyze(tmp_path / "s.h5", tmp_path / "out")
    assert (result["source"], result["along"]) == ("samples", {})
    assert result == json.loads((tmp_path / "out" / "report.json").read_text())
