"""What a simulation visits and a generator does not: `benchmarks/simulated_weights.py`."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.helpers.scripts import loaded

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.mark.parametrize("missing", [0.0, 0.3], ids=["all is drawn", "a mode is missing"])
def test_log_z_by_draws_and_frames(missing: float) -> None:
    """p = 2 N(0, 1) and, where a mode is missing, as much more elsewhere that q = N(0.5, 1) never draws."""
    script = loaded(BENCHMARKS / "simulated_weights.py")
    stream = np.random.default_rng(0)
    draws, frames = stream.normal(0.5, 1, 20_000), stream.normal(0, 1, 20_000)
    log_w = [np.log(2) + (x - 0.5) ** 2 / 2 - x**2 / 2 for x in (draws, frames)]
    log_w[0][::2] = -np.inf
    # Half of the draws are outside the domain: Z is half as large.
    elsewhere = stream.random(20_000) < missing
    log_w[1][elsewhere] = 50.0
    found, error = script.together(*log_w, np.repeat(np.arange(50), 400))
    assert 0.002 < error < 0.02
    assert found == pytest.approx(-np.log(1 - missing), abs=3 * max(error, 0.01))


@pytest.mark.slow
def test_simulated_weights_benchmark(tmp_path: Path) -> None:
    """Beside a simulation of the dipeptide, whose generator covers all of it."""
    quick = ["--walkers", "8", "--interval", "1", "-n", "10", "-o", tmp_path / "sim"]
    simulate = [sys.executable, "-m", "boltzgen", "simulate", "alanine_dipeptide", *quick]
    subprocess.run(simulate, capture_output=True, check=True)
    shipped = Path(__file__).parents[2] / "systems" / "alanine_dipeptide"
    command = [sys.executable, BENCHMARKS / "simulated_weights.py", "alanine_dipeptide", shipped]
    done = subprocess.run([*command, tmp_path / "sim"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, log_z, above, _, _, *rows, last = done.stdout.splitlines()
    assert first.startswith("40 frames of 8 walkers at 300 K")
    by_draws, by_both = float(log_z.split()[2]), float(log_z.split()[6])
    assert by_draws == pytest.approx(-181.98, abs=0.01) and by_both == pytest.approx(by_draws, abs=0.01)
    assert above == "log w above 4: 0.00 %, above 10: 0.00 %"
    assert sum(float(row.split()[1]) for row in rows) == pytest.approx(100, abs=0.1)
    assert last.endswith("{}")
