"""`boltzgen sample`."""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from boltzgen.cli.advice import forward_doubt, longer_run, nearer
from boltzgen.cli.cluster import cluster_of
from boltzgen.cli.common import (
    Device,
    Force,
    GeneratorName,
    Json,
    Scheduler,
    Seed,
    Unfinished,
    Workers,
    check_device,
    check_replaceable,
    command_line,
    print_fields,
    warn,
    warn_of_stage,
    warn_of_weights,
    weight_fields,
)
from boltzgen.cli.flags import WORD_BREAK
from boltzgen.cli.progress import duration, progress


def sample(
    source: GeneratorName,
    n: Annotated[
        int,
        typer.Option(
            "-n", "--n-samples", min=1, metavar="N", help="Number of conformations to draw, of all shards."
        ),
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
    shard: Annotated[
        str | None,
        typer.Option(
            "--shard",
            metavar="I/N",
            help="Draw the I-th of N shares of the conformations; `boltzgen merge` puts them together.",
        ),
    ] = None,
    statistics_only: Annotated[
        bool,
        typer.Option(
            "--statistics-only",
            help="Keep no conformations, but what analyses need: weights, histograms, populations, means.",
        ),
    ] = False,
    pairs: Annotated[
        list[str] | None,
        typer.Option(
            "--pair",
            metavar="TORSION TORSION",
            help="With --statistics-only, also the surface of two torsions; may be repeated.",
        ),
    ] = None,
    along: Annotated[
        list[str] | None,
        typer.Option(
            "--along",
            metavar="QUANTITY",
            help="With --statistics-only, also the mean of a quantity, and its profile where it has a unit: "
            "'distance CA2 CA4', 'cos(phi)'; may be repeated.",
        ),
    ] = None,
    refine: Annotated[
        int,
        typer.Option(
            "--refine",
            min=0,
            metavar="K",
            help="Move each draw towards the target by K steps of annealed importance sampling: weights stay "
            "exact. It costs about 5 K energies for each draw, and pays where few draws are effective.",
        ),
    ] = 0,
    workers: Workers = None,
    scheduler: Scheduler = None,
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
        boltzgen sample run -n 20000 --refine 4 -o refined.h5
        boltzgen sample run -n 1000000 -o part_3.h5 --shard 3/64
        boltzgen sample run -n 100000000 -o statistics.h5 --statistics-only
        boltzgen sample run -n 1000000 -o many.h5 --workers 4
    """
    from boltzgen.cli.drawing import Drawing, draw
    from boltzgen.energy.choose import energy_for
    from boltzgen.generator.generator import BoltzmannGenerator
    from boltzgen.generator.locate import locate
    from boltzgen.samples.shards import Shard
    from boltzgen.storage import finite_or_none

    check_device(device)
    share = None if shard is None else Shard.parse(shard)
    _check(output, shard, pairs, along, statistics_only=statistics_only, resume=resume, force=force)
    cluster = cluster_of(source, workers, scheduler, unfinished=unfinished, device=device)
    if cluster and output is None:
        raise ValueError("`workers` and a `scheduler` draw into a file: give an `output`")
    if output is not None:
        check_replaceable(output, force=force or resume)
    with progress("reading the generator", n) as move:
        system, folder = locate(source, unfinished=unfinished)
        generator = BoltzmannGenerator.load(folder, system, device=device)
        warn_of_stage(generator)
        target = generator.temperature if temperature is None else temperature
        doubt = forward_doubt(folder, generator.digest)
        start = time.perf_counter()
        drawing = Drawing(
            generator,
            energy_for(system, target).to(device),
            n=n,
            seed=seed,
            output=output,
            shard=share,
            statistics_only=statistics_only,
            pairs=[tuple(pair.split(WORD_BREAK)) for pair in pairs or ()],  # type: ignore[misc]
            along=along or (),
            doubt=doubt,
            refine=refine,
            cluster=cluster,
            resume=resume,
            force=force,
        )
        try:
            summary = draw(drawing, move)
        except BaseException:
            if drawing.kept:
                given: list[object] = [] if temperature is None else ["--temperature", temperature]
                given += ["--unfinished"] * unfinished + ([] if shard is None else ["--shard", shard])
                given += ["--statistics-only"] * statistics_only
                given += ["--refine", refine] if refine else []
                for pair in pairs or ():
                    given += ["--pair", *pair.split(WORD_BREAK)]
                for text in along or ():
                    given += ["--along", text]
                given += [] if workers is None else ["--workers", workers]
                given += [] if scheduler is None else ["--scheduler", scheduler]
                how = ("-n", n, "-o", output, "--seed", seed, *given)
                again = command_line("sample", source, *how, "--resume", device=device)
                kept = f"{'counted' if statistics_only else 'kept'} in {drawing.kept}"
                done = f"{drawing.n_samples} of {drawing.n_wanted} samples are {kept}"
                warn(f"{done}; go on with: {again}")
            raise
    summary |= {"seconds": time.perf_counter() - start}
    if doubt:
        warn(doubt)
    warn_of_weights(summary, longer_run(folder) + nearer(target, generator.temperature))
    if as_json:
        typer.echo(json.dumps(finite_or_none(summary), allow_nan=False))
        return
    print_fields(
        {"temperature": f"{target:g} K"}
        | ({} if share is None else {"shard": f"{share}: draws {drawing.whole[0]} to {drawing.whole[1]}"})
        | weight_fields(summary)
        | _gain(summary.get("refinement"))
        | {
            "energies computed": f"{summary['n_energy_evaluations']:,}",
            "time": duration(summary["seconds"]),
        }
        | ({"file": str(output)} if output else {})
    )
    if output:
        typer.echo(f"populations and pictures: {command_line('analyze', output, '-o', 'report')}")
        typer.echo("with a second sample (another --seed) beside it, analyze says whether both agree")


def _gain(found: dict[str, Any] | None) -> dict[str, str]:
    """What refining the draws gained, in words."""
    if found is None:
        return {}
    from boltzgen.units import percent

    return {
        "without the moves": percent(found["plain_sampling_efficiency"]),
        "effective per energy": f"{found['per_energy']:.2g}, without {found['plain_per_energy']:.2g}",
        "effective per second": f"{found['per_second']:.3g}, without {found['plain_per_second']:.3g}",
    }


def _check(
    output: Path | None,
    shard: str | None,
    pairs: list[str] | None,
    along: list[str] | None,
    *,
    statistics_only: bool,
    resume: bool,
    force: bool,
) -> None:
    """Raise ValueError where options exclude or need each other."""
    if resume and output is None:
        raise ValueError("only samples that are written can be gone on with: `resume` needs an `output`")
    if resume and force:
        raise ValueError(
            "`resume` goes on with the samples that there are, `force` draws anew; give one of them"
        )
    if output is None and (shard is not None or statistics_only):
        raise ValueError("`shard` and `statistics_only` are for a file: give an `output`")
    if (pairs or along) and not statistics_only:
        raise ValueError(
            "`pairs` and `along` say what is counted with `statistics_only`; of samples, `boltzgen.analyze` "
            "takes them"
        )
