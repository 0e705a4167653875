"""`boltzgen merge`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from boltzgen.cli.common import Force, Json, check_replaceable, command_line, print_fields, warn
from boltzgen.cli.progress import progress


def merge(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="Shards of one run: samples files, or files of statistics, in any order.",
        ),
    ],
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="FILE", help="HDF5 file for all of them.")
    ],
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Put shards of one run together in one file.

    Samples files become one samples file; where one or more hold statistics, statistics of them all.

    Examples:
        boltzgen merge part_*.h5 -o all.h5
        boltzgen merge part_1.h5 part_2.h5 -o all.h5 --force --json
    """
    from boltzgen.statistics import merge as merging

    check_replaceable(output, force=force)
    with progress("putting shards together"):
        found = merging.merge(paths, output, force=force)
    if found.missing:
        warn(f"missing: {found.missing}; merge them with {output} when they are there")
    header = found.header
    if as_json:
        result = {
            "files": [str(path) for path in paths],
            "file": str(output),
            "n_samples": header.n_samples,
            "n_whole": found.n_whole,
            "n_energy_evaluations": header.n_energy_evaluations,
            "missing_shards": [str(shard) for shard in found.missing_shards] if found.n_shards > 1 else [],
            "missing": found.missing,
        }
        typer.echo(json.dumps(result))
        return
    print_fields(
        {
            "system": header.system,
            "temperature": f"{header.temperature:g} K",
            "seed": str(header.seed),
            "draws": f"{header.n_samples:,} of {found.n_whole:,}",
            "file": str(output),
        }
    )
    typer.echo(f"populations and pictures: {command_line('analyze', output, '-o', 'report')}")
