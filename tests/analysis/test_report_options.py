"""What a report is asked for: other pairs, profiles along quantities, bins, units, formats."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from boltzgen.analysis.curves import torsion_curve
from boltzgen.analysis.profiles import profile
from boltzgen.analysis.quantity import quantity
from boltzgen.analysis.report import analyze
from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.molecule.system import System
from boltzgen.samples.sizes import end_to_end_distance
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.units import one_kt
from tests.helpers.molecules import peptide, random_y

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


#: With a text that is another's but for its spaces, and several whose files might have one name.
ALONG = ["distance CA2  CA4", "psi3", "cos(phi2)", " cos(phi2) ", "phi2*psi2", "phi2 / psi2", "phi2*(psi2)"]
ASKED: dict[str, Any] = {"pairs": [("phi2", "psi3"), ("phi3", "psi3")], "along": ALONG, "bins": 20}
STEMS = ("surface_phi2_psi3", "ramachandran3")
SIZES = ("radius_of_gyration", "end_to_end")


@pytest.fixture(scope="module")
def plain(file: Path) -> tuple[dict[str, Any], Path]:
    """A report in kT, and its folder."""
    return analyze(file, file.parent / "plain", **ASKED), file.parent / "plain"


@pytest.fixture(scope="module")
def other(file: Path) -> tuple[dict[str, Any], Path]:
    """The same in kJ/mol, with PDF pictures."""
    folder = file.parent / "other"
    return analyze(file, folder, units="kJ/mol", format="pdf", **ASKED), folder


def test_files(plain: tuple[dict[str, Any], Path]) -> None:
    result, folder = plain
    surfaces = {f"{stem}.{kind}" for stem in STEMS for kind in ("png", "npz", "csv")} | {"surfaces.png"}
    sizes = {*(f"{name}.csv" for name in SIZES), "sizes.png"}
    profiles = {*(one["file"] for one in result["along"].values()), "profiles.png"}
    assert set(result["files"]) == surfaces | sizes | profiles
    assert {p.name for p in folder.iterdir()} == {"report.json", *result["files"]}
    assert result == json.loads((folder / "report.json").read_text())


def test_pairs_take_the_place_of_phi_and_psi(
    plain: tuple[dict[str, Any], Path], samples: WeightedSamples
) -> None:
    folder = plain[1]
    edges = np.linspace(-np.pi, np.pi, 21)
    angles = [samples.torsion(name).numpy() for name in ("phi2", "psi3")]
    expected = np.histogram2d(*angles, (edges, edges), weights=samples.weights.numpy())[0]
    held = np.load(folder / "surface_phi2_psi3.npz")
    np.testing.assert_allclose(held["probability"], expected, atol=1e-9)
    table = column(folder / "surface_phi2_psi3.csv", "probability")
    np.testing.assert_allclose(table, expected.ravel(), atol=1e-7)
    assert list(rows(folder / "surface_phi2_psi3.csv")[0])[:2] == ["phi2_degrees", "psi3_degrees"]


def test_profiles_along_quantities(plain: tuple[dict[str, Any], Path], samples: WeightedSamples) -> None:
    result, folder = plain
    distance, psi, cosine, *same = result["along"].values()
    size = samples.expectation(end_to_end_distance)
    assert (distance["mean"], distance["standard_error"]) == pytest.approx((size.value, size.error), rel=1e-5)
    assert (distance["unit"], distance["file"]) == ("nm", "profile_distance_CA2_CA4.csv")
    assert psi == {"mean": None, "standard_error": None, "unit": "degrees", "file": "profile_psi3.csv"}
    assert cosine["mean"] == pytest.approx(samples.mean(lambda s: s.torsion("phi2").cos()).value, abs=1e-6)
    assert list(result["along"])[:3] == ["distance CA2 CA4", "psi3", "cos(phi2)"]
    assert [one["file"] for one in same] == [f"profile_phi2_psi2{k}.csv" for k in ("", "_2", "_3")]
    weights = samples.weights.numpy()
    values = quantity("distance CA2 CA4", samples.system)(samples).numpy()
    expected = profile(values, weights, 20)
    path = folder / "profile_distance_CA2_CA4.csv"
    np.testing.assert_allclose(column(path, "probability"), expected.probability, atol=1e-7)
    np.testing.assert_allclose(column(path, "distance_CA2_CA4_nm"), expected.centres, rtol=1e-6)
    # A torsion's profile goes round the whole circle, in degrees.
    path = folder / "profile_psi3.csv"
    np.testing.assert_allclose(column(path, "psi3_degrees"), np.linspace(-171, 171, 20))
    turns = np.histogram(samples.torsion("psi3").rad2deg(), np.linspace(-180, 180, 21), weights=weights)[0]
    np.testing.assert_allclose(column(path, "probability"), turns, atol=1e-7)


def test_units_and_formats(plain: tuple[dict[str, Any], Path], other: tuple[dict[str, Any], Path]) -> None:
    (report, before), (result, folder) = plain, other
    assert result == report | {"files": [name.replace("png", "pdf") for name in report["files"]]}  # in kT
    for name in (*STEMS, *SIZES, "profile_cos_phi2"):
        energies = [key for key in rows(before / f"{name}.csv")[0] if key.endswith("_kT")]
        assert energies
        for key in energies:
            expected = one_kt("kJ/mol", 350.0) * column(before / f"{name}.csv", key)
            found = column(folder / f"{name}.csv", f"{key.removesuffix('kT')}kJ/mol")
            np.testing.assert_allclose(found, expected, rtol=1e-6)
        same = column(folder / f"{name}.csv", "probability")
        np.testing.assert_array_equal(same, column(before / f"{name}.csv", "probability"))
    pictures = [f"{stem}.pdf" for stem in (*STEMS, "surfaces", "sizes", "profiles")]
    assert all((folder / name).read_bytes().startswith(b"%PDF") for name in pictures)
    assert not list(folder.glob("*.png"))


def test_a_torsion_of_half_a_turn_is_in_the_first_bin() -> None:
    curve = torsion_curve("psi", np.array([180.0, -180.0, -179.0, 0.0]), np.full(4, 0.25), 36)
    np.testing.assert_allclose(curve.profile.probability[[0, 18, 35]], [0.75, 0.25, 0.0])


def test_a_molecule_without_phi_and_psi_has_profiles_of_its_torsions(tmp_path: Path) -> None:
    system = System.load("dimethoxyethane")
    drawn = random_samples(system)
    drawn.save(tmp_path / "s.h5")
    first, second, _ = system.torsions
    result = analyze(
        tmp_path / "s.h5", tmp_path / "out", units="kJ/mol", format="svg", pairs=[(first, second)]
    )
    surface = "surface_torsion_C1-O1-C2-C3_torsion_O1-C2-C3-O2"
    surfaces = [f"{surface}.{kind}" for kind in ("svg", "npz", "csv")]
    sizes = ["radius_of_gyration.csv", "sizes.svg"]
    assert result["files"] == [*surfaces, "torsions.csv", "torsions.svg", *sizes]
    assert (result["source"], result["along"]) == ("samples", {})
    for picture in (f"{surface}.svg", "torsions.svg", "sizes.svg"):
        text = (tmp_path / "out" / picture).read_text()
        assert text.startswith("<?xml")
        assert "free energy / (kJ/mol)" in text  # Matplotlib writes each text's words beside its outlines
    held = rows(tmp_path / "out" / "torsions.csv")
    assert list(held[0])[:3] == ["torsion", "degrees", "free_energy_kJ/mol"]
    for name in system.torsions:
        own = [row for row in held if row["torsion"] == name]
        assert len(own) == 36
        counts = np.histogram(
            drawn.torsion(name).rad2deg(), np.linspace(-180, 180, 37), weights=drawn.weights.numpy()
        )[0]
        np.testing.assert_allclose([float(row["probability"]) for row in own], counts, atol=1e-7)


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
