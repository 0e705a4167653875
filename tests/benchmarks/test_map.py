"""Effective samples of a generator and of simulations on one scale: `benchmarks/map.py`."""

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.helpers.scripts import loaded

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def result(**generator: float) -> dict[str, Any]:
    """Two regions and a rare one, by simulations of a hundred effective samples and by a generator."""
    simulated = [
        ["ALA 2", "alphaR", 0.64, 0.048],
        ["ALA 2", "beta", 0.35, 0.0477],
        ["ALA 2", "C7ax", 0.01, 0.01],
    ]
    by_draws = {"alphaR": 0.62, "beta": 0.37, "C7ax": 0.01} | generator
    return {
        "effective": 1e4,
        "regions": [
            {
                "residue": "ALA 2",
                "name": name,
                "population": p,
                "low": p - 0.0094,
                "high": p + 0.0094,
                "z": 0.4,
            }
            for name, p in by_draws.items()
        ],
        "remd": {"seconds": 10.0, "stationary": True, "shares": simulated},
        "md": {"seconds": 20.0, "shares": simulated},
    }


def test_effective_samples_are_those_of_the_errors() -> None:
    script = loaded(BENCHMARKS / "map.py")
    assert script.effective(result(), "remd") == (pytest.approx(100, rel=0.01), 0, 2)
    assert script.effective(result(), "generator") == (pytest.approx(1e4, rel=0.02), 0, 2)


def test_a_wrong_share_counts_as_far_as_it_is_away() -> None:
    """Two standard errors away from replica exchange and more: the distance is the error."""
    script = loaded(BENCHMARKS / "map.py")
    n, off, regions = script.effective(result(alphaR=0.44, beta=0.55), "generator")
    assert (off, regions) == (2, 2)
    assert n == pytest.approx(0.64 * 0.36 / 0.2**2, rel=0.01)


def test_draws_that_are_too_few_for_an_error() -> None:
    """As many as Kish's number, unless they are wrong."""
    script = loaded(BENCHMARKS / "map.py")
    few = result() | {"effective": 40.0}
    few["regions"] = [row | {"low": None, "high": None} for row in few["regions"]]
    assert script.effective(few, "generator") == (pytest.approx(40, rel=0.03), 0, 2)


def test_when_training_pays() -> None:
    script = loaded(BENCHMARKS / "map.py")
    # After 300 s replica exchange has 3,000 effective samples, and the generator as many in its 60 s.
    assert script.pays_after(240.0, 50.0, 10.0) == pytest.approx(300.0)
    assert script.pays_after(240.0, 5.0, 10.0) == math.inf


@pytest.mark.parametrize(
    ("shares", "pays"),
    [({}, "4.0"), ({"alphaR": 0.44}, "4.0"), ({"alphaR": 0.44, "beta": 0.55}, "no")],
    ids=["all agree", "one is off", "both are off"],
)
def test_training_does_not_pay_where_shares_are_off(shares: dict[str, float], pays: str) -> None:
    script = loaded(BENCHMARKS / "map.py")
    summary = {"molecule": "ALA2", "atoms": 22, "energies": 1, "efficiency": 0.000381, "clipped": 0.9}
    times = {"training_seconds": 240.0, "drawing_seconds": 0.1, "forward": {}}
    cells = script.rows(result(**shares) | summary | times).split(" | ")
    assert cells[12] == pays
    # Small efficiencies keep their digits.
    assert cells[3:5] == ["0.0381", "90"]


@pytest.mark.slow
def test_map_benchmark(tmp_path: Path) -> None:
    """A single round of the dipeptide beside simulations of seconds; a second run has it already."""
    quick = [
        "--molecules",
        "ALA2",
        "--quick",
        "--minutes",
        "0.1",
        "-n",
        "4096",
        "--json",
        tmp_path / "map.json",
    ]
    for _ in range(2):
        command = [sys.executable, BENCHMARKS / "map.py", tmp_path / "map", *quick]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        heads, _, row, *_ = done.stdout.splitlines()
        assert row.startswith("| ALA2 | 22 |") and len(row.split("|")) == len(heads.split("|"))
    assert json.loads((tmp_path / "map.json").read_text())["ALA2"]["minutes"] == 0.1
