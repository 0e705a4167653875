"""`boltzgen analyze`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

from boltzgen.cli.advice import UNKNOWN_RUN
from boltzgen.cli.agreement import print_agreement
from boltzgen.cli.common import (
    UNKNOWN_ERROR,
    Force,
    Json,
    MeasureName,
    check_replaceable,
    new_table,
    note,
    print_block,
    print_fields,
    print_table,
    system_names,
    warn,
    warn_of_weights,
    weight_fields,
)
from boltzgen.cli.flags import WORD_BREAK
from boltzgen.cli.progress import progress

if TYPE_CHECKING:
    from rich.table import Table


#: Those of `boltzgen.units` and of `boltzgen.analysis.output`.
Units = Literal["kT", "kJ/mol", "kcal/mol"]
Format = Literal["png", "pdf", "svg"]


def analyze(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="Samples or statistics of `boltzgen sample`, of which there may be several: shards, or "
            "samples of other seeds, which are pooled and compared; or one reference.h5 or trajectory of "
            "`boltzgen simulate`, or any trajectory that MDTraj reads (with --system).",
        ),
    ],
    output: Annotated[
        Path,
        typer.Option(
            "-o", "--output", metavar="FOLDER", help="Folder for the report, the surfaces and the pictures."
        ),
    ],
    pairs: Annotated[
        list[str] | None,
        typer.Option(
            "--pair",
            metavar="TORSION TORSION",
            help="Surface of two torsions (default: phi and psi of each amino acid); may be repeated.",
        ),
    ] = None,
    along: Annotated[
        list[str] | None,
        typer.Option(
            "--along",
            metavar="QUANTITY",
            help="Profile along 'distance CA2 CA4', 'angle N2 CA2 C2', 'torsion N2 CA2 C2 N3', a named "
            "torsion, radius_of_gyration, or an expression of these: 'cos(phi2) + 2 * distance(CA2, CA4)', "
            "angles in degrees; may be repeated.",
        ),
    ] = None,
    bins: Annotated[
        int | None,
        typer.Option(
            "--bins",
            metavar="N",
            help="Bins of each profile, and along either axis of a surface (default: as many as the draws "
            "fill).",
        ),
    ] = None,
    units: Annotated[
        Units,
        typer.Option(
            "--units",
            metavar="|".join(get_args(Units)),
            help="Of free energies in tables and pictures; JSON has kT.",
        ),
    ] = "kT",
    format: Annotated[
        Format, typer.Option("--format", metavar="|".join(get_args(Format)), help="Of pictures.")
    ] = "png",
    system: Annotated[
        str | None,
        typer.Option(
            "--system",
            metavar="SYSTEM",
            autocompletion=system_names,
            help="The molecule of a trajectory or reference, a name or a folder; samples files hold theirs "
            "(but not its masses, for --measure, unless it ships).",
        ),
    ] = None,
    measure: MeasureName = "flexible-limit",
    html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            metavar="FILE",
            help="Also one page for any browser, without a network: surfaces and profiles linked to a 3-D "
            "view of the molecule, tables, and what the numbers mean.",
        ),
    ] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Populations, free energies and sizes, with intervals and pictures.

    Examples:
        boltzgen analyze samples.h5 -o report
        boltzgen analyze samples.h5 -o report --force --json
        boltzgen analyze samples.h5 -o report --html report.html
        boltzgen analyze samples.h5 -o report --pair phi2 psi3 --bins 60
        boltzgen analyze samples.h5 -o report --along "distance CA2 CA4" --along "phi2"
        boltzgen analyze samples.h5 -o report --units kJ/mol --format pdf
        boltzgen analyze samples.h5 -o report --measure constrained-dynamics
        boltzgen analyze samples.h5 second_seed.h5 -o report
        boltzgen analyze part_*.h5 -o report
        boltzgen analyze remd/reference.h5 -o report --system my_molecule
        boltzgen analyze md.xtc -o report --system alanine_dipeptide
    """
    from boltzgen.analysis import report
    from boltzgen.units import one_kt

    check_replaceable(*([] if html is None else [html]), output / report.REPORT, force=force)
    with progress("reading conformations and drawing pictures"):
        result = report.analyze(
            files[0] if len(files) == 1 else files,
            output,
            pairs=[tuple(pair.split(WORD_BREAK)) for pair in pairs or ()],  # type: ignore[misc]
            along=along or (),
            bins=bins,
            units=units,
            format=format,
            system=system,
            measure=measure,
            html=html,
        )
    is_weighted = result["source"] in ("samples", "statistics")
    for missing in result["missing"]:
        warn(f"missing: {missing}; the rest is analysed")
    if result["doubt"]:
        warn(result["doubt"])
    if is_weighted:
        warn_of_weights(result, UNKNOWN_RUN)
    else:
        note("the frames count as independent of each other: where they are not, intervals are too narrow")
    if as_json:
        typer.echo(json.dumps(result, allow_nan=False))
        return
    counted = weight_fields(result) if is_weighted else {"frames": f"{result['n_samples']:,}"}
    print_fields({"temperature": f"{result['temperature']:g} K"} | counted)
    if result["basins"]:
        print_table(_basin_table(result["basins"], units, one_kt(units, result["temperature"])))
    if result["regions"]:
        print_table(_state_table("residue", result["regions"]))
    if result["rotamers"]:
        print_table(_rotamer_table(result["rotamers"]))
    tables = [result["basins"], *result["regions"].values(), *result["rotamers"].values()]
    if any(state["low"] is None for states in tables for state in states):
        print_block(
            "not estimated: a few draws of large weight would decide the interval; < is an upper bound, of "
            "states of fewer than ten effective draws. Draws are effective among those of their own state, "
            "which may have more than the whole"
        )
    if result["agreement"]:
        print_agreement(result["agreement"], result["series"])
    if unpaired := result["unpaired"]:
        options = " ".join(f"--along {name}" for name in unpaired)
        states = f'boltzgen free-energy states {files[0]} --state "NAME: {unpaired[0]}=-100..0"'
        print_block(
            f"not counted: {', '.join(unpaired)}; the residue at an end without a cap has only one of phi "
            f"and psi, and no regions; for profiles: {options}"
            + (f"; for populations: {states}" if result["source"] == "samples" else "")
        )
    means = _means(result["sizes"] | result["along"])
    print_fields(means)
    if any("±" in text for text in means.values()):
        print_block("means of the weighted draws; ± is one standard error of the mean, not the spread")
    for text in result["notes"]:
        print_block(text)
    print_block(f"written to {output}: {', '.join([report.REPORT, *result['files']])}")
    if html is not None:
        print_block(f"to be opened in a browser: {html}")


#: Sizes whose own name leaves a question.
_SIZE_NAMES = {"end_to_end": "end to end (first to last CA)"}


def _means(found: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Means of sizes and other quantities with their errors, by name and unit."""
    return {
        " / ".join(
            filter(None, (_SIZE_NAMES.get(name, name), one["unit"]))
        ): f"{one['mean']:.4f}{_error(one['standard_error'])}"
        for name, one in found.items()
        if one["mean"] is not None
    }


def _basin_table(basins: list[dict[str, Any]], unit: str, one_kt: float) -> "Table":
    """Basins with their free energies in a unit, of which one kT is so much."""
    table = new_table(
        "basin", "population %", "95 % interval", f"ΔF / {unit}", "95 % interval", "draws", "effective"
    )
    for b in basins:
        centre, low, high = (
            None if b[name] is None else one_kt * b[name]
            for name in ("delta_f_kT", "delta_f_low", "delta_f_high")
        )
        share, interval, *counts = _population(b)
        known = b["low"] is not None or b["high"] is not None
        shown = "" if centre is None else f"{centre:.2f}" if known else f"{centre:.0f}"
        table.add_row(b["name"], share, interval, shown, _interval(low, high), *counts)
    return table


def _rotamer_table(found: dict[str, list[dict[str, Any]]]) -> "Table":
    """States of torsions, with their arcs in degrees."""
    table = new_table("torsion", "state", "degrees", "population %", "95 % interval", "draws", "effective")
    table.columns[1].justify = "left"
    for name, states in found.items():
        for state in states:
            arc = f"{state['from_degrees']:g} .. {state['to_degrees']:g}"
            table.add_row(name, state["name"], arc, *_population(state))
    return table


def _state_table(title: str, found: dict[str, list[dict[str, Any]]]) -> "Table":
    """Regions of residues."""
    table = new_table(title, "state", "population %", "95 % interval", "draws", "effective")
    table.columns[1].justify = "left"
    for name, states in found.items():
        for state in states:
            table.add_row(name, state["name"], *_population(state))
    return table


def _population(b: dict[str, Any]) -> tuple[str, str, str, str]:
    """Population in percent, its interval, draws and effective draws of a `free_energy.BasinPopulation`."""
    from boltzgen.free_energy.intervals import percent_interval

    interval, share = percent_interval(b["low"], b["high"]), 100 * b["population"]
    # A number that is not known any better does not look so.
    known = b["low"] is not None or b["high"] is not None
    shown = f"{share:.3g}" if known else f"{share:.0f}" if share >= 1 else f"{share:.1g}"
    n = b["n_effective"]
    return shown, interval, f"{b['n_raw']:,}", f"{n:,.0f}" if n >= 100 else f"{n:.1f}"


def _error(error: float | None) -> str:
    return UNKNOWN_ERROR if error is None else f" ± {error:.2g}"


def _interval(low: float | None, high: float | None) -> str:
    """An interval in words, where None is an open end."""
    if low is None:
        return "not estimated" if high is None else f"< {high:.2f}"
    return f"> {low:.2f}" if high is None else f"{low:.2f} .. {high:.2f}"
