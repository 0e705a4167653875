"""What limits a generator: the two factors of 1/efficiency on numbers that are known, and the script."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from tests.helpers.scripts import loaded

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "what_limits.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return loaded(SCRIPT)


def test_torsions_and_rest_apart(script: ModuleType) -> None:
    """Log-normal weights of both, of variances 0.1 and 0.3 and of means 1: E[w^2] is exp(0.1 + 0.3)."""
    rng, n, m = np.random.default_rng(0), 20_000, 4
    of_torsions = rng.lognormal(-0.05, 0.1**0.5, (n, 1))
    w = of_torsions * rng.lognormal(-0.15, 0.3**0.5, (n, m))
    found = script.efficiencies(*script.moments(w))
    np.testing.assert_allclose(found, np.exp([-0.4, -0.1, -0.3]), rtol=0.02)


@pytest.mark.slow
def test_the_script() -> None:
    """The shipped dipeptide, which little limits: shares of each division add up, coordinates have names."""
    command = [sys.executable, SCRIPT, "alanine_dipeptide", "--torsions", "200"]
    done = subprocess.run(
        [*command, "--rest", "8", "--top", "3"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    summary, states, forces = done.stdout.split("\n\n")
    for line, label in zip(summary.splitlines(), ("all", "torsions alone", "rest given them"), strict=True):
        assert line.startswith(label) and float(line[len(label) :].split()[0]) > 98
    rows = [line.split() for line in states.splitlines()[1:] if line.startswith("basin ")]
    for column in (2, 3, 4):
        assert sum(float(row[column]) for row in rows) == pytest.approx(100, abs=0.1)
    assert len(forces.splitlines()) == 4 and " " in forces.splitlines()[1].strip()
