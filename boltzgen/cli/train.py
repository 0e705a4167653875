"""`boltzgen train`."""

import json
import math
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from boltzgen.cli.advice import train_longer
from boltzgen.cli.common import (
    Device,
    Json,
    Seed,
    SystemName,
    check_device,
    command_line,
    print_block,
    print_fields,
    warn,
    warn_of_weights,
    weight_fields,
    written,
)
from boltzgen.cli.processes import first_process, note_idle_cores, processes_started, run_processes
from boltzgen.cli.progress import duration, progress
from boltzgen.training.names import ObjectiveName

if TYPE_CHECKING:
    from boltzgen.training.progress import Progress


def train(
    context: typer.Context,
    system: SystemName,
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FOLDER", help="Run folder (default: runs/NAME)."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the run folder's last checkpoint.")
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Begin anew in a folder that holds a run, which the first round replaces."
        ),
    ] = False,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="RUN", help="Begin with this trained generator: a run's folder or a checkpoint."
        ),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            "--minutes",
            metavar="MINUTES",
            help="Train for so long at most, about, on this machine: as many rounds as fit (default: 140 "
            "rounds).",
        ),
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(
            "--rounds",
            min=1,
            metavar="N",
            help="Train for so many rounds, each of 50 steps of 1024 draws (default: 140).",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data",
            metavar="FILE",
            help="Train on this trajectory or samples file, sampled at the system's temperature.",
        ),
    ] = None,
    topology: Annotated[
        Path | None,
        typer.Option(
            "--topology",
            metavar="FILE",
            help="PDB file of the trajectory's atoms, where its format holds none.",
        ),
    ] = None,
    mixed: Annotated[bool, typer.Option("--mixed", help="Train on data and energies together.")] = False,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            "--learning-rate",
            metavar="RATE",
            help="Learning rate (default: 0.008, less for more than 60 coordinates); it is halved where "
            "training diverges.",
        ),
    ] = None,
    objective: Annotated[
        ObjectiveName | None,
        typer.Option(
            "--objective",
            metavar="|".join(get_args(ObjectiveName)),
            help="What is minimised on energies (default: hierarchical_kl; see docs/training.md).",
        ),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(
            "--processes",
            min=1,
            metavar="N",
            help="Train with so many processes on this machine, which share its cores, or have a GPU each "
            "(default: 1; on several machines: torchrun).",
        ),
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(
            "--timeout",
            metavar="SECONDS",
            help="Of several processes, give up one that does not answer for so long (default: 300).",
        ),
    ] = 300.0,
    seed: Seed = 0,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Train a generator from energies alone, from data alone, or from both.

    Examples:
        boltzgen train alanine_dipeptide -o run --minutes 5
        boltzgen train alanine_dipeptide -o run --resume
        boltzgen train my_peptide -o more --from run --rounds 40
        boltzgen train my_peptide -o run --data md.xtc --topology md.pdb --mixed
        boltzgen train my_peptide -o run --processes 4
    """
    from boltzgen.molecule.system import System
    from boltzgen.storage import finite_or_none
    from boltzgen.training import run
    from boltzgen.training.checkpoint import STATE
    from boltzgen.training.process_group import own_device
    from boltzgen.training.ranks import OtherRankError
    from boltzgen.training.run_summary import MOST_DRAWS

    started = processes_started()
    if processes is not None and started not in (1, processes):
        raise ValueError(f"this is one of {started} processes already; leave out `processes={processes}`")
    if processes is not None and processes > started:
        System.load(system)  # what is wrong with it is said once
        check_device(device)
        raise typer.Exit(run_processes(processes, context.obj))
    check_device(own_device(device))
    if first_process() and device == "cpu":
        note_idle_cores()
    with progress("reading the molecule", 1.0) if first_process() else nullcontext() as move:
        molecule = System.load(system)
        folder = output or Path("runs") / molecule.name
        before = written([folder / STATE])
        try:
            summary = run.train(
                molecule,
                folder,
                seed=seed,
                resume=resume,
                force=force,
                device=device,
                objective=objective,
                rounds=rounds,
                minutes=minutes,
                learning_rate=learning_rate,
                checkpoint=checkpoint,
                data=data,
                topology=topology,
                mixed=mixed,
                timeout=timeout,
                progress=None if move is None else lambda p: move(_describe(p), completed=p.fraction),
            )
        except OtherRankError:
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            if not first_process():
                raise
            after = written([folder / STATE])
            if not after:
                warn("no round was finished, so there is nothing to resume: start the run again")
            elif resume or after != before:
                several = [] if processes is None else ["--processes", processes]
                again = command_line("train", system, "-o", folder, "--resume", *several, device=device)
                warn(f"finished rounds are kept; go on with: {again}")
            else:
                warn(f"no round was finished: the run that {folder} held is as it was")
            raise
    if not first_process():
        return
    if dropped := summary.get("frames_dropped"):
        reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
        warn(
            f"{sum(dropped.values())} of {summary['n_frames']} frames were dropped as outside the domain: "
            f"{reasons}"
        )
    weights = summary | {"n_samples": summary["n_validation"]}
    # Data alone is trained on until it is learnt; what helps then are energies.
    frames = data or summary.get("data")
    asked = {
        "--from": checkpoint,
        "--data": frames,
        "--topology": topology,
        "--learning-rate": learning_rate,
        "--objective": objective,
        "--seed": seed or None,
        "--processes": processes,
    }
    options = [text for name, value in asked.items() if value is not None for text in (name, value)]
    options += ["--mixed"] * (frames is not None)
    advice = train_longer(system, folder, summary, options=options, device=device)
    is_poor = warn_of_weights(weights, advice) or summary.get("forward", {}).get("flagged", False)
    if as_json:
        typer.echo(json.dumps(finite_or_none(summary | {"folder": str(folder)}), allow_nan=False))
        return
    print_fields(
        {
            "system": summary["system_name"],
            "temperature": f"{summary['temperature']:g} K",
            **_rounds(summary),
            "time": duration(summary["seconds"]),
            "energies computed": f"{summary['n_energy_evaluations']:,}",
            **weight_fields(weights),
            **_forward_fields(summary),
            "run folder": str(folder),
        }
    )
    if summary["n_validation"] < MOST_DRAWS:
        print_block(
            f"the weights are those of {summary['n_validation']:,} draws; the minutes left no time for more, "
            "`sample` makes them"
        )
    if is_poor:
        print_block(f"not good enough to rely on yet; {advice}")
    draw = command_line("sample", folder, "-n", 100000, "-o", "samples.h5")
    typer.echo(f"draw from it{' all the same' * is_poor} with: {draw}")
    if "forward" in summary:
        test = command_line("evaluate", folder, "--forward", device=device)
        typer.echo(f"the longer forward test, which finds more: {test}")


def _rounds(summary: dict[str, Any]) -> dict[str, str]:
    """Rounds of training on energies, where there were any."""
    rounds = summary["settings"]["rounds"]
    return {"rounds": str(rounds)} if rounds else {}


def _forward_fields(summary: dict[str, Any]) -> dict[str, str]:
    """What the short forward test says, where it could be made."""
    if "forward" not in summary:
        return {}
    from boltzgen.units import percent

    found, ess = summary["forward"], percent(summary["forward_ess"])
    # What it finds is there; what it does not find the longer one may.
    said = "found nothing" if found["verdict"] == "passed" else found["verdict"]
    if found["reason"]:
        said += f" ({found['reason']})"
    text = f"{said}: largest log w {summary['largest_log_w']:.1f}; forward ESS {ess}"
    return {"short forward test": text}


def _describe(progress: "Progress") -> str:
    """A line on where a training run stands."""
    if progress.round is None:
        return progress.stage
    text = "data, " * (progress.stage == "data") + f"round {progress.round} of {progress.n_rounds}"
    # Nothing is drawn while training on data. Of energies the loss says little: it changes with temperature.
    if math.isnan(progress.efficiency):
        return f"{text}, loss {progress.loss:.5g}"
    return f"{text}, {progress.temperature:.0f} K, efficiency {100 * progress.efficiency:.0f} %"
