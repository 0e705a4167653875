"""The examples run, in their quick modes."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
OPTIONS = {
    "01_alanine_dipeptide.py": ["--n", "2048"],
    "02_train_your_own.py": ["--quick"],
    "03_resampled_base.py": ["--quick"],
}


@pytest.mark.parametrize("name", sorted(p.name for p in EXAMPLES.glob("*.py")))
def test_example(name: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / name, *OPTIONS[name]],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "log Z = " in done.stdout
