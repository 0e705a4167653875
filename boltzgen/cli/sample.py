"""`boltzgen sample`."""

import json
import time
from pathlib import Path
from typing import Annotated

import typer

from boltzgen.cli.advice import forward_doubt, longer_run, nearer
from boltzgen.cli.common import (
    Device,
    Force,
    GeneratorName,
    Json,
    Seed,
    Unfinished,
    check_device,
    check_replaceable,
    command_line,
    print_fields,
    warn,
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
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with what an interrupted run has left of the output.")
    ] = False,
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
        boltzgen sample run -n 1000000 -o many.h5 --resume
    """
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
    if resume and force:
        raise ValueError(
            "`resume` goes on with the samples that there are, `force` draws anew; give one of them"
        )
    if output is not None:
        check_replaceable(output, force=force or resume)
    with progress("reading the generator", n) as move:
        system, folder = locate(source, unfinished=unfinished)
        generator = BoltzmannGenerator.load(folder, system, device=device)
        warn_of_stage(generator)
        target = generator.temperature if temperature is None else temperature
        energy = CountedEnergy(energy_for(system, target)).to(device)
        start = time.perf_counter()
        writer = (
            SamplesWriter(
                output, system, target, seed=seed, generator=generator.digest, resume=resume, force=force
            )
            if output
            else None
        )
        try:
            with writer or nullcontext():
                n_left = writer.n_samples if writer else 0
                n_spent = writer.n_energy_evaluations if writer else 0
                n = max(n, n_left)
                tally = WeightTally(n)
                move("drawing conformations", total=n)
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
                given = () if temperature is None else ("--temperature", temperature)
                how = ("-n", n, "-o", writer.path, "--seed", seed, *given, *["--unfinished"] * unfinished)
                again = command_line("sample", source, *how, "--resume", device=device)
                warn(f"{writer.n_samples} of {n} samples are kept in {writer.kept}; go on with: {again}")
            raise
    summary = tally.summary() | {
        "n_energy_evaluations": n_spent + energy.n_evaluations,
        "seconds": time.perf_counter() - start,
    }
    if doubt := forward_doubt(folder):
        warn(doubt)
    warn_of_weights(summary, longer_run(folder) + nearer(target, generator.temperature))
    if as_json:
        typer.echo(json.dumps(finite_or_none(summary), allow_nan=False))
        return
    print_fields(
        {"temperature": f"{target:g} K"}
        | weight_fields(summary)
        | {
            "energies computed": f"{summary['n_energy_evaluations']:,}",
            "time": duration(summary["seconds"]),
        }
        | ({"file": str(output)} if output else {})
    )
    if output:
        typer.echo(f"populations and pictures: {command_line('analyze', output, '-o', 'report')}")
