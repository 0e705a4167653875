"""`boltzgen analyze`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from boltzgen.cli.common import (
    Force,
    Json,
    check_replaceable,
    new_table,
    print_block,
    print_fields,
    print_table,
    warn_of_weights,
    weight_fields,
)
from boltzgen.cli.progress import progress

if TYPE_CHECKING:
    from rich.table import Table


def analyze(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Samples file made by `boltzgen sample`.")],
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="FOLDER", help="Folder for the report, the surfaces and the pictures."
        ),
    ],
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Populations, free energies and sizes from a samples file, with intervals and pictures.

    Examples:
        boltzgen analyze samples.h5 -o report
        boltzgen analyze samples.h5 -o report --force --json
    """
    from boltzgen.analysis import report

    check_replaceable(output / report.REPORT, force=force)
    with progress("reading samples and drawing pictures"):
        result = report.analyze(file, output)
    warn_of_weights(result)
    if as_json:
        typer.echo(json.dumps(result, allow_nan=False))
        return
    print_fields(weight_fields(result))
    if result["basins"]:
        print_table(_basin_table(result["basins"]))
    for title, found in (("residue", result["regions"]), ("torsion", result["rotamers"])):
        if found:
            print_table(_state_table(title, found))
    print_fields(
        {
            f"{name} / nm": f"{size['mean']:.4f}{_error(size['standard_error'])}"
            for name, size in result["sizes"].items()
        }
    )
    print_block(f"written to {output}: {', '.join([report.REPORT, *result['files']])}")


def _basin_table(basins: list[dict[str, Any]]) -> "Table":
    table = new_table(
        "basin", "population %", "95 % interval", "ΔF / kT", "95 % interval", "draws", "effective"
    )
    for b in basins:
        centre = "" if b["delta_f_kT"] is None else f"{b['delta_f_kT']:.2f}"
        share, interval, *counts = _population(b)
        table.add_row(
            b["name"], share, interval, centre, _interval(b["delta_f_low"], b["delta_f_high"]), *counts
        )
    return table


def _state_table(title: str, found: dict[str, list[dict[str, Any]]]) -> "Table":
    """States of residues or of torsions."""
    table = new_table(title, "state", "population %", "95 % interval", "draws", "effective")
    table.columns[1].justify = "left"
    for name, states in found.items():
        for state in states:
            table.add_row(name, state["name"], *_population(state))
    return table


def _population(b: dict[str, Any]) -> tuple[str, str, str, str]:
    """Population in percent, its interval, draws and effective draws of a `free_energy.BasinPopulation`."""
    from boltzgen.free_energy.intervals import percent_interval

    interval = percent_interval(b["low"], b["high"])
    return f"{100 * b['population']:.3g}", interval, str(b["n_raw"]), f"{b['n_effective']:.1f}"


def _error(error: float | None) -> str:
    return "" if error is None else f" ± {error:.2g}"


def _interval(low: float | None, high: float | None) -> str:
    """An interval in words, where None is an open end."""
    if low is None:
        return "not estimated" if high is None else f"< {high:.2f}"
    return f"> {low:.2f}" if high is None else f"{low:.2f} .. {high:.2f}"
