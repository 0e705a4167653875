"""`boltzgen free-energy pmf`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from boltzgen.cli.common import (
    Force,
    Json,
    MeasureName,
    check_replaceable,
    new_table,
    print_block,
    print_table,
)
from boltzgen.cli.free_energy.common import (
    Masses,
    Picture,
    SamplesFile,
    Unit,
    Units,
    check_figure,
    print_json,
    print_warnings,
    save_figure,
    title_of,
    value_and_interval,
)
from boltzgen.cli.progress import progress


class Method(StrEnum):
    """Estimators of the density."""

    HISTOGRAM = "histogram"
    KERNEL = "kernel"


def pmf(
    file: SamplesFile,
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
    measure: MeasureName = "flexible-limit",
    system: Masses = None,
    units: Units = Unit.KT,
    figure: Picture = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Potential of mean force along a torsion, a distance or an expression, with 95 % bands.

    Examples:
        boltzgen free-energy pmf samples.h5 --along phi --figure phi.png
        boltzgen free-energy pmf samples.h5 --along phi --along psi --units kJ/mol
        boltzgen free-energy pmf samples.h5 --along radius_of_gyration --method kernel
    """
    from boltzgen.analysis.pmf_report import pmf_report
    from boltzgen.samples.file import check_target, read_header

    check_figure(figure, force=force)
    if output is not None:
        check_target(output, (".csv",))
        check_replaceable(output, force=force)
    header = read_header(file)
    with progress("reading samples and estimating"):
        report = pmf_report(
            file, along, method=method.value, bins=bins, unit=units.value, measure=measure, system=system
        )
        title = title_of(header, measure)
        save_figure(figure, report.figure, title)
        if output is not None:
            report.save(output)
        warnings, curve = report.warnings, report.curve
    print_warnings(warnings)
    if as_json:
        print_json(file, header, measure, {"method": method.value, **report.to_dict()})
        return
    print_block(f"{title}; F in {units.value}, intervals of 95 %")
    table = new_table("minimum at", "F", "interval")
    for point in report.minima:
        place = ", ".join(
            f"{name} = {value:.4g} {unit}".strip()
            for name, value, unit in zip(report.pmf.names, point, report.pmf.units, strict=True)
        )
        table.add_row(place, *value_and_interval(report.at(*point)))
    print_table(table)
    if curve is not None:
        print_block(f"the halves of the draws differ by {curve.halves_apart:.1f} standard errors")
    for path in (output, figure):
        if path is not None:
            print_block(f"written to {path}")
