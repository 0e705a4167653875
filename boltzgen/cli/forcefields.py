"""`boltzgen forcefields`."""

import json
from dataclasses import asdict

import typer

from boltzgen.cli.common import Json, print_table


def forcefields(as_json: Json = False) -> None:
    """List the force-field files that OpenMM brings, for `boltzgen prepare --forcefield`.

    Examples:
        boltzgen forcefields
        boltzgen forcefields --json
    """
    from rich.table import Table

    from boltzgen.molecule.forcefields import KINDS, MOLECULES, SOLVENTS, shipped_forcefields

    found = shipped_forcefields()
    if as_json:
        typer.echo(json.dumps({"forcefields": [asdict(file) for file in found]}))
        return
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)  # to be copied: whole, on a narrow terminal too
    table.add_column()
    for kind in (MOLECULES, SOLVENTS):
        table.add_row(kind, "", style="bold")
        for file in found:
            if file.kind == kind:
                table.add_row(f"  {file.file}", file.description)
    print_table(table)
    for kind in KINDS:
        names = [file.file for file in found if file.kind == kind]
        if names and kind not in (MOLECULES, SOLVENTS):
            typer.echo(f"{kind}: {', '.join(names)}")
    typer.echo(
        "Combine one for the molecule and one implicit solvent, or none for vacuum: --forcefield "
        "amber14-all.xml --forcefield implicit/obc2.xml"
    )
