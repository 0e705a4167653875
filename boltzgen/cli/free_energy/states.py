"""`boltzgen free-energy states`."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from boltzgen.cli.common import Force, Json, MeasureName, check_replaceable, new_table
from boltzgen.cli.free_energy.common import (
    Html,
    Masses,
    Picture,
    Said,
    SamplesFiles,
    Unit,
    Units,
    check_outputs,
    print_json,
    print_said,
    print_warnings,
    save_figure,
    save_html,
    title_of,
    value_and_interval,
    with_doubt,
)
from boltzgen.cli.progress import progress

if TYPE_CHECKING:
    from rich.table import Table

    from boltzgen.analysis.states_report import StatesReport
    from boltzgen.free_energy.result import Result


def states(
    files: SamplesFiles,
    state: Annotated[
        list[str] | None,
        typer.Option(
            "--state",
            metavar="STATE",
            help="A state of your own: ranges of torsions in degrees (NAME: phi=0..120 psi=120..-30) or a "
            "condition (NAME: phi < 0 and between(psi, -100, 50), NAME: distance(CA2, CA4) < 0.5); "
            "repeatable, the first that holds counts "
            "(default: the molecule's basins, or else those that are found).",
        ),
    ] = None,
    find: Annotated[
        bool, typer.Option("--find", help="Find states, wells of the torsions, though there are basins.")
    ] = False,
    torsion: Annotated[
        list[str] | None,
        typer.Option(
            "--torsion", metavar="NAME", help="A torsion to find states by; repeatable (default: all)."
        ),
    ] = None,
    barrier: Annotated[
        float,
        typer.Option("--barrier", metavar="KT", help="Barrier in kT that makes two wells two states."),
    ] = 1.0,
    most: Annotated[
        int, typer.Option("--most", min=1, metavar="N", help="Number of states to find at most.")
    ] = 20,
    between: Annotated[
        list[str] | None,
        typer.Option(
            "--between",
            metavar="START:END",
            help="Print F(END) - F(START) and follow its convergence; repeatable (default: from the most "
            "populated state to the next two).",
        ),
    ] = None,
    measure: MeasureName = "flexible-limit",
    structures: Annotated[
        Path | None,
        typer.Option(
            "--structures",
            metavar="FILE",
            help="Write the draw of the lowest energy of each state: .pdb, or .sdf with --system.",
        ),
    ] = None,
    system: Masses = None,
    units: Units = Unit.KT,
    figure: Picture = None,
    html: Html = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Populations of states and free energies between them, with intervals and their convergence.

    Examples:
        boltzgen free-energy states samples.h5 --units kJ/mol --figure states.png
        boltzgen free-energy states samples.h5 --between C7eq:C7ax
        boltzgen free-energy states samples.h5 second_seed.h5
        boltzgen free-energy states s.h5 --state "up: phi=0..180" --state "down: phi<0"
        boltzgen free-energy states samples.h5 --measure constrained-dynamics
        boltzgen free-energy states samples.h5 --find --torsion psi --json
        boltzgen free-energy states s.h5 --find --structures a.sdf --system ibuprofen
    """
    from boltzgen.analysis.state_structures import check_structures, write_structures
    from boltzgen.analysis.states import state_energies
    from boltzgen.analysis.states_report import StatesReport
    from boltzgen.samples.pooled import pooled

    check_outputs(figure, html, force=force)
    if structures is not None:
        check_structures(structures, system)
        check_replaceable(structures, force=force)
    pairs = [_pair(text) for text in between or ()]
    pool = pooled(files)
    with progress("reading samples and estimating"):
        energies = state_energies(
            files,
            states=state or (),
            find=find,
            torsions=torsion or (),
            barrier=barrier,
            most=most,
            measure=measure,
            system=system,
        )
        report = StatesReport(energies, units.value, pairs)
        title = title_of(pool, measure)
        save_figure(figure, report.figure, title)
        said = _said(report, title)
        warnings = with_doubt(pool, report.warnings)
        save_html(html, title, said, warnings, report.figure)
        if structures is not None:
            write_structures(energies, files, structures, unit=units.value, system=system)
    print_warnings(warnings)
    if as_json:
        print_json(pool, measure, report.to_dict())
        return
    print_said(said, figure, html, structures)


def _pair(text: str) -> tuple[str, str]:
    start, colon, end = (part.strip() for part in text.partition(":"))
    if not (start and colon and end):
        raise ValueError(f"expected `between` to be START:END, two names of states, got {text!r}")
    return start, end


def _value(found: "Result") -> str:
    """With its standard error; of too few draws nothing is known."""
    from boltzgen.weights import with_error

    if math.isnan(found.error):
        return "not estimated"
    return with_error(found.value, found.error) if found.error > 0 else f"{found.value:g}"


def _said(report: "StatesReport", title: str) -> Said:
    agreed = [report.agreement] if report.agreement and report.agreement not in report.warnings else []
    above = f"{title}; ΔF in {report.unit} from {report.energies.reference}, intervals of 95 %"
    table = new_table("state", "population %", "interval", "ΔF", "interval", "draws", "effective")
    for row in report.rows:
        share = row.population
        percent = "not estimated" if share.low < 0 else f"{100 * share.low:.3g} .. {100 * share.high:.3g}"
        table.add_row(
            row.name,
            f"{100 * share.value:.3g}",
            percent if share.low != 0 else f"< {100 * share.high:.3g}",
            *value_and_interval(row.free_energy),
            f"{row.n_raw}",
            f"{row.n_effective:.1f}",
        )
    said: list[str | Table] = [above, *report.energies.notes, table, *agreed]
    if len(report.rows) > 1:
        parts = new_table("state", "ΔF", "= ΔU", "- TΔS")
        for row in report.rows:
            results = (row.free_energy, row.energy, row.minus_ts)
            parts.add_row(row.name, *("" if found is None else _value(found) for found in results))
        said += ["ΔF = ΔU - TΔS, with standard errors; U is the mean potential energy", parts]
    if not report.between:
        return said
    table = new_table("difference", "ΔF", "interval", "halves of the draws apart by")
    for (start, end), result, curve in zip(report.between, report.differences, report.curves, strict=False):
        apart = f"{curve.halves_apart:.1f} errors" if curve.halves_apart >= 0 else ""
        table.add_row(f"F({end}) - F({start})", *value_and_interval(result), apart)
    return [*said, table]
