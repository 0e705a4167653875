"""What the commands share: options, a progress bar, and printing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.table import Table

_LOW_EFFICIENCY = 0.05
_LARGE_SHARE = 0.05

Device = Annotated[str, typer.Option(help="Torch device, for instance cpu or cuda.")]
Seed = Annotated[int, typer.Option(min=0, help="Random seed; the same seed gives the same result.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")]
SystemName = Annotated[str, typer.Argument(help="Name of a shipped system, or a folder with a system.toml.")]


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


def warn_of_weights(summary: dict[str, Any]) -> None:
    """Warn of weights with which little can be said, from what `weights.weight_summary` found.

    These are a low sampling efficiency, a PSIS k-hat above 0.7, and a single draw with more than 5 % of the
    weight that is also ten times an equal share.
    """
    from boltzgen.weights import K_HAT_LIMIT

    efficiency, k_hat = summary["sampling_efficiency"], summary["psis_k_hat"]
    share = summary["largest_weight_share"]
    if efficiency < _LOW_EFFICIENCY:
        warn(
            f"sampling efficiency is {100 * efficiency:.2g} %: estimates rest on few conformations; train "
            "longer, or stay near training's temperature"
        )
    if k_hat is not None and k_hat > K_HAT_LIMIT:
        warn(
            f"PSIS k-hat is {k_hat:.2f} > {K_HAT_LIMIT:g}: the largest weights are so unequal that weighted "
            "averages are unreliable and intervals are not estimated; train longer"
        )
    if share > max(_LARGE_SHARE, 10 / summary["n_samples"]):
        warn(
            f"one draw holds {100 * share:.2g} % of the weight: compare with other seeds, as what one such "
            "draw shows may be missing from them"
        )


def note(message: str) -> None:
    """Print on stderr what a user should know, without being wrong."""
    typer.echo(f"note: {message}", err=True)


def warn(message: str) -> None:
    """Print a warning on stderr."""
    typer.echo(f"warning: {message}", err=True)
