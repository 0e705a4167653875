"""An analysis of statistics says what that of the samples says, as far as its cells can tell."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boltzgen.analysis.report import analyze
from boltzgen.molecule.system import System
from boltzgen.samples.shards import Shard
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.samples.writer import SamplesWriter
from boltzgen.statistics.writer import StatisticsWriter
from tests.helpers.posing import made_up_samples

N = 20_000
ALONG = ("distance C1 N2", "cos(phi)", "psi")


@pytest.fixture(scope="module")
def drawn(system: System) -> WeightedSamples:
    return made_up_samples(system, N, spread=0.5)


@pytest.fixture(scope="module")
def folder(system: System, drawn: WeightedSamples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("statistics")
    common: dict[str, Any] = {"seed": 5, "generator": "g", "n": N}
    for k in (1, 2):
        shard = Shard(k, 2)
        start, stop = shard.draws(N)
        with StatisticsWriter(
            folder / f"part_{k}.h5", system, 300.0, shard=shard, along=ALONG, pairs=[("psi", "phi")], **common
        ) as writer:
            writer.write(drawn[start:stop])
            writer.n_energy_evaluations = stop - start
        with SamplesWriter(folder / f"samples_{k}.h5", system, 300.0, shard=shard, **common) as writer:
            writer.write(drawn[start:stop])
            writer.n_energy_evaluations = stop - start
    parts = [folder / f"part_{k}.h5" for k in (1, 2)]
    analyze(parts, folder / "summed", pairs=[("phi", "psi")])
    samples = [folder / f"samples_{k}.h5" for k in (2, 1)]
    analyze(samples, folder / "sampled", along=ALONG, pairs=[("phi", "psi")])
    return folder


def reports(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    summed, sampled = (json.loads((folder / k / "report.json").read_text()) for k in ("summed", "sampled"))
    return summed, sampled


def leaves(value: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, f"{place}/{key}")
    elif isinstance(value, list):
        for key, inner in enumerate(value):
            yield from leaves(inner, f"{place}/{key}")
    else:
        yield place, value


def test_many_draws_are_counted_and_say_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples of more than `MANY` draws, whose numbers are not kept."""

    def no_values(*_: Any) -> None:
        raise AssertionError("the numbers of all draws were kept")

    samples = [folder / f"samples_{k}.h5" for k in (2, 1)]
    wanted: dict[str, Any] = {"along": ["distance C1 N2", "psi"], "pairs": [("phi", "psi")]}
    few = dict(leaves(analyze(samples, folder / "few", **wanted)))
    monkeypatch.setattr("boltzgen.analysis.report.MANY", N - 1)
    monkeypatch.setattr("boltzgen.analysis.report.read_values", no_values)
    many = dict(leaves(analyze(samples, folder / "many", **wanted)))
    assert many.keys() == few.keys()
    for place, value in few.items():
        expected = pytest.approx(value, rel=1e-6, abs=1e-9) if isinstance(value, float) else value
        assert many[place] == expected, place
    assert {p.name for p in (folder / "many").iterdir()} == {p.name for p in (folder / "few").iterdir()}


def not_counted(*_: Any) -> None:
    raise AssertionError("the draws were counted in cells")


def test_several_seeds_keep_the_numbers_of_each_draw(
    folder: Path, system: System, drawn: WeightedSamples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("boltzgen.analysis.report.MANY", 0)
    monkeypatch.setattr("boltzgen.analysis.report.counted", not_counted)
    with SamplesWriter(tmp_path / "other.h5", system, 300.0, seed=6, generator="g") as writer:
        writer.write(drawn[:2048])
    samples = [*(folder / f"samples_{k}.h5" for k in (1, 2)), tmp_path / "other.h5"]
    assert analyze(samples, tmp_path / "out")["agreement"]


@pytest.mark.parametrize(
    "options",
    [{"bins": 50}, {"system": "alanine_dipeptide"}, {"along": ["cos(phi)"]}, {"html": True}],
    ids=["bins", "system", "unit", "html"],
)
def test_what_wants_each_draw_keeps_its_numbers(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    monkeypatch.setattr("boltzgen.analysis.report.MANY", N - 1)
    monkeypatch.setattr("boltzgen.analysis.report.counted", not_counted)
    if "html" in options:
        options = {"html": tmp_path / "page.html"}
    samples = [folder / f"samples_{k}.h5" for k in (2, 1)]
    found = analyze(samples, tmp_path / "out", **options)
    assert found["n_samples"] == N
    # Cells of an expression without a unit there are none, and so no profile.
    assert all(one["file"] for one in found["along"].values())


def test_the_report_is_that_of_the_samples(folder: Path) -> None:
    summed, sampled = reports(folder)
    assert (summed["source"], sampled["source"]) == ("statistics", "samples")
    assert summed["file"] == [str(folder / f"part_{k}.h5") for k in (1, 2)]
    for report in (summed, sampled):
        for name in ("file", "source", "files"):
            del report[name]
        report["along"] = {
            k: {n: v for n, v in one.items() if n != "file"} for k, one in report["along"].items()
        }
    first, second = dict(leaves(summed)), dict(leaves(sampled))
    assert first.keys() == second.keys()
    for place, value in second.items():
        expected = pytest.approx(value, rel=1e-6, abs=1e-9) if isinstance(value, float) else value
        assert first[place] == expected, place
    assert (summed["seed"], summed["n_energy_evaluations"], summed["missing"]) == (5, N, [])


def test_the_surface_is_that_of_the_samples(folder: Path) -> None:
    summed, sampled = (np.load(folder / k / "ramachandran.npz") for k in ("summed", "sampled"))
    assert np.array_equal(summed["counts"], sampled["counts"])
    assert summed["probability"] == pytest.approx(sampled["probability"], rel=1e-9, abs=1e-15)
    assert {path.name for path in (folder / "summed").iterdir()} == {
        "report.json",
        "ramachandran.npz",
        "ramachandran.csv",
        "ramachandran.png",
        "radius_of_gyration.csv",
        "sizes.png",
        "profile_distance_C1_N2.csv",
        "profile_psi.csv",
        "profiles.png",
    }


def rows(path: Path) -> np.ndarray:
    return np.genfromtxt(path, delimiter=",", skip_header=1)


def test_the_profile_of_a_torsion_is_that_of_the_samples(folder: Path) -> None:
    """Centres, free energies, shares, their errors and counts; limits where both are known."""
    summed, sampled = (rows(folder / k / "profile_psi.csv") for k in ("summed", "sampled"))
    for column in (0, 1, 2, 5, 6, 7):
        assert summed[:, column] == pytest.approx(sampled[:, column], rel=1e-6, abs=1e-9, nan_ok=True)
    for column in (3, 4):
        known = np.isfinite(summed[:, column]) & np.isfinite(sampled[:, column])
        assert known.sum() > 20
        # Theirs is each bin's own k-hat.
        away = np.abs(summed[known, column] - sampled[known, column])
        assert np.median(away) < 0.02 and away.max() < 0.5


def test_the_profile_of_a_length_holds_the_same_distribution(folder: Path) -> None:
    summed, sampled = (rows(folder / k / "radius_of_gyration.csv") for k in ("summed", "sampled"))
    assert len(summed) <= 50
    for found in (summed, sampled):
        assert found[:, 5].sum() == pytest.approx(1.0, abs=1e-3)
    mean = [float(found[:, 0] @ found[:, 5]) for found in (summed, sampled)]
    assert mean[0] == pytest.approx(mean[1], abs=2e-4)
    assert summed[:, 7].sum() == pytest.approx(sampled[:, 7].sum(), rel=1e-3)


def test_bins_and_units(folder: Path, tmp_path: Path) -> None:
    result = analyze(
        [folder / "part_1.h5", folder / "part_2.h5"], tmp_path, bins=45, units="kJ/mol", format="svg"
    )
    assert len(np.load(tmp_path / "ramachandran.npz")["counts"]) == 45
    assert "ramachandran.svg" in result["files"] and "surface_psi_phi.svg" in result["files"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"html": "page.html"}, "`html` shows conformations, of which statistics hold none"),
        ({"measure": "constrained-dynamics"}, "leave out `system` and `measure`"),
        ({"system": "alanine_dipeptide"}, "leave out `system` and `measure`"),
        ({"bins": 50}, "of which 50 `bins` cannot be made; choose one of 20, 24, 30"),
        ({"pairs": [("phi", "omega")]}, "no surface of phi and omega was counted; draw with `pairs` of them"),
        ({"along": ["distance C1 O1"]}, "no 'distance C1 O1' was counted; draw with it in `along`"),
    ],
)
def test_what_statistics_cannot_say_is_refused(
    folder: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        analyze(folder / "part_1.h5", tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_missing_shards_are_said(folder: Path, tmp_path: Path) -> None:
    for kind in ("part", "samples"):
        result = analyze(folder / f"{kind}_1.h5", tmp_path / kind)
        assert result["missing"] == ["shard 2/2 (draws 10240 to 20000)"]
        assert result["n_samples"] == 10240
