"""`boltzgen sample`."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from boltzgen.cli.common import (
    Device,
    Json,
    Seed,
    check_device,
    print_fields,
    progress,
    warn,
    warn_of_weights,
)


def sample(
    source: Annotated[
        str,
        typer.Argument(
            metavar="SYSTEM_OR_RUN", help="A shipped system, a folder with a system.toml, or a run folder."
        ),
    ],
    n: Annotated[int, typer.Option("-n", min=1, help="Number of conformations to draw.")],
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="HDF5 file for the samples (.h5).")
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(help="Temperature of the target in K (default: that of training).")
    ] = None,
    seed: Seed = 0,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with what an interrupted run has left of the output.")
    ] = False,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Draw weighted conformations from a trained generator."""
    from contextlib import nullcontext

    from boltzgen.energy.base import CountedEnergy
    from boltzgen.energy.choose import energy_for
    from boltzgen.free_energy.weight_summary import WeightTally
    from boltzgen.generator.generator import BoltzmannGenerator
    from boltzgen.generator.locate import locate
    from boltzgen.samples.writer import SamplesWriter
    from boltzgen.storage import finite_or_none

    check_device(device)
    if resume and output is None:
        raise ValueError("only samples that are written can be gone on with: `resume` needs an `output`")
    system, folder = locate(source)
    generator = BoltzmannGenerator.load(folder, system, device=device)
    target = generator.temperature if temperature is None else temperature
    energy = CountedEnergy(energy_for(system, target)).to(device)
    start = time.perf_counter()
    writer = (
        SamplesWriter(output, system, target, seed=seed, generator=generator.digest, resume=resume)
        if output
        else None
    )
    try:
        with writer or nullcontext():
            n_left = writer.n_samples if writer else 0
            n_spent = writer.n_energy_evaluations if writer else 0
            n = max(n, n_left)
            tally = WeightTally(n)
            with progress("sampling", n) as move:
                for chunk in writer.chunks() if writer else ():
                    tally.add(chunk.log_w)
                    move(advance=len(chunk))
                for chunk in generator.sample_chunks(n, energy, seed=seed, start=n_left):
                    tally.add(chunk.log_w)
                    move(advance=len(chunk))
                    if writer:
                        writer.n_energy_evaluations = n_spent + energy.n_evaluations
                        writer.write(chunk)
    except BaseException:
        if writer and writer.kept:
            warn(
                f"{writer.n_samples} of {n} samples are in {writer.kept}; go on with the same command and "
                "--resume"
            )
        raise
    summary = tally.summary() | {
        "n_energy_evaluations": n_spent + energy.n_evaluations,
        "seconds": time.perf_counter() - start,
    }
    warn_of_weights(summary)
    if as_json:
        typer.echo(json.dumps(finite_or_none(summary), allow_nan=False))
    else:
        print_fields(summary | ({"file": str(output)} if output else {}))
