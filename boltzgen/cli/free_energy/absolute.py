"""`boltzgen free-energy absolute`."""

from typing import TYPE_CHECKING, Annotated

import typer

from boltzgen.cli.common import Force, Json, MeasureName, new_table, system_names
from boltzgen.cli.free_energy.common import (
    Html,
    Said,
    SamplesFiles,
    Unit,
    Units,
    check_outputs,
    print_json,
    print_said,
    print_warnings,
    save_html,
    title_of,
    value_and_interval,
    with_doubt,
)
from boltzgen.cli.progress import progress

if TYPE_CHECKING:
    from boltzgen.thermodynamics.absolute import Absolute

#: What is printed of each result, by its name.
SYMBOLS = {"free_energy": "F", "energy": "U", "minus_ts": "-TS"}


def absolute(
    files: SamplesFiles,
    add: Annotated[
        list[str] | None,
        typer.Option(
            "--add",
            metavar="NAME",
            help="What the domain leaves out, and F and -TS are to include: 'equivalent atoms', "
            "'mirror image'; repeatable.",
        ),
    ] = None,
    measure: MeasureName = "flexible-limit",
    system: Annotated[
        str | None,
        typer.Option(
            "--system",
            metavar="SYSTEM",
            autocompletion=system_names,
            help="The molecule, a name or a folder, where it does not ship.",
        ),
    ] = None,
    units: Units = Unit.KT,
    html: Html = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """F = -kT ln Z, U and -TS of a molecule, and what its domain leaves out of them.

    F and -TS depend on the unit of length (nm); their differences between solvents, force
    fields and temperatures do not.

    Examples:
        boltzgen free-energy absolute samples.h5 --units kJ/mol
        boltzgen free-energy absolute samples.h5 --add "equivalent atoms" --json
    """
    from boltzgen.samples.pooled import pooled
    from boltzgen.thermodynamics.absolute import absolute_of_file

    check_outputs(None, html, force=force)
    pool = pooled(files)
    with progress("reading samples and estimating"):
        found, known = absolute_of_file(files, system=system, measure=measure, add=add or ())
    found = found.to(units.value)
    warnings = tuple(dict.fromkeys(w for result in found.results.values() for w in result.warnings))
    title = title_of(pool, measure)
    said = _said(found, title)
    save_html(html, title, said, with_doubt(pool, warnings))
    print_warnings(with_doubt(pool, warnings))
    if as_json:
        print_json(
            pool,
            measure,
            {
                "temperature": pool.header.temperature,
                "unit": units.value,
                "results": {name: result.to_dict() for name, result in found.results.items()},
                "additions": known,
                "added": list(dict.fromkeys(add or ())),
                "notes": list(found.free_energy.notes),
                "warnings": list(warnings),
            },
        )
        return
    print_said(said, html)


def _said(found: "Absolute", title: str) -> Said:
    table = new_table("", "value", "interval")
    for name, result in found.results.items():
        table.add_row(SYMBOLS[name], *value_and_interval(result, digits=6))
    above = f"{title}; energies in {found.energy.unit}, intervals of 95 %"
    return [above, table, *(f"note: {line}" for line in found.free_energy.notes)]
