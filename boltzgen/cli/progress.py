"""How far long work has come: a bar on a terminal, a line a minute elsewhere, in the same words."""

import logging
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from rich.progress import Task

#: Seconds until the first line where there is no terminal, and between lines.
FIRST, EVERY = 10.0, 60.0


@contextmanager
def progress(description: str, total: float | None = None) -> Iterator[Callable[..., None]]:
    """Show on stderr how far work has come.

    On a terminal that is a bar. Elsewhere it is a line after ten seconds, one every minute, and one at the
    end; work of less than ten seconds leaves none.

    Args:
        description: what is being done, in words.
        total: of what is to be done; None where that is not known.

    Yields:
        A function that moves the bar. Its arguments, all optional, are `description`, `advance` or
        `completed`, and `total`.
    """
    from rich import progress as rich
    from rich.console import Console
    from rich.table import Column

    class Standing(rich.ProgressColumn):
        def render(self, task: "Task") -> str:
            return standing(task)

    console = Console(stderr=True)
    columns = [
        rich.TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
        rich.BarColumn(None, table_column=Column(ratio=1)),
        Standing(table_column=Column(no_wrap=True)),
    ]
    bar = rich.Progress(*columns, console=console, transient=True, expand=True)
    identity = bar.add_task(description, total=total, left=math.inf)
    task, pace, said = bar.tasks[0], _Pace(), description

    def move(description: str | None = None, **changes: Any) -> None:
        nonlocal said
        said = description or said
        bar.update(identity, description=said, **changes)
        bar.update(identity, left=pace.left(task.completed, task.total))

    with _compiling_said(bar, identity), bar if console.is_terminal else _lines(task):
        yield move


def standing(task: "Task") -> str:
    """The share of a task that is done and the time left, or the time spent where the total is not known."""
    if not task.total:
        return duration(task.elapsed or 0.0)
    left = task.fields["left"]
    return f"{task.percentage:.0f} %" + (f", {duration(left)} left" if 0 < left < math.inf else "")


class _Pace:
    """The time that is left, by the pace since something was done first.

    What comes before, such as compiling kernels, is done only once and would count a hundredfold; what a run
    that goes on has done earlier took no time now.
    """

    def __init__(self) -> None:
        self._first: tuple[float, float] | None = None

    def left(self, completed: float, total: float | None) -> float:
        """Seconds that are left; inf where that is not known yet."""
        now = time.monotonic()
        if self._first is None and completed > 0:
            self._first = now, completed
        if self._first is None or not total or completed <= self._first[1]:
            return math.inf
        began, before = self._first
        return (now - began) * (total - completed) / (completed - before)


def duration(seconds: float) -> str:
    """A time in words: ``"42 s"``, ``"2 min 5 s"``, ``"17 min"``, ``"3 h 20 min"``, ``"2 d 4 h"``."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 10:
        return f"{minutes} min {rest} s"
    if minutes < 100:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24} d {hours % 24} h"


@contextmanager
def _lines(task: "Task") -> Iterator[None]:
    """Lines on stderr, from a thread: they come also while the work itself says nothing."""
    began, ended, said = time.monotonic(), threading.Event(), threading.Event()

    def say(what: str) -> None:
        said.set()
        typer.echo(f"[{duration(time.monotonic() - began)}] {task.description}{what}", err=True)

    def run() -> None:
        wait = FIRST
        while not ended.wait(wait):
            say("; " + standing(task).replace("%", "% done", 1) if task.total else "")
            wait = EVERY

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    last = ": stopped"
    try:
        yield
        last = ": done"
    finally:
        ended.set()
        thread.join()
        if said.is_set():
            say(last)


@contextmanager
def _compiling_said(bar: Any, identity: Any) -> Iterator[None]:
    """Say so while kernels are compiled, which takes a minute or two before anything moves."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno == logging.INFO:
                bar.update(identity, description=record.getMessage())

    kernels, handler = logging.getLogger("boltzgen.kernels"), Handler(logging.INFO)
    before = kernels.level
    kernels.addHandler(handler)
    kernels.setLevel(logging.INFO)
    try:
        yield
    finally:
        kernels.removeHandler(handler)
        kernels.setLevel(before)
