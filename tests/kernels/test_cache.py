"""Compiled functions on disk, and numba that is switched off."""

import importlib.util
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SOURCE = """
from boltzgen.kernels.compiled.mathematics import compiled, kept

@kept
@compiled
def twice(x):
    return x + x
"""


def load(file: Path) -> Any:
    """The function as a fresh interpreter would have it."""
    spec = importlib.util.spec_from_file_location("compiled_here", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.twice


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
@pytest.mark.parametrize("kept", [0, 30])
def test_a_cut_off_cache_is_made_again(
    tmp_path: Path, suffix: str, kept: int, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "compiled_here.py"
    file.write_text(SOURCE)
    assert load(file)(2.0) == 4.0
    (cached,) = tmp_path.rglob(f"*{suffix}")
    whole = cached.read_bytes()
    cached.write_bytes(whole[:kept])
    assert load(file)(2.0) == 4.0
    assert "compiled again" in caplog.text
    caplog.clear()
    again = load(file)
    assert again(2.0) == 4.0
    assert again.stats.cache_hits and not caplog.records


def test_a_cache_that_cannot_be_written_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*arguments: Any, **keywords: Any) -> None:
        raise OSError(28, "No space left on device")

    file = tmp_path / "compiled_here.py"
    file.write_text(SOURCE)
    function = load(file)
    monkeypatch.setattr(function._cache._cache_file, "save", full)
    assert function(2.0) == 4.0
    assert [r.levelno for r in caplog.records] == [logging.WARNING]
    assert "not kept" in caplog.text


def test_numba_that_is_switched_off_is_done_without() -> None:
    """In an interpreter of its own, since numba reads the variable once."""
    script = (
        "import logging; logging.basicConfig()\n"
        "import torch\n"
        "from boltzgen.flow.spline import periodic_spline\n"
        "from boltzgen.kernels.runtime import available\n"
        "assert not available()\n"
        "periodic_spline(torch.zeros(3, 100), torch.zeros(25, 3, 100), inverse=False)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("NUMBA_DISABLE_JIT is set") == 1
