"""`boltzgen train`."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from boltzgen.cli.common import Device, Seed, SystemName, check_device, print_fields, progress, warn

if TYPE_CHECKING:
    from boltzgen.training.progress import Progress


def train(
    system: SystemName,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Run folder (default: runs/NAME).")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the run folder's last checkpoint.")
    ] = False,
    checkpoint: Annotated[
        Path | None,
        typer.Option("--from", help="Begin with this trained generator: a run's folder or a checkpoint."),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(help="Train on this trajectory or samples file, sampled at the system's temperature."),
    ] = None,
    topology: Annotated[
        Path | None, typer.Option(help="PDB file of the trajectory's atoms, where its format holds none.")
    ] = None,
    mixed: Annotated[bool, typer.Option("--mixed", help="Train on data and energies together.")] = False,
    minutes: Annotated[
        float | None, typer.Option(help="Train for about so long on this machine (default: 140 rounds).")
    ] = None,
    rounds: Annotated[
        int | None,
        typer.Option(min=1, help="Train for so many rounds, each of 50 steps of 1024 draws (default: 140)."),
    ] = None,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="Learning rate (default: 0.008, less for more than 60 coordinates); it is halved where "
            "training diverges.",
        ),
    ] = None,
    objective: Annotated[
        str | None,
        typer.Option(help="What is minimised on energies (default: hierarchical_kl; see docs/training.md)."),
    ] = None,
    seed: Seed = 0,
    device: Device = "cpu",
) -> None:
    """Train a generator from energies alone, from data alone, or from both."""
    from boltzgen.molecule.system import System
    from boltzgen.training import run
    from boltzgen.training.checkpoint import STATE

    check_device(device)
    molecule = System.load(system)
    folder = output or Path("runs") / molecule.name
    try:
        with progress("preparing", 1.0, counts=False) as move:
            summary = run.train(
                molecule,
                folder,
                seed=seed,
                resume=resume,
                device=device,
                objective=objective,
                rounds=rounds,
                minutes=minutes,
                learning_rate=learning_rate,
                checkpoint=checkpoint,
                data=data,
                topology=topology,
                mixed=mixed,
                progress=lambda progress: move(completed=progress.fraction, description=_describe(progress)),
            )
    except KeyboardInterrupt:
        if (folder / STATE).is_file():
            warn(f"finished rounds are kept; go on with: boltzgen train {system} -o {folder} --resume")
        else:
            warn("no round was finished, so there is nothing to resume: start the run again")
        raise
    if dropped := summary.get("frames_dropped"):
        reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
        warn(
            f"{sum(dropped.values())} of {summary['n_frames']} frames were dropped as outside the domain: "
            f"{reasons}"
        )
    print_fields(summary)
    typer.echo(f"run folder: {folder}    draw from it with: boltzgen sample {folder} -n 100000")


def _describe(progress: "Progress") -> str:
    """One line on where a training run stands."""
    minutes, seconds = divmod(int(progress.seconds_left), 60) if progress.seconds_left < 1e6 else (0, 0)
    # Nothing is drawn while training on data.
    efficiency = "" if math.isnan(progress.efficiency) else f"efficiency {100 * progress.efficiency:.1f} %  "
    return (
        f"{progress.stage}  {progress.temperature:.0f} K  loss {progress.loss:.3f}  {efficiency}"
        f"{progress.n_energy_evaluations:.2e} energies  {minutes}:{seconds:02d} left"
    )
