"""`boltzgen simulate`."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from boltzgen.cli.common import Device, Json, Seed, SystemName, check_device, print_fields, progress, warn


def simulate(
    system: SystemName,
    frames: Annotated[
        int,
        typer.Option(
            "-n", "--frames", min=1, help="Frames of each walker, at each temperature, after the burn-in."
        ),
    ] = 400,
    method: Annotated[
        str, typer.Option(help="remd: replica exchange on batched energies; md: OpenMM's Langevin dynamics.")
    ] = "remd",
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="Folder of the simulation (default: simulations/NAME-METHOD)."),
    ] = None,
    walkers: Annotated[
        int | None, typer.Option(min=1, help="Independent walkers (default: 128; md: 1).")
    ] = None,
    highest: Annotated[
        float | None, typer.Option(help="Highest temperature of the ladder in K (default: 1200).")
    ] = None,
    interval: Annotated[
        int | None,
        typer.Option(min=1, help="Moves of 25 steps between frames (default: 20); md: steps of 1 fs (1000)."),
    ] = None,
    platform: Annotated[str | None, typer.Option(help="OpenMM platform, for md (default: CPU).")] = None,
    trajectory: Annotated[
        Path | None,
        typer.Option(
            "-t", "--trajectory", help="Write the frames at the system's temperature: .h5, .xtc or .dcd."
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on with the folder's simulation, with the settings it was started with."
        ),
    ] = False,
    seed: Seed = 0,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Sample a reference ensemble by simulation, independently of any generator."""
    from boltzgen.molecule.system import System
    from boltzgen.simulation import run
    from boltzgen.simulation import summary as simulation
    from boltzgen.simulation.checkpoint import block_files
    from boltzgen.storage import finite_or_none

    check_device(device)
    if method not in ("remd", "md"):
        raise ValueError(f"expected --method remd or md, got {method!r}")
    molecule = System.load(system)
    folder = output or Path("simulations") / f"{molecule.name}-{method}"
    if trajectory is not None:
        simulation.check_trajectory(trajectory, folder)
    changes = {
        "n_walkers": walkers,
        "highest": highest,
        "interval": interval,
        "platform": platform,
        "seed": seed,
    }
    plan = run.Plan.for_method(method, **changes)  # type: ignore[arg-type]
    try:
        with progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()
        ) as bar:
            task = bar.add_task("finding starts", total=None)
            run.simulate(
                molecule,
                folder,
                frames,
                plan=plan,
                resume=resume,
                device=device,
                progress=lambda p: bar.update(
                    task, completed=p.done, total=p.wanted, description=_describe_simulation(p.statistics)
                ),
            )
    except KeyboardInterrupt:
        if block_files(folder):
            warn(
                f"finished blocks are kept; go on with: boltzgen simulate {system} --method {method} -o "
                f"{folder} -n {frames} --resume"
            )
        raise
    summary = simulation.summarize(folder, molecule, command=" ".join(["boltzgen", *sys.argv[1:]]))
    if trajectory is not None:
        simulation.write_trajectory(folder, molecule, trajectory)
    if as_json:
        typer.echo(json.dumps(finite_or_none(summary), allow_nan=False))
        return
    print_fields(summary)
    if summary["basins"]:
        table = Table("basin", "population %", "standard error %", box=None, pad_edge=False)
        for basin in summary["basins"]:
            table.add_row(basin["name"], f"{100 * basin['population']:.4g}", f"{100 * basin['error']:.2g}")
        Console().print(table)
    Console().print(
        f"folder: {folder}    reference: {folder / 'reference.h5'}", soft_wrap=True, highlight=False
    )


def _describe_simulation(statistics: dict[str, Any]) -> str:
    """One line on a simulation's last block."""
    if not statistics:
        return "simulating"
    rate = statistics["n_energy_evaluations"] / statistics["seconds"]
    text = f"{rate:.2g} steps/s"
    if "exchange" in statistics:
        exchanged = min(statistics["exchange"], default=1.0)
        text += (
            f"  acceptance {min(statistics['acceptance']):.2f}  exchange {exchanged:.2f}  round trips "
            f"{statistics['round_trips']}"
        )
    return text
