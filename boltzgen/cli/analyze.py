"""`boltzgen analyze`."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from boltzgen.cli.common import Json, print_fields, warn_if_inefficient


def analyze(
    file: Annotated[Path, typer.Argument(help="Samples file made by `boltzgen sample`.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the report, the surfaces and the pictures.")],
    as_json: Json = False,
) -> None:
    """Free-energy surface, basin populations and free-energy differences of a samples file."""
    from boltzgen.analysis import report

    result = report.analyze(file, output)
    warn_if_inefficient(result["sampling_efficiency"])
    if as_json:
        typer.echo(json.dumps(result, allow_nan=False))
        return
    print_fields({key: result[key] for key in ("n_samples", "sampling_efficiency", "sampling_efficiency_clipped", "log_z", "log_z_error")})
    if result["basins"]:
        Console().print(_basin_table(result["basins"]))
    Console().print(f"written to {output}: {', '.join(['report.json', *result['files']])}", soft_wrap=True, highlight=False)


def _basin_table(basins: list[dict[str, Any]]) -> Table:
    table = Table("basin", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for title in ("population %", "95 % interval", "ΔF / kT", "95 % interval", "draws", "effective"):
        table.add_column(title, justify="right", no_wrap=True)
    for b in basins:
        share = f"< {100 * b['high']:.3g}" if b["is_upper_bound"] else f"{100 * b['low']:.3g} .. {100 * b['high']:.3g}"
        delta, low, high = b["delta_f_kT"], b["delta_f_low"], b["delta_f_high"]
        centre = "" if delta is None else f"{delta:.2f}"
        table.add_row(b["name"], f"{100 * b['population']:.3g}", share, centre, _interval(low, high), str(b["n_raw"]), f"{b['n_effective']:.1f}")
    return table


def _interval(low: float | None, high: float | None) -> str:
    """An interval in words, where None is an open end."""
    if low is None:
        return "" if high is None else f"< {high:.2f}"
    return f"> {low:.2f}" if high is None else f"{low:.2f} .. {high:.2f}"
