"""`boltzgen systems`."""

import tomllib

from boltzgen.cli.common import print_table


def systems() -> None:
    """List the molecules that come with the package."""
    from rich.table import Table

    from boltzgen.generator.checkpoint import CHECKPOINT
    from boltzgen.molecule.system import shipped_systems
    from boltzgen.molecule.system_file import SystemFile

    found = shipped_systems()
    table = Table(box=None, pad_edge=False)
    table.add_column("name", min_width=max(map(len, found)))  # to be copied: whole, on a narrow terminal too
    for heading in ("temperature", "trained", "description"):
        table.add_column(heading)
    for name, folder in found.items():
        spec = SystemFile.model_validate(tomllib.loads((folder / "system.toml").read_text()))
        table.add_row(
            name,
            f"{spec.temperature:g} K",
            "yes" if (folder / CHECKPOINT).is_file() else "no",
            spec.description,
        )
    print_table(table)
