"""What the commands share: options, finding a system or a run, and printing."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.progress import Progress as Bar
from rich.progress import ProgressColumn
from rich.table import Table

if TYPE_CHECKING:
    from boltzgen.molecule.system import System

_LOW_EFFICIENCY = 0.05

Device = Annotated[str, typer.Option(help="Torch device, for instance cpu or cuda.")]
Seed = Annotated[int, typer.Option(min=0, help="Random seed; the same seed gives the same result.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")]
SystemName = Annotated[str, typer.Argument(help="Name of a shipped system, or a folder with a system.toml.")]


def find(source: str) -> "tuple[System, Path]":
    """The system that a name, a system's folder or a run's folder stands for, and its checkpoint's folder."""
    from boltzgen.generator.locate import locate

    return locate(source)


def check_device(device: str) -> None:
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"device {device!r} cannot be used here ({str(error).splitlines()[0]}); use --device cpu"
        ) from error


def progress(*columns: ProgressColumn) -> Bar:
    """A progress bar on stderr, absent where stderr is not a terminal."""
    console = Console(stderr=True)
    return Bar(*columns, console=console, transient=True, disable=not console.is_terminal)


def print_fields(fields: dict[str, Any]) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    for key, value in fields.items():
        if isinstance(value, str | int | float):
            table.add_row(key.replace("_", " "), f"{value:.6g}" if isinstance(value, float) else str(value))
    Console().print(table)


def warn_if_inefficient(efficiency: float) -> None:
    if efficiency < _LOW_EFFICIENCY:
        warn(
            f"sampling efficiency is {100 * efficiency:.2g} %: estimates rest on few conformations; train "
            "longer, or stay near training's temperature"
        )


def warn(message: str) -> None:
    typer.echo(f"warning: {message}", err=True)
