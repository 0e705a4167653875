"""What `benchmarks/robustness.py` calls refused, changed, a crash or a hang is one."""

import itertools
import os
import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def mutations(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.delitem(sys.modules, "mutations", raising=False)
    import mutations

    return mutations


def raising(error: BaseException) -> Callable[[], str]:
    def call() -> str:
        raise error

    return call


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: "as before", "unchanged", ""),
        (lambda: "other", "changed", ""),
        (raising(ValueError("expected more")), "refused", "ValueError: expected more"),
        (raising(FileNotFoundError("no file")), "refused", "no file"),
        (raising(KeyError("x")), "traceback", "KeyError"),
        (raising(SystemExit(3)), "traceback", "SystemExit"),
        (os.abort, "crash", "exit code -6"),
        (lambda: str(len(bytearray(1 << 40))), "refused", "MemoryError"),
        (lambda: time.sleep(600) or "late", "hang", "longer than 0.05 s"),
        (lambda: "".join(str(k)[:0] for k in itertools.count()), "hang", "longer than 0.05 s"),
    ],
)
def test_outcomes(mutations: Any, call: Callable[[], str], kind: str, message: str) -> None:
    found = mutations.outcome(call, "as before", 0.05 if kind == "hang" else 20.0)
    assert found[0] == kind
    assert message in found[1]


def test_copies_are_damaged_and_can_be_made_again(mutations: Any) -> None:
    content = b'{"a": 1.5, "b": [2, 3]}\nATOM 1\n' * 20
    copies = [mutations.changed(content, random.Random(seed), text=True) for seed in range(200)]
    assert sum(copy != content for copy in copies) > 190
    assert len(set(copies)) > 150
    assert copies[7] == mutations.changed(content, random.Random(7), text=True)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_the_whole_of_it_in_its_quick_mode() -> None:
    """Every kind of file is made, and read whole; nothing is a traceback, a crash or a hang."""
    script = [sys.executable, str(BENCHMARKS / "robustness.py"), "--quick"]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "nothing that should not be"
