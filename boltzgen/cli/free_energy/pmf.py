"""`boltzgen free-energy pmf`."""

from enum import StrEnum
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

    from boltzgen.analysis.pmf_report import PmfReport


class Method(StrEnum):
    """Estimators of the density."""

    HISTOGRAM = "histogram"
    KERNEL = "kernel"


def pmf(
    files: SamplesFiles,
    along: Annotated[
        list[str],
        typer.Option(
            "--along",
            metavar="QUANTITY",
            help="A torsion (phi), a distance (distance CA2 CA4), radius_of_gyration or an expression of "
            "such; twice for a surface.",
        ),
    ],
    method: Annotated[
        Method,
        typer.Option(
            "--method", metavar="histogram|kernel", help="Weighted histogram, or weighted kernel density."
        ),
    ] = Method.HISTOGRAM,
    bins: Annotated[
        int | None,
        typer.Option("--bins", min=3, metavar="N", help="Bins along each quantity (default: 72, of two 36)."),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="Write the curve or surface as a .csv file."),
    ] = None,
    scan: Annotated[
        bool,
        typer.Option(
            "--scan",
            help="Along a torsion: beside F the force field's energy with all else relaxed; needs --system.",
        ),
    ] = False,
    measure: MeasureName = "flexible-limit",
    system: Masses = None,
    units: Units = Unit.KT,
    figure: Picture = None,
    html: Html = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Potential of mean force along a torsion, a distance or an expression, with 95 % bands.

    Examples:
        boltzgen free-energy pmf samples.h5 --along phi --figure phi.png
        boltzgen free-energy pmf samples.h5 --along phi --along psi --units kJ/mol
        boltzgen free-energy pmf samples.h5 --along radius_of_gyration --method kernel
        boltzgen free-energy pmf s.h5 --along psi --scan --system alanine_dipeptide
    """
    from boltzgen.analysis.pmf_report import pmf_report
    from boltzgen.samples.file import check_target
    from boltzgen.samples.pooled import pooled

    check_outputs(figure, html, force=force)
    if output is not None:
        check_target(output, (".csv",))
        check_replaceable(output, force=force)
    pool = pooled(files)
    with progress("reading samples and estimating"):
        report = pmf_report(
            files,
            along,
            method=method.value,
            bins=bins,
            unit=units.value,
            measure=measure,
            system=system,
            scan=scan,
        )
        title = title_of(pool, measure)
        save_figure(figure, report.figure, title)
        if output is not None:
            report.save(output)
        warnings, said = with_doubt(pool, report.warnings), _said(report, title, units.value)
        save_html(html, title, said, warnings, report.figure)
    print_warnings(warnings)
    if as_json:
        print_json(pool, measure, {"method": method.value, **report.to_dict()})
        return
    print_said(said, output, figure, html)


def _said(report: "PmfReport", title: str, unit: str) -> Said:
    table = new_table("minimum at", "F", "interval")
    for point in report.minima:
        place = ", ".join(
            f"{name} = {value:.4g} {unit}".strip()
            for name, value, unit in zip(report.pmf.names, point, report.pmf.units, strict=True)
        )
        table.add_row(place, *value_and_interval(report.at(*point)))
    said: list[str | Table] = [f"{title}; F in {unit}, intervals of 95 %", table]
    if report.curve is not None:
        said.append(f"the halves of the draws differ by {report.curve.halves_apart:.1f} standard errors")
    if report.scan is not None:
        said.append(report.scan.in_words(unit))
    return said
