"""`boltzgen sample`."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from boltzgen.cli.common import (
    Device,
    Force,
    GeneratorName,
    Json,
    Seed,
    Unfinished,
    check_device,
    check_replaceable,
    print_fields,
    warn_of_stage,
    warn_of_weights,
    weight_fields,
)
from boltzgen.cli.progress import duration, progress


def sample(
    source: GeneratorName,
    n: Annotated[
        int,
        typer.Option("-n", "--n-samples", min=1, metavar="N", help="Number of conformations to draw."),
    ],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FILE", help="HDF5 file for the samples (.h5)."),
    ] = None,
    temperature: Annotated[
        float | None,
        typer.Option(
            "--temperature", metavar="K", help="Temperature of the target in K (default: that of training)."
        ),
    ] = None,
    unfinished: Unfinished = False,
    force: Force = False,
    seed: Seed = 0,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Draw weighted conformations from a trained generator.

    Examples:
        boltzgen sample alanine_dipeptide -n 100000 -o samples.h5
        boltzgen sample run -n 20000 --temperature 350 --seed 1
        boltzgen sample run -n 20000 --unfinished --json
    """
    from contextlib import nullcontext

    import torch

    from boltzgen.energy.base import CountedEnergy
    from boltzgen.energy.choose import energy_for
    from boltzgen.generator.generator import BoltzmannGenerator
    from boltzgen.generator.locate import locate
    from boltzgen.samples.writer import SamplesWriter
    from boltzgen.storage import finite_or_none
    from boltzgen.weights import weight_summary

    check_device(device)
    if output is not None:
        check_replaceable(output, force=force)
    with progress("reading the generator", n) as move:
        system, folder = locate(source, unfinished=unfinished)
        generator = BoltzmannGenerator.load(folder, system, device=device)
        warn_of_stage(generator)
        target = generator.temperature if temperature is None else temperature
        energy = CountedEnergy(energy_for(system, target)).to(device)
        start = time.perf_counter()
        log_w = []
        with SamplesWriter(output, system, target, seed=seed) if output else nullcontext() as writer:
            move("drawing conformations")
            for chunk in generator.sample_chunks(n, energy, seed=seed):
                log_w.append(chunk.log_w)
                move(advance=len(chunk))
                if writer is not None:
                    writer.write(chunk)
                    writer.n_energy_evaluations = energy.n_evaluations
    seconds = time.perf_counter() - start
    summary = weight_summary(torch.cat(log_w)) | {
        "n_energy_evaluations": energy.n_evaluations,
        "seconds": seconds,
    }
    warn_of_weights(summary)
    if as_json:
        typer.echo(json.dumps(finite_or_none(summary), allow_nan=False))
        return
    print_fields(
        weight_fields(summary)
        | {"energies computed": energy.n_evaluations, "time": duration(seconds)}
        | ({"file": str(output)} if output else {})
    )
    if output:
        typer.echo(f"populations and pictures: boltzgen analyze {output} -o report")
