"""The page of an analysis: the numbers of the report, whole in one file, whatever things are called."""

import base64
import hashlib
import json
import re
from pathlib import Path

import mdtraj
import numpy as np
import pytest
import torch

from boltzgen.analysis.html import page, words
from boltzgen.analysis.report import analyze
from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.molecule.basins import Basin
from boltzgen.molecule.system import System
from boltzgen.samples.file import read_samples
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.samples.writer import SamplesWriter
from boltzgen.units import one_kt
from tests.helpers.molecules import random_y
from tests.helpers.pages import Page
from tests.helpers.posing import made_up_samples

NASTY = "<img src=x onerror=alert(1)>&lt;$title"


@pytest.fixture(scope="module")
def parsed(analysed: Path) -> Page:
    return Page((analysed / "page.html").read_text())


def test_it_has_the_report_and_is_small(analysed: Path, parsed: Page, report: dict) -> None:
    assert parsed.data["report"] == report
    assert report["html"] == str(analysed / "page.html")
    assert (analysed / "page.html").stat().st_size < 2e6


def test_tables_have_every_digit_of_the_report(parsed: Page, report: dict) -> None:
    for basin in report["basins"]:
        (row,) = (row for row in parsed.rows if row[0][0] == basin["name"])
        exact = [float(a["data-value"]) for _, a in row if a.get("data-value")]
        known = [basin[k] for k in ("population", "delta_f_kT", "n_raw", "n_effective")]
        assert exact == [value for value in known if value is not None]
        assert row[1][0] == f"{100 * basin['population']:.3g}"
    (size,) = (row for row in parsed.rows if row[0][0] == "radius of gyration")
    assert float(size[1][1]["data-value"]) == report["sizes"]["radius_of_gyration"]["mean"]


def test_surfaces_are_those_of_the_tables(analysed: Path, parsed: Page) -> None:
    (surface,) = parsed.data["surfaces"]
    saved = np.load(analysed / "out" / "ramachandran.npz")
    cells, energy, share, draws = (np.array(column) for column in surface["cells"])
    assert set(cells) == set(np.flatnonzero(saved["counts"]))
    np.testing.assert_array_equal(saved["counts"].flat[cells], draws)
    np.testing.assert_allclose(saved["free_energy"].flat[cells], energy, rtol=1e-5)
    np.testing.assert_allclose(saved["probability"].flat[cells], share, rtol=1e-5)


def test_basins_are_outlined_where_they_end(parsed: Page, system: System) -> None:
    """On either side of each line lies another basin, and names stand in theirs."""
    (surface,) = parsed.data["surfaces"]

    def at(x: float, y: float) -> str:
        angles = {"phi": np.radians([x]), "psi": np.radians([y])}
        return next((b.name for b in system.basins if b.contains(angles)[0]), "")

    assert len(surface["lines"]) < 40
    for x, y, x_end, y_end in surface["lines"]:
        for t in np.linspace(0.1, 0.9, 5):
            a, b = x + t * (x_end - x), y + t * (y_end - y)
            dx, dy = (0.3, 0.0) if x == x_end else (0.0, 0.3)
            assert at(a - dx, b - dy) != at(a + dx, b + dy)
    assert {label["name"] for label in surface["labels"]} == {b.name for b in system.basins}
    for label in surface["labels"]:
        assert at(label["x"], label["y"]) == label["name"]


def test_conformations_are_those_of_the_file(analysed: Path, parsed: Page) -> None:
    samples, shown = read_samples(analysed / "s.h5"), parsed.data["conformations"]
    index = np.array(shown["draw"])
    assert len(index) == 300
    weights = samples.weights[index].numpy() * len(samples)
    np.testing.assert_allclose(shown["weight"], weights, rtol=1e-3)
    x = torch.tensor(shown["x"]).reshape(len(index), -1, 3).double() / 1e4
    expected = samples.x[index].double()
    # The same up to a rigid motion, to the last digit that is written.
    np.testing.assert_allclose(torch.cdist(x, x), torch.cdist(expected, expected), atol=2e-4)
    # On each other as well as mdtraj can put them there, the heaviest as it is.
    frames = mdtraj.Trajectory(x.float().numpy(), samples.to_mdtraj().topology)
    heavy = frames.topology.select("not element H")
    best = mdtraj.rmsd(frames, frames, int(np.argmax(weights)), atom_indices=heavy)
    off = frames.xyz[:, heavy] - frames.xyz[int(np.argmax(weights)), heavy]
    np.testing.assert_allclose(np.sqrt(np.square(off).sum(2).mean(1)), best, atol=1e-3)
    (surface,) = parsed.data["surfaces"]
    phi, psi = (np.degrees(samples.torsion(name)[index].numpy()) for name in ("phi", "psi"))
    np.testing.assert_allclose(surface["values"], np.stack([phi, psi]), atol=0.06)
    (group,) = parsed.data["groups"]
    named = [group["states"][k] for k in group["labels"]]
    inside = [b.name for b in samples.system.basins]
    assert set(named) <= set(inside)
    # Heavy states come first, and each in one piece.
    assert len([k for k in range(1, 300) if named[k] != named[k - 1]]) == len(set(named)) - 1


def test_it_asks_for_nothing_and_allows_nothing(parsed: Page) -> None:
    policy = next(a["content"] for tag, a in parsed.tags if a.get("http-equiv") == "Content-Security-Policy")
    texts = [parsed.texts["style"][0], *parsed.texts["script"][1:]]
    for text in texts:
        assert f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" in policy
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy and "http" not in policy
    for tag, attributes in parsed.tags:
        assert tag not in ("link", "iframe", "object", "base", "form")
        assert "style" not in attributes and not [a for a in attributes if a.startswith("on")]
        assert attributes.get("src") is None
        assert (attributes.get("href") or "#").startswith("#")


def test_names_cannot_become_parts_of_the_page(system: System, tmp_path: Path, parsed: Page) -> None:
    """Not the system's, not a basin's, and not the file's."""
    basins = tuple(Basin(f"{NASTY} {b.name}", **b.intervals) for b in system.basins)
    named = System(system.topology, system.openmm_system, system.positions, name=NASTY, basins=basins)
    file = tmp_path / f"{NASTY}.h5"
    with SamplesWriter(file, named, 300.0) as writer:
        writer.write(made_up_samples(system, 600))
    analyze(file, tmp_path / "out", html=tmp_path / "page.html")
    found = Page((tmp_path / "page.html").read_text())
    assert [tag for tag, _ in found.tags] == [tag for tag, _ in parsed.tags]
    assert found.data["report"]["system"] == NASTY
    assert f"{NASTY} at 300 K" in found.words
    assert f"{NASTY} C7ax" in [row[0][0] for row in found.rows]
    assert f"From {file}" in found.words
    assert re.fullmatch(r"[\w.+-]+", found.data["stem"])


def test_programs_end_no_script_element() -> None:
    for name in (page._VIEWER, *page._PROGRAM):
        text = page._part(name).lower()
        assert text and "</script" not in text and "<!--" not in text and "\r" not in text


def test_the_vendored_viewer_is_what_its_note_says() -> None:
    note = page._part("vendor/README.md")
    for name in ("3Dmol-min.js", "3Dmol-LICENSE.txt"):
        checksum = hashlib.sha256(page._part(f"vendor/{name}").encode()).hexdigest()
        assert f"`{name}` | {checksum}" in note


def test_a_trajectory_with_quantities_in_other_units(system: System, tmp_path: Path) -> None:
    x = made_up_samples(system, 400).x
    mdtraj.Trajectory(x.numpy(), mdtraj.Topology.from_openmm(system.topology)).save(tmp_path / "t.xtc")
    report = analyze(
        tmp_path / "t.xtc",
        tmp_path / "out",
        system=system,
        along=["phi"],
        units="kJ/mol",
        html=tmp_path / "page.html",
    )
    found = Page((tmp_path / "page.html").read_text())
    assert "400 frames of a trajectory" in found.words
    assert "Frames of a simulation have equal weights" in found.words
    assert found.data["unit"] == "kJ/mol"
    assert [curve["name"] for curve in found.data["curves"]] == ["radius_of_gyration", "phi"]
    (row,) = (row for row in found.rows if row[0][0] == "C7ax")
    (basin,) = (b for b in report["basins"] if b["name"] == "C7ax")
    assert float(row[4][1]["data-value"]) == pytest.approx(one_kt("kJ/mol", 300.0) * basin["delta_f_kT"])


def test_a_molecule_without_backbone_has_profiles_of_its_torsions(tmp_path: Path) -> None:
    system = System.load("dimethoxyethane")
    coordinates = MolecularCoordinates(system)
    x = coordinates(random_y(coordinates, 200))[0]
    u = torch.linspace(-1, 1, 200, dtype=torch.float64)
    with SamplesWriter(tmp_path / "s.h5", system, 300.0) as writer:
        writer.write(WeightedSamples.from_energies(x, u, torch.zeros(200), system))
    analyze(tmp_path / "s.h5", tmp_path / "out", html=tmp_path / "page.html")
    data = Page((tmp_path / "page.html").read_text()).data
    assert data["surfaces"] == []
    assert [c["name"] for c in data["curves"]] == [*system.torsions, "radius_of_gyration"]
    assert len(data["conformations"]["draw"]) == 200
    for curve in data["curves"]:
        assert len(curve["values"]) == 200
        assert sum(curve["counts"]) <= 200


def test_weights_that_say_little_are_doubted(report: dict) -> None:
    assert words.doubts(report) == []
    bad = report | {"effective_sample_size": 12.0, "psis_k_hat": 0.9}
    assert [text.split(":")[0].rstrip(".") for text in words.doubts(bad)] == [
        "Only 12 effective draws",
        "PSIS k-hat is 0.90, above 0.7",
    ]
    uneven = {"sampling_efficiency_blocks_low": 0.02, "sampling_efficiency_blocks_high": 0.2}
    (said,) = words.doubts(report | uneven | {"effective_sample_size": 1000.0})
    assert said.startswith("The efficiency is 2 % in one tenth of the draws and 20 % in another")
    unknown = report | {"log_z_error": None, "psis_k_hat": None}
    said = dict(words.weights(unknown))
    assert "PSIS k-hat not known" in said
    assert any("Its error is not estimated" in text for text in said.values())


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("page.txt", ValueError, "expected `html` to be a file that ends in .html"),
        ("none/page.html", FileNotFoundError, "no folder"),
    ],
)
def test_pages_that_cannot_be_written_are_refused_before_the_work(
    name: str, error: type[Exception], message: str, analysed: Path, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        analyze(analysed / "s.h5", tmp_path / "out", html=tmp_path / name)
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_same_samples_give_the_same_page(analysed: Path, tmp_path: Path) -> None:
    analyze(analysed / "s.h5", tmp_path / "out", html=tmp_path / "page.html")
    first, second = (
        json.dumps(Page(p.read_text()).data) for p in (analysed / "page.html", tmp_path / "page.html")
    )
    assert first.replace(str(analysed), "") == second.replace(str(tmp_path), "").replace(str(analysed), "")
