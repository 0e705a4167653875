"""What the commands share: options, what they refuse to replace, and printing."""

import logging
import shlex
import shutil
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

if TYPE_CHECKING:
    from rich.table import Table


def system_names(incomplete: str) -> list[str]:
    """Shipped systems, for the shell to complete."""
    from boltzgen.molecule.shipped import shipped_systems

    return [name for name in shipped_systems() if name.startswith(incomplete)]


#: What stands in place of an error that would mean nothing, see `free_energy.result.warnings_of`.
UNKNOWN_ERROR = " (error not estimated)"
_LOW_EFFICIENCY = 0.05
_LARGE_SHARE = 0.05
#: Columns that a paragraph has at least, and a table at most.
_LEAST_WIDTH, _WIDEST = 20, 1000

Device = Annotated[
    str, typer.Option("--device", metavar="DEVICE", help="Where torch computes, for instance cpu or cuda.")
]
#: Those of `boltzgen.samples.measure`.
Measure = Literal["flexible-limit", "constrained-dynamics"]
MeasureName = Annotated[
    Measure,
    typer.Option(
        "--measure",
        metavar="|".join(get_args(Measure)),
        help="Density of a molecule with rigid bonds: the generator's, the limit of stiff springs; or what "
        "constrained dynamics samples, which has the mass-metric (Fixman) factor besides.",
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        "--seed",
        min=0,
        max=2**63 - 1,
        metavar="N",
        help="Random seed; the same seed gives the same result.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")]
Force = Annotated[bool, typer.Option("--force", help="Replace results that are there already.")]
SystemName = Annotated[
    str,
    typer.Argument(
        metavar="SYSTEM",
        autocompletion=system_names,
        help="Name of a shipped system, or a folder with a system.toml.",
    ),
]
GeneratorName = Annotated[
    str,
    typer.Argument(
        metavar="SYSTEM_OR_RUN",
        autocompletion=system_names,
        help="A shipped system that comes trained, a trained system's folder, or a run's folder.",
    ),
]
Unfinished = Annotated[
    bool, typer.Option("--unfinished", help="Take the last checkpoint of a run that has not ended.")
]

Workers = Annotated[
    int | None,
    typer.Option(
        "--workers",
        min=1,
        metavar="N",
        help="Share the work among so many processes on this machine, by Dask.",
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="ADDRESS",
        help="Share the work among the workers of the Dask cluster at an address such as tcp://host:8786.",
    ),
]


def check_device(device: str) -> None:
    """Raise ValueError unless torch can use a device here."""
    import torch

    try:
        torch.ones(1, device=device).item()  # "meta" has tensors without numbers
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"device {device!r} cannot be used here ({str(error).splitlines()[0]}); use --device cpu"
        ) from error


def check_replaceable(*paths: Path, force: bool) -> None:
    """Raise FileExistsError where a result exists already, unless it is to be replaced by `force`.

    To be called before the work. Results are written whole or not at all, so that one that is replaced stays
    until the new one is there.
    """
    found = [path for path in paths if path.exists()]
    if found and not force:
        raise FileExistsError(
            f"{found[0]} exists already; add `force=True` to replace it, or choose another place"
        )


def written(files: Sequence[Path]) -> list[int]:
    """When those of the files that exist were written, in nanoseconds: whether one was written since."""
    return [file.stat().st_mtime_ns for file in files if file.is_file()]


@contextmanager
def library_warnings() -> Iterator[None]:
    """Print what the library warns of as the command line's own warnings are printed."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            warn(record.getMessage())

    logger, handler = logging.getLogger("boltzgen"), Handler(logging.WARNING)
    logger.addHandler(handler)
    try:
        with warnings.catch_warnings():
            # Of some versions of torch, about a setting that others do not have.
            warnings.filterwarnings("ignore", message="Please use the new API settings to control TF32")
            yield
    finally:
        logger.removeHandler(handler)


def command_line(*arguments: object, device: str = "cpu") -> str:
    """A command of ours, as it is to be typed; with the device where that is not the default."""
    chosen = [] if device == "cpu" else ["--device", device]
    return shlex.join(["boltzgen", *map(str, arguments), *chosen])


def new_table(*columns: str) -> "Table":
    """A table without lines, its first column to the left and the others to the right."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for k, column in enumerate(columns):
        table.add_column(column, justify="right" if k else "left", no_wrap=k > 0)
    return table


def print_table(table: "Table") -> None:
    """Print a table on stdout, whole: where the terminal is narrower its lines go on in the next."""
    from rich.console import Console

    console = Console()
    needed = console.measure(table, options=console.options.update(max_width=_WIDEST)).maximum
    console.width = max(console.width, needed)
    console.print(table)


def print_block(text: str, *, indent: int = 0, first: int | None = None) -> None:
    """Print a paragraph on stdout, broken between words at the terminal's width.

    Args:
        text: without line breaks.
        indent: of its lines, in columns.
        first: of the first line, where it has another.
    """
    start = " " * (indent if first is None else first)
    typer.echo(_wrapped(text, start, " " * indent))


def print_fields(fields: dict[str, Any]) -> None:
    """Print those of the fields that are texts or numbers, a line each."""
    shown = {
        key.replace("_", " "): f"{value:.6g}" if isinstance(value, float) else str(value)
        for key, value in fields.items()
        if isinstance(value, str | int | float)
    }
    width = max(map(len, shown), default=0) + 2
    for key, value in shown.items():
        typer.echo(_wrapped(value, key.ljust(width), " " * width))


def _wrapped(text: str, start: str, indent: str) -> str:
    """A paragraph between words at most; what has none, such as a path, stays whole and can be copied."""
    return textwrap.fill(
        text,
        max(shutil.get_terminal_size().columns, len(indent) + _LEAST_WIDTH),
        initial_indent=start,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def weight_fields(summary: dict[str, Any]) -> dict[str, str]:
    """What `weight_summary` found, or JSON of it, in words for `print_fields`."""
    from boltzgen.units import percent
    from boltzgen.weights import CLIPPED, k_hat_meaning, with_error

    efficiency = summary["sampling_efficiency"]
    low, high = (summary[f"sampling_efficiency_blocks_{end}"] for end in ("low", "high"))
    # A tenth of the draws has one effective draw at least, so that of few all tenths may lie above the whole.
    holds = low is not None and low <= efficiency <= high
    tenths = f" ({100 * low:.3g} to {100 * high:.3g} % in tenths of the draws)" if holds else ""
    k_hat, log_z, error = summary["psis_k_hat"], summary["log_z"], summary["log_z_error"]
    refined = summary.get("refined", 0)
    of_moves = f", after {refined} moves of each draw" if refined else ""
    return {
        "draws": f"{summary['n_samples']:,}",
        "effective draws": f"{summary['effective_sample_size']:,.0f}",
        ("effective share" if refined else "sampling efficiency"): percent(efficiency) + tenths + of_moves,
        "  clipped": f"{percent(summary['sampling_efficiency_clipped'])}, with the largest "
        f"{100 * CLIPPED:g} % of the weights cut down",
        "largest weight": f"{100 * summary['largest_weight_share']:.3g} % of the whole",
        "PSIS k-hat": (f"{k_hat:.2f}, " if k_hat is not None else "") + k_hat_meaning(k_hat),
        "log Z": f"{log_z:.2f}{UNKNOWN_ERROR}"
        if error is None
        else f"{with_error(log_z, error)} (one standard error)",
        "outside the domain": f"{100 * summary['fraction_outside_domain']:.2g} %",
    }


def warn_of_weights(summary: dict[str, Any], advice: str) -> bool:
    """Warn of weights with which little can be said, from what `weight_summary` found; whether it was done.

    These are a low sampling efficiency, a PSIS k-hat above 0.7, a single draw with more than 5 % of the
    weight that is also ten times an equal share, and an efficiency of which tenths of the draws make four
    times as much as others. The advice says what helps, as `advice.train_longer` does.
    """
    from boltzgen.units import percent
    from boltzgen.weights import K_HAT_LIMIT, k_hat_meaning, tenths_differ

    efficiency, k_hat = summary["sampling_efficiency"], summary["psis_k_hat"]
    share = summary["largest_weight_share"]
    found = []
    if efficiency < _LOW_EFFICIENCY:
        found.append(
            f"sampling efficiency is {percent(efficiency, 2)}: estimates rest on few conformations; {advice}"
        )
    if k_hat is not None and k_hat > K_HAT_LIMIT:
        found.append(
            f"PSIS k-hat is {k_hat:.2f} > {K_HAT_LIMIT:g}, {k_hat_meaning(k_hat)}; errors are not "
            "estimated, and of intervals only those that such weights do not decide"
            + ("" if found else f"; {advice}")
        )
    if share > max(_LARGE_SHARE, 10 / summary["n_samples"]):
        found.append(
            f"one draw holds {100 * share:.2g} % of the weight: what it shows may be missing from draws of "
            "another seed"
        )
    low, high = (summary[f"sampling_efficiency_blocks_{end}"] for end in ("low", "high"))
    if tenths_differ(low, high, summary["effective_sample_size"]):
        found.append(
            f"the sampling efficiency is {percent(low)} in one tenth of the draws and {percent(high)} in "
            "another: a few draws decide it, and those of another seed may decide otherwise"
            + ("" if found else f"; draw ten times as many, or {advice}")
        )
    for message in found:
        warn(message)
    return bool(found)


def warn_of_stage(generator: Any) -> None:
    """Warn of a generator whose training has not come down to its system's temperature."""
    if generator.temperature > 1.001 * generator.system.temperature:
        warn(
            f"this generator's training has only come to {generator.temperature:.0f} K on its way to "
            f"{generator.system.temperature:g} K; few of its draws are effective below that"
        )


def note(message: str) -> None:
    """Print on stderr what a user should know, without being wrong."""
    typer.echo(f"note: {message}", err=True)


def warn(message: str) -> None:
    """Print a warning on stderr."""
    typer.echo(f"warning: {message}", err=True)
