"""Tabular data and images: every base, in the quick mode of the scripts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def run(name: str, *options: object) -> str:
    command = [sys.executable, BENCHMARKS / name, *map(str, options)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_tabular_benchmark(tmp_path: Path) -> None:
    """Six models of nearly as many parameters, and as many steps; finished runs are kept."""
    first = run("tabular.py", tmp_path, "--quick")
    rows = [json.loads(file.read_text()) for file in tmp_path.glob("*.json")]
    assert len(rows) == 6
    assert all(0.95 * 60_000 < row["parameters"] <= 60_000 for row in rows)
    assert all(-7 < row["test"] < -4 and row["test_error"] > 0 for row in rows)
    for row in rows:
        assert (row["proposals"] is not None) == (row["base"] == "resampled") == (row["rate_error"] > 0)
    again = run("tabular.py", tmp_path, "--quick")
    assert again.splitlines() == [line for line in first.splitlines() if line.startswith("|")]
    assert "| made | RealNVP | resampled | 1 |" in again


def test_images_benchmark(tmp_path: Path) -> None:
    """Bits per dimension of four bases, and pictures of their samples."""
    figure = tmp_path / "samples.png"
    printed = run("images.py", tmp_path, "--quick", "--figure", figure)
    rows = [json.loads(file.read_text()) for file in tmp_path.glob("*.json")]
    assert len(rows) == 4
    assert all(0.95 * 60_000 < row["parameters"] <= 60_000 for row in rows)
    assert all(1 < row["bits"] < 5 for row in rows)
    for row in rows:
        assert (row["recognised"] is not None) == ("class" in row["base"])
        assert (row["proposals"] is not None) == ("resampled" in row["base"])
        # p(x) is at least half of p(x | own class): one bit in 64 dimensions.
        most = 1 / 64 if "class" in row["base"] else 0
        assert row["bits"] <= row["bits_given"] + most + 1e-6
    assert "| made | resampled, by class | 1 |" in printed
    assert figure.stat().st_size > 5000
