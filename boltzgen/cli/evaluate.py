"""`boltzgen evaluate`."""

import json
from pathlib import Path
from typing import Annotated

import typer

from boltzgen.cli.common import Device, Json, Seed, check_device, progress, warn


def evaluate(
    source: Annotated[
        str,
        typer.Argument(
            metavar="RUN_OR_SYSTEM", help="A run folder, a shipped system, or a folder with a system.toml."
        ),
    ],
    reference: Annotated[
        Path | None, typer.Option(help="Reference file (default: reference.h5 of the system).")
    ] = None,
    n: Annotated[int, typer.Option("-n", min=100, help="Number of conformations to draw.")] = 100_000,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Folder for evaluation.json, .md, .png and .pdf.")
    ] = None,
    seed: Seed = 0,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Compare a trained generator with a reference ensemble.

    By weights, densities, populations, marginals and missing modes.
    """
    from boltzgen.evaluation import evaluate as evaluation
    from boltzgen.evaluation.page import FILES, aligned, text_tables
    from boltzgen.evaluation.reference import Reference
    from boltzgen.generator.generator import BoltzmannGenerator
    from boltzgen.generator.locate import locate
    from boltzgen.storage import finite_or_none

    check_device(device)
    system, folder = locate(source)
    generator = BoltzmannGenerator.load(folder, system, device=device)
    target = Reference.load(reference, system) if reference else None
    with progress("sampling", n) as move:
        result = evaluation.evaluate(
            generator, target, n=n, seed=seed, output=output, progress=lambda done: move(advance=done)
        )
    for warning in result["warnings"]:
        warn(warning)
    if as_json:
        typer.echo(json.dumps(finite_or_none(result), allow_nan=False))
        return
    typer.echo("\n\n".join(map(aligned, text_tables(result))))
    typer.echo("\n".join(["", "CONVENTIONS", *(f"- {line}" for line in result["conventions"])]))
    if output:
        typer.echo(f"written to {output}: {', '.join(FILES)}")
