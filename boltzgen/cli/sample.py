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
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Draw weighted conformations from a trained generator."""
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
    system, folder = locate(source)
    generator = BoltzmannGenerator.load(folder, system, device=device)
    target = generator.temperature if temperature is None else temperature
    energy = CountedEnergy(energy_for(system, target)).to(device)
    start = time.perf_counter()
    log_w = []
    with (
        SamplesWriter(output, system, target, seed=seed) if output else nullcontext() as writer,
        progress("sampling", n) as move,
    ):
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
    else:
        print_fields(summary | ({"file": str(output)} if output else {}))
