"""A training by two processes, one of which is killed or stopped, ends as if nothing had happened."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "parallel_faults.py"


@pytest.mark.slow
def test_no_run_hangs_or_leaves_a_broken_file() -> None:
    done = subprocess.run([sys.executable, SCRIPT, "--quick"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("1 same") == 4
