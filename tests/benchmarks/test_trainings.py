"""Benchmarks that train: objectives, ablations and bases, a row each."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def test_objectives_benchmark(tmp_path: Path) -> None:
    """Every objective from one state, which a second call finds; each trained on as many samples."""
    command = [
        sys.executable,
        BENCHMARKS / "objectives.py",
        "--quick",
        "--folder",
        tmp_path / "state",
        "--json",
        tmp_path / "rows.json",
    ]
    first = subprocess.run(command, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert [row["objective"] for row in rows] == [
        "start",
        "hierarchical",
        "log-variance",
        "forward KL",
        "reverse KL",
        "path gradient",
        "alpha-2",
    ]
    assert all(0 < row["efficiency"] <= 1 for row in rows)
    # Two steps of 64: one round of 32 batches, fresh draws, or four fills of 64 samples at 1 + 4 each; of the
    # walkers, up to 8 move thrice, and up to two draws become some.
    evaluations = [row["evaluations"] for row in rows]
    assert 2 * 3 <= evaluations.pop(1) - 128 <= 2 * (8 * 3 + 2)
    assert evaluations == [0, 2048, 2048, 128, 128, 4 * 64 * 5]
    second = subprocess.run(
        [*command, "--objectives", "reverse KL"], capture_output=True, text=True, check=False
    )
    assert second.returncode == 0, second.stderr
    again = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert [row["efficiency"] for row in again] == [
        row["efficiency"] for row in rows if row["objective"] in ("start", "reverse KL")
    ]


def test_ablations_benchmark(tmp_path: Path) -> None:
    """Two variants, one of them with names replaced: a row each, and another call repeats neither."""
    command = [
        sys.executable,
        BENCHMARKS / "ablations.py",
        tmp_path,
        "--quick",
        "--seeds",
        "0",
        "--variants",
        "8 bins",
        "default",
    ]
    first = subprocess.run(command, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    _, _, default, bins = first.stdout.splitlines()
    assert default.startswith("| default | 1 |") and bins.startswith("| 8 bins | 1 |")
    parameters = [int(row.split("|")[8]) for row in (default, bins)]
    assert parameters[0] < parameters[1]
    again = subprocess.run([*command, "--seeds", "0"], capture_output=True, text=True, check=False)
    assert again.stdout == first.stdout


def test_densities_benchmark(tmp_path: Path) -> None:
    """Every base by both objectives on one target: a row and a picture each, and another call repeats
    none.
    """
    command = [
        sys.executable,
        BENCHMARKS / "densities.py",
        tmp_path,
        "--quick",
        "--seeds",
        "0",
        "--targets",
        "rings",
    ]
    command += ["--figure", tmp_path / "figure.png"]
    first = subprocess.run(command, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    rows = [json.loads(file.read_text()) for file in tmp_path.glob("*.json")]
    assert {(r["objective"], r["base"]) for r in rows} == {
        (o, b) for o in ("forward", "reverse") for b in ("normal", "mixture", "resampled")
    }
    assert all(r["forward_kl"] > 0 and 0.9 < r["mass"] < 1.01 for r in rows)
    assert (tmp_path / "figure.png").stat().st_size > 5000
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert again.stdout.splitlines() == first.stdout.splitlines()[-8:]


def test_molecule_bases_benchmark(tmp_path: Path) -> None:
    """A row for each base, compared with the shipped reference; another call repeats none."""
    command = [
        sys.executable,
        BENCHMARKS / "molecule_bases.py",
        tmp_path,
        "--quick",
        "--seeds",
        "0",
        "--ways",
        "scratch",
    ]
    command += ["--systems", "alanine_dipeptide", "--bases", "uniform", "resampled"]
    first = subprocess.run(command, capture_output=True, text=True, check=False)
    assert first.returncode == 0, first.stderr
    uniform, resampled = (
        json.loads((tmp_path / f"alanine_dipeptide_scratch_{base}_0/result.json").read_text())
        for base in ("uniform", "resampled")
    )
    assert uniform["energies"] == resampled["energies"] > 0
    assert uniform["acceptance_rate"] is None and 0 < resampled["acceptance_rate"] < 1
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert again.stdout.splitlines() == first.stdout.splitlines()[-4:]
