"""Signals that end a command, terminals without signs, memory that runs out, and faults of the package."""

import io
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from boltzgen.samples.weighted_samples import WeightedSamples
from tests.helpers.command_line import FakeGenerator, call


def stop_with(monkeypatch: pytest.MonkeyPatch, action: Callable[[], Any]) -> None:
    """Have `boltzgen sample` do something after its first chunk, and raise what comes of it."""
    draw = FakeGenerator.sample_chunks

    def sample_chunks(self: FakeGenerator, *arguments: Any, **keywords: Any) -> Iterator[WeightedSamples]:
        yield next(draw(self, *arguments, **keywords))
        raise action()

    monkeypatch.setattr(FakeGenerator, "sample_chunks", sample_chunks)


@pytest.mark.parametrize(
    ("number", "message", "code"),
    [
        (signal.SIGINT, "interrupted", 130),
        (signal.SIGTERM, "terminated", 143),
        (signal.SIGHUP, "the terminal was closed", 129),
    ],
)
def test_signals_end_a_command_as_ctrl_c_does(
    run_folder: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    number: signal.Signals,
    message: str,
    code: int,
) -> None:
    """Nothing is left behind, and signals mean afterwards what they did before."""
    before = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    earlier = signal.signal(number, before)  # it may be ignored where the tests run
    try:
        stop_with(monkeypatch, lambda: os.kill(os.getpid(), number) or KeyboardInterrupt())
        files = {path.name for path in run_folder.iterdir()}
        got, out, err = call(capfd, "sample", run_folder, "-n", 2_000, "-o", run_folder / "draws.h5")
        assert signal.getsignal(number) is before
    finally:
        signal.signal(number, earlier)
    assert (got, out) == (code, "")
    assert message in err
    assert {path.name for path in run_folder.iterdir() if not path.name.startswith("draws.")} == files


def test_a_signal_that_is_ignored_stays_so(
    run_folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        stop_with(monkeypatch, lambda: os.kill(os.getpid(), signal.SIGHUP) or ValueError("went on"))
        code, _, err = call(capfd, "sample", run_folder, "-n", 2_000)
    finally:
        signal.signal(signal.SIGHUP, before)
    assert (code, err) == (2, "boltzgen: went on\n")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "not enough memory"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"), "not enough memory"),
        (torch.OutOfMemoryError("CUDA out of memory."), "not enough memory"),
        (RecursionError("maximum recursion depth exceeded"), "nested too deeply"),
        (OSError(28, "No space left on device", "s.h5"), "No space left on device: s.h5"),
        (UnicodeEncodeError("ascii", "Δ", 0, 1, "ordinal not in range"), "ascii"),
    ],
)
def test_what_may_happen_is_said_in_a_line(
    run_folder: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    message: str,
) -> None:
    stop_with(monkeypatch, lambda: error)
    code, out, err = call(capfd, "sample", run_folder, "-n", 2_000)
    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith("boltzgen: ") and err.count("\n") == 1


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), AssertionError(), ZeroDivisionError()])
def test_a_fault_of_ours_keeps_its_traceback_and_asks_for_a_report(
    run_folder: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
) -> None:
    stop_with(monkeypatch, lambda: error)
    code, out, err = call(capfd, "sample", run_folder, "-n", 2_000)
    assert (code, out) == (1, "")
    assert err.startswith("Traceback") and type(error).__name__ in err
    assert err.splitlines()[-1].startswith("boltzgen: ") and "please report it" in err.splitlines()[-1]


@pytest.mark.parametrize(
    ("encoding", "shown"), [("ascii", "dF +- ..."), ("latin-1", "dF ± ..."), ("utf-8", "ΔF ± …")]
)
def test_a_terminal_without_signs_shows_plain_ones(
    monkeypatch: pytest.MonkeyPatch, encoding: str, shown: str
) -> None:
    from boltzgen.cli.common import new_table, print_table
    from boltzgen.cli.process import allow_any_terminal

    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, encoding=encoding))
    allow_any_terminal()
    table = new_table("ΔF ± …")
    table.add_row("1")
    print_table(table)
    sys.stdout.flush()
    assert shown in written.getvalue().decode(encoding)
