"""`boltzgen free-energy temperature`."""

from math import isfinite
from typing import TYPE_CHECKING, Annotated

import typer

from boltzgen.cli.common import Force, Json, MeasureName, new_table
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

    from boltzgen.analysis.temperature_report import TemperatureReport

#: Most temperatures of a range.
_MOST = 200


def temperature(
    files: SamplesFiles,
    at: Annotated[
        list[str],
        typer.Option(
            "--at", metavar="T", help="A temperature in K, or a range LOW:HIGH:STEP of such; repeatable."
        ),
    ],
    state: Annotated[
        list[str] | None,
        typer.Option(
            "--state",
            metavar="STATE",
            help="A state whose population is wanted, as in `boltzgen free-energy states`; repeatable "
            "(default: the molecule's basins).",
        ),
    ] = None,
    measure: MeasureName = "flexible-limit",
    system: Masses = None,
    units: Units = Unit.KT,
    figure: Picture = None,
    html: Html = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """F, U, -TS, heat capacity and populations at other temperatures, by reweighting one sample.

    Where too few draws count, the line is marked, and the temperatures to be trusted are said.

    Examples:
        boltzgen free-energy temperature samples.h5 --at 280:400:20 --units kJ/mol
        boltzgen free-energy temperature samples.h5 --at 310 --figure temperature.png
    """
    from boltzgen.analysis.temperature_report import temperature_report
    from boltzgen.samples.pooled import pooled

    check_outputs(figure, html, force=force)
    temperatures = [t for text in at for t in _temperatures(text)]
    pool = pooled(files)
    with progress("reading samples and estimating"):
        report = temperature_report(
            files, temperatures, states=state or (), unit=units.value, measure=measure, system=system
        )
        title = title_of(pool, measure, "drawn at ")
        save_figure(figure, report.figure, title)
        said = _said(report, title)
        warnings = with_doubt(pool, report.warnings)
        save_html(html, title, said, warnings, report.figure)
    print_warnings(warnings)
    if as_json:
        print_json(pool, measure, report.to_dict())
        return
    print_said(said, figure, html)


def _temperatures(text: str) -> list[float]:
    """One temperature, or those of a range, its end included."""
    try:
        values = [float(part) for part in text.split(":")]
    except ValueError:
        values = []
    if len(values) == 1:
        return values
    if len(values) != 3 or not (values[2] > 0 and values[0] <= values[1] and isfinite(sum(values))):
        raise ValueError(f"expected `at` to be T or LOW:HIGH:STEP in K, got {text!r}")
    low, high, step = values
    n = int((high - low) / step + 1e-9) + 1
    if n > _MOST:
        raise ValueError(f"{text!r} are {n} temperatures; expected {_MOST} at most")
    return [low + k * step for k in range(n)]


def _said(report: "TemperatureReport", title: str) -> Said:
    table = new_table("T / K", "F", "U", "-TS", "C / k", "effective draws", "k-hat", "")
    shares = new_table("T / K", *report.points[0].populations)
    for point in report.points:
        found = report.results(point)
        cells = [
            value_and_interval(found[name])[0]
            for name in ("free_energy", "energy", "minus_ts", "heat_capacity")
        ]
        mark = "" if point.is_trusted else "doubtful"
        table.add_row(
            f"{point.temperature:g}", *cells, f"{point.n_effective:,.0f}", f"{point.k_hat:.2f}", mark
        )
        percent = [
            f"{100 * r.value:.3g} ({100 * r.low:.3g} .. {100 * r.high:.3g})"
            if r.low >= 0
            else "not estimated"
            for r in point.populations.values()
        ]
        shares.add_row(f"{point.temperature:g}", *percent)
    said: list[str | Table] = [f"{title}; energies in {report.unit}, intervals of 95 %", table]
    if report.points[0].populations:
        said += ["populations in %:", shares]
    if report.trusted is None:
        said.append("no temperature is to be trusted")
    else:
        said.append(f"to be trusted from {report.trusted[0]:g} to {report.trusted[1]:g} K")
    return said + [f"note: {line}" for line in report.notes]
