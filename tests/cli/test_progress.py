"""Bars and lines that say how far work has come, and how long it will take."""

import fcntl
import logging
import math
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time

import pytest

from boltzgen.cli import progress as module
from boltzgen.cli.progress import _Pace, duration, progress


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FIRST", 0.02)
    monkeypatch.setattr(module, "EVERY", 0.05)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.2, "0 s"),
        (99.4, "99 s"),
        (99.6, "1 min 40 s"),
        (599.4, "9 min 59 s"),
        (600, "10 min"),
        (5999, "99 min"),
        (6000, "1 h 40 min"),
        (49 * 3600, "2 d 1 h"),
    ],
)
def test_durations(seconds: float, words: str) -> None:
    assert duration(seconds) == words


@pytest.mark.usefixtures("soon")
def test_without_a_terminal_there_are_lines_also_while_nothing_is_told(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with progress("finding a minimum", 4) as move:
        time.sleep(0.2)
        move("round 1 of 2", completed=1)
        time.sleep(0.2)
        move(completed=2)
        time.sleep(0.2)
    out, err = capfd.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert lines[0] == "[0 s] finding a minimum; 0 % done"
    assert "[0 s] round 1 of 2; 25 % done" in lines
    assert any(
        re.fullmatch(r"\[\d s\] round 1 of 2; 50 % done, \d s left|.*; 50 % done", line) for line in lines
    )
    assert lines[-1] == f"[{lines[-1][1]} s] round 1 of 2: done"
    assert 5 <= len(lines) < 20


@pytest.mark.usefixtures("soon")
def test_the_last_line_says_whether_work_was_done(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), progress("drawing"):
        time.sleep(0.1)
        raise KeyboardInterrupt
    assert capfd.readouterr().err.splitlines()[-1] == "[0 s] drawing: stopped"


def test_short_work_leaves_no_line(capfd: pytest.CaptureFixture[str]) -> None:
    with progress("drawing", 3) as move:
        move(advance=3)
    assert capfd.readouterr() == ("", "")


@pytest.mark.usefixtures("soon")
def test_compiling_is_said_until_something_moves(capfd: pytest.CaptureFixture[str]) -> None:
    log = logging.getLogger("boltzgen.kernels.compiled.mathematics")
    with progress("drawing", 3) as move:
        log.info("compiling kernels")
        time.sleep(0.1)
        move(advance=1)
        time.sleep(0.1)
    first, *_, last = capfd.readouterr().err.splitlines()
    assert first == "[0 s] compiling kernels; 0 % done"
    assert last.endswith("drawing: done")
    assert not log.isEnabledFor(logging.INFO)


def test_time_left_is_by_the_pace_since_the_first_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither what came before it (an hour of compiling) nor what an earlier process has done counts."""
    now = 0.0
    monkeypatch.setattr(module.time, "monotonic", lambda: now)
    pace = _Pace()
    assert pace.left(0.0, 1.0) == math.inf
    now = 3600.0
    assert pace.left(0.4, 1.0) == math.inf
    expected = []
    for step in range(1, 7):
        now += 10.0
        expected.append(pace.left(0.4 + 0.1 * step, 1.0))
    assert expected == pytest.approx([50, 40, 30, 20, 10, 0])
    assert _Pace().left(1.0, None) == math.inf


def test_a_terminal_of_80_columns_has_room_for_the_longest_text() -> None:
    text = "data, round 137 of 140, 1200 K, loss -1234.5, efficiency 99 %"
    code = (
        "import time; from boltzgen.cli.progress import progress\n"
        "with progress('starting', 1.0) as move:\n"
        f"    move({text!r}, completed=0.01); time.sleep(0.3); move(completed=0.02); time.sleep(0.3)\n"
    )
    main, other = pty.openpty()
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    environment = {k: v for k, v in os.environ.items() if k != "COLUMNS"} | {"TERM": "xterm"}
    process = subprocess.Popen([sys.executable, "-c", code], stderr=other, env=environment)
    os.close(other)
    shown = b""
    try:
        while chunk := os.read(main, 4096):
            shown += chunk
    except OSError:  # the other end is closed
        pass
    os.close(main)
    assert process.wait() == 0
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()).replace("\n", "\r").split("\r")
    (last,) = {line for line in lines if "2 %" in line}
    assert last.startswith(text)
    assert re.search(r"2 %, \d+ s left$", last.rstrip())
    assert max(map(len, lines)) <= 80
