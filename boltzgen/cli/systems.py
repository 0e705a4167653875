"""`boltzgen systems`."""

import json
import tomllib
from typing import Any

import typer

from boltzgen.cli.common import Json, print_block


def systems(as_json: Json = False) -> None:
    """List the molecules that come with the package.

    Examples:
        boltzgen systems
        boltzgen systems --json
    """
    from boltzgen.generator.checkpoint import CHECKPOINT
    from boltzgen.molecule.shipped import SYSTEM_FILE, shipped_systems
    from boltzgen.molecule.system_file import SystemFile

    found: list[dict[str, Any]] = []
    for name, folder in shipped_systems().items():
        spec = SystemFile.model_validate(tomllib.loads((folder / SYSTEM_FILE).read_text("utf-8")))
        found.append(
            {
                "name": name,
                "temperature": spec.temperature,
                "trained": (folder / CHECKPOINT).is_file(),
                "description": spec.description,
                "folder": str(folder),
            }
        )
    if as_json:
        typer.echo(json.dumps({"systems": found}))
        return
    for system in found:
        typer.echo(system["name"] + (" (comes trained)" if system["trained"] else ""))
        print_block(system["description"], indent=4)
    typer.echo("\nDraw from one that comes trained: boltzgen sample NAME -n 20000 -o samples.h5")
    typer.echo("Train another:                    boltzgen train NAME -o run")
