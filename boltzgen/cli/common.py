"""What the commands share: options, finding a system or a run, and printing."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

    from boltzgen.molecule.system import System

_LOW_EFFICIENCY = 0.05

Device = Annotated[str, typer.Option(help="Torch device, for instance cpu or cuda.")]
Seed = Annotated[int, typer.Option(min=0, help="Random seed; the same seed gives the same result.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")]
SystemName = Annotated[str, typer.Argument(help="Name of a shipped system, or a folder with a system.toml.")]


def find(source: str) -> "tuple[System, Path]":
    """The system that a name, a system's folder or a run's folder stands for, and the folder with its
    checkpoint.
    """
    from boltzgen.generator.generator import CHECKPOINT
    from boltzgen.molecule.system import System

    folder = Path(source)
    summary = folder / "summary.json"
    if summary.is_file():
        try:
            read = json.loads(summary.read_text())
            name, moved = str(read["system"]), folder.resolve() / str(read.get("system_from_run", ""))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ValueError(
                f"{summary} does not say which system the run is of; train it again with `boltzgen train`"
            ) from error
        if Path(name).is_absolute() and not (Path(name) / "system.toml").is_file():
            if not (moved / "system.toml").is_file():
                raise FileNotFoundError(
                    f"the system that {folder} is of lies neither at {name} nor at {moved}; move its folder "
                    "back to either place"
                )
            return System.load(moved), folder
        return System.load(name), folder
    if (folder / CHECKPOINT).is_file() and not (folder / "system.toml").is_file():
        raise ValueError(
            f"{folder} has no summary.json: the run has not ended; finish it with `boltzgen train SYSTEM -o "
            f"{folder} --resume`"
        )
    if folder.is_dir() and not (folder / "system.toml").is_file():
        raise FileNotFoundError(
            f"{folder} is neither a run folder (summary.json) nor a system folder (system.toml); see "
            "`boltzgen systems`"
        )
    system = System.load(source)
    if system.folder is None or not (system.folder / CHECKPOINT).is_file():
        raise FileNotFoundError(
            f"{source} has no trained checkpoint; run `boltzgen train {source} -o RUN` first, then "
            "`boltzgen sample RUN -n N`"
        )
    return system, system.folder


def check_device(device: str) -> None:
    """Raise ValueError unless torch can use a device here."""
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"device {device!r} cannot be used here ({str(error).splitlines()[0]}); use --device cpu"
        ) from error


@contextmanager
def progress(
    description: str, total: float | None = None, *, counts: bool = True
) -> Iterator[Callable[..., None]]:
    """A progress bar on stderr, absent where stderr is not a terminal.

    Args:
        description: what is being done.
        total: of what is to be done; None where that is not known yet.
        counts: show how many are done and the time left; else the share that is done.

    Yields:
        A function that moves the bar: its keywords are `advance`, `completed`, `total` and `description`.
    """
    from rich import progress as rich
    from rich.console import Console

    console = Console(stderr=True)
    ending: list[rich.ProgressColumn] = (
        [rich.MofNCompleteColumn(), rich.TimeRemainingColumn()] if counts else [rich.TaskProgressColumn()]
    )
    columns = [rich.TextColumn("{task.description}"), rich.BarColumn(), *ending]
    with rich.Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        yield partial(bar.update, bar.add_task(description, total=total))


def new_table(*columns: str) -> "Table":
    """A table without lines, its first column to the left and the others to the right."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for k, column in enumerate(columns):
        table.add_column(column, justify="right" if k else "left", no_wrap=k > 0)
    return table


def print_table(table: "Table") -> None:
    """Print a table on stdout."""
    from rich.console import Console

    Console().print(table)


def print_fields(fields: dict[str, Any]) -> None:
    """Print those of the fields that are texts or numbers, a line each."""
    from rich.table import Table

    table = Table(box=None, show_header=False, pad_edge=False)
    for key, value in fields.items():
        if isinstance(value, str | int | float):
            table.add_row(key.replace("_", " "), f"{value:.6g}" if isinstance(value, float) else str(value))
    print_table(table)


def warn_if_inefficient(efficiency: float) -> None:
    """Warn of a sampling efficiency with which little can be said."""
    if efficiency < _LOW_EFFICIENCY:
        warn(
            f"sampling efficiency is {100 * efficiency:.2g} %: estimates rest on few conformations; train "
            "longer, or stay near training's temperature"
        )


def warn(message: str) -> None:
    """Print a warning on stderr."""
    typer.echo(f"warning: {message}", err=True)
