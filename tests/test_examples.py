"""The examples run, in their quick modes."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
OPTIONS = {
    "01_alanine_dipeptide.py": ["--n", "2048"],
    "02_train_your_own.py": ["--quick"],
    "03_resampled_base.py": ["--quick"],
    "04_states.py": ["--n", "2048"],
    "05_pmf.py": ["--n", "2048"],
    "06_temperature.py": ["--n", "2048"],
    "07_difference.py": ["--quick"],
    "08_bgflow.py": ["--steps", "3", "--n", "2048"],
    "09_table.py": ["--quick"],
    "10_classes.py": ["--quick"],
}


#: The one that needs no training belongs to every run.
QUICK = {"01_alanine_dipeptide.py"}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(path.name, marks=[] if path.name in QUICK else pytest.mark.slow)
        for path in sorted(EXAMPLES.glob("*.py"))
    ],
)
def test_example(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *OPTIONS[name]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    if name == "08_bgflow.py" and importlib.util.find_spec("bgflow") is None:
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert line.startswith("bgflow cannot be imported") and "pip install" in line
        pytest.skip("bgflow is missing, and the example says so")
    assert done.returncode == 0, done.stderr
    assert "log Z = " in done.stdout
