"""`boltzgen evaluate`."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from boltzgen.cli.advice import FORWARD, kept_forward, longer_run
from boltzgen.cli.cluster import Cluster, cluster_of
from boltzgen.cli.common import (
    Device,
    Force,
    GeneratorName,
    Json,
    MeasureName,
    Scheduler,
    Seed,
    Unfinished,
    Workers,
    check_device,
    check_replaceable,
    note,
    print_block,
    warn,
    warn_of_stage,
)
from boltzgen.cli.progress import progress

if TYPE_CHECKING:
    from boltzgen.evaluation.draws import Sampler
    from boltzgen.evaluation.tables import TextTable
    from boltzgen.generator.generator import BoltzmannGenerator

#: Moves of each simulation of the forward test.
_MOVES = 60
#: States of the forward test that are listed.
_MOST_STATES = 8
#: Basins that are listed.
_MOST_BASINS = 8
#: What helps a generator that was not trained here.
_ANEW = "train one of your own, and compare its populations with those of `boltzgen simulate`"


def evaluate(
    source: GeneratorName,
    reference: Annotated[
        Path | None,
        typer.Option(
            "--reference", metavar="FILE", help="Reference file (default: reference.h5 of the system)."
        ),
    ] = None,
    n: Annotated[
        int,
        typer.Option("-n", "--n-samples", min=100, metavar="N", help="Number of conformations to draw."),
    ] = 100_000,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FOLDER",
            help="Folder for evaluation.json, .md, .png, .pdf and .html; with --forward also for "
            "forward.json, and for that alone where there is no reference.",
        ),
    ] = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    forward: Annotated[
        bool,
        typer.Option(
            "--forward",
            help="Also simulate from weighted draws, and look for places and basins where draws are too "
            "rare. It needs no reference, and where there is none it is done alone.",
        ),
    ] = False,
    measure: MeasureName = "flexible-limit",
    unfinished: Unfinished = False,
    force: Force = False,
    seed: Seed = 0,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Compare a trained generator with a reference ensemble.

    By weights, densities, populations, marginals and missing modes.

    Examples:
        boltzgen evaluate alanine_dipeptide -o evaluation
        boltzgen evaluate run --reference remd/reference.h5 -o evaluation
        boltzgen evaluate run --reference md/reference.h5 --measure constrained-dynamics
        boltzgen evaluate run --forward
        boltzgen evaluate run -n 1000000 --workers 4
    """
    from boltzgen.evaluation import evaluate as evaluation
    from boltzgen.evaluation.page import FILES
    from boltzgen.evaluation.reference import REFERENCE, Reference
    from boltzgen.evaluation.tables import aligned, text_tables
    from boltzgen.evaluation.verdict import by_chance, verdict
    from boltzgen.generator.generator import BoltzmannGenerator
    from boltzgen.generator.locate import locate
    from boltzgen.storage import finite_or_none

    check_device(device)
    cluster = cluster_of(source, workers, scheduler, unfinished=unfinished, device=device)
    system, folder = locate(source, unfinished=unfinished)
    has_reference = system.folder is not None and (system.folder / REFERENCE).is_file()
    compare = bool(reference or has_reference or not forward)
    if measure != "flexible-limit" and not compare:
        raise ValueError("`measure` is that of a reference, and there is none; give one, or leave it out")
    if output is not None:
        written = [*(FILES if compare else ()), *([FORWARD] if forward else ())]
        check_replaceable(*(output / name for name in written), force=force)
    generator = BoltzmannGenerator.load(folder, system, device=device)
    warn_of_stage(generator)
    # What is wrong with it is said before the work.
    target = Reference.load(reference, system) if reference and compare else None
    result: dict[str, Any] = {}
    found = _forward(generator, seed, [] if output is None else [output], folder) if forward else None
    if compare:
        with progress("drawing conformations", n) as move, _sampler(generator, cluster, n) as sampler:
            done = 0

            def count(drawn: int) -> None:
                nonlocal done
                done += drawn
                move("drawing conformations" if done < n else "comparing with the reference", completed=done)

            result = evaluation.evaluate(
                sampler,
                target,
                n=n,
                seed=seed,
                measure=measure,
                output=output,
                more=[] if found is None else forward_tables(found),
                progress=count,
            )
        for warning in result["warnings"]:
            warn(warning)
    if found is not None:
        result["forward"] = found
    if as_json:
        typer.echo(json.dumps(finite_or_none(result), allow_nan=False))
        return
    if "conventions" in result:
        typer.echo("\n\n".join(map(aligned, text_tables(result))))
        typer.echo("")
        print_block(verdict(result))
        print_block(by_chance(result))
        typer.echo("\nCONVENTIONS")
        for line in result["conventions"]:
            print_block(f"- {line}", indent=2, first=0)
        if output:
            typer.echo(f"written to {output}: {', '.join(FILES)}")
    if found is not None:
        typer.echo("\n\n".join(map(aligned, forward_tables(found))))
        if output:
            typer.echo(f"written to {output}: {FORWARD}")


@contextmanager
def _sampler(generator: "BoltzmannGenerator", cluster: Cluster | None, n: int) -> "Iterator[Sampler]":
    """The generator, or one whose draws are made by a cluster's workers."""
    if cluster is None:
        yield generator
        return
    from boltzgen.cluster.sampler import ClusterSampler

    with cluster.connected() as client:
        recipe = cluster.recipe(generator, temperature=generator.temperature, seed=0, n=n)
        yield ClusterSampler(client, recipe, generator)


def _forward(generator: "BoltzmannGenerator", seed: int, folders: list[Path], run: Path) -> dict[str, Any]:
    """The forward test's results, written into folders, with a warning and advice if it is not passed.

    A run's own folder gets them as well, so that whatever draws from it later can say so.
    """
    from boltzgen.energy.choose import energy_for
    from boltzgen.generator.locate import SUMMARY
    from boltzgen.simulation.forward import forward_test
    from boltzgen.storage import finite_or_none, write_atomically

    energy = energy_for(generator.system).to(generator.device)
    with progress("forward test: drawing conformations, looking for basins", _MOVES) as move:
        test = forward_test(
            generator,
            energy,
            n_moves=_MOVES,
            seed=seed,
            progress=lambda done: move("forward test: simulating", advance=done),
        )
    if test.flagged:
        warn(f"{test.sentence}; {longer_run(run, _ANEW)}")
    elif test.verdict != "passed":
        note(test.sentence)
    found = test.summary() | {"generator": generator.digest, "seed": seed}
    text = json.dumps(finite_or_none(found), indent=2, allow_nan=False).encode()
    if earlier := kept_forward(run, generator.digest, test.verdict):
        note(earlier)
    elif (run / SUMMARY).is_file():
        try:
            write_atomically(run / FORWARD, text)
        except OSError as error:
            warn(f"{run} does not keep this result ({error}): what is drawn from it later will not say so")
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / FORWARD, text)
    return found


def forward_tables(found: dict[str, Any]) -> "list[TextTable]":
    """The forward test as tables of text."""
    rows = [
        ["verdict", ": ".join(filter(None, (found["verdict"], found["reason"])))],
        ["forward ESS", f"{100 * found['forward_ess']:.2f} %"],
        ["largest log w", f"{found['largest_log_w']:.2f}"],
        *(
            [f"of the target, drawn {times} times too rarely or more", f"{100 * found[key]:.2g} %"]
            for times, key in ((7, "share_above_e2"), (55, "share_above_e4"), (1100, "share_above_e7"))
        ),
        ["in basins that draws hardly reach", f"{100 * found['unseen']:.2g} %"],
    ]
    held = [
        [
            row["of"],
            row["state"],
            f"{row['n_snapshots']:,}",
            f"{row['n_at_stake']:,}",
            f"{100 * row['n_at_stake'] / row['n_snapshots']:.2g}",
        ]
        for row in found["states"][:_MOST_STATES]
    ]
    worst = [
        [name, *(f"{row['torsions'][name]:.0f}" for row in found["worst"])]
        for name in found["worst"][0]["torsions"]
    ]
    at = [f"{row['log_w']:.2f}" for row in found["worst"]]
    n = f"{found['n_walkers']} simulations, {found['n_snapshots']} snapshots of each"
    states = [
        (
            "how much of each state is drawn 55 times too rarely or more",
            ["of", "state", "snapshots", "too rare", "% of the state"],
            held,
        )
    ]
    missed = found["basins"][:_MOST_BASINS]
    basins = [
        (
            "basins that draws hardly reach: % of the target, log w and torsions in degrees at the minimum",
            ["", *(f"{100 * basin['share']:.2g}" for basin in missed)],
            [
                ["log w", *(f"{basin['log_w']:.1f}" for basin in missed)],
                *(
                    [name, *(f"{basin['torsions'][name]:.0f}" for basin in missed)]
                    for name in (missed[0]["torsions"] if missed else ())
                ),
            ],
        )
    ]
    return [
        (f"forward test: {n}", ["quantity", "value"], rows),
        *states * bool(held),
        *basins * bool(missed),
        ("where log w is largest, torsions in degrees", ["log w", *at], worst),
    ]
