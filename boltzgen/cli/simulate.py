"""`boltzgen simulate`."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from boltzgen.cli.common import (
    Device,
    Json,
    Seed,
    SystemName,
    check_device,
    new_table,
    print_fields,
    print_table,
    progress,
    warn,
)

if TYPE_CHECKING:
    from rich.table import Table


def simulate(
    system: SystemName,
    frames: Annotated[
        int,
        typer.Option(
            "-n",
            "--frames",
            min=1,
            help="Frames of each walker, at each temperature; up to a third may turn out to be burn-in.",
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
    from boltzgen.simulation.checkpoint import checkpoint_files
    from boltzgen.storage import finite_or_none

    check_device(device)
    molecule = System.load(system)
    folder = output or Path("simulations") / f"{molecule.name}-{method}"
    try:
        with progress("finding starts") as move:
            summary = run.simulate(
                molecule,
                folder,
                frames=frames,
                method=method,  # type: ignore[arg-type]
                walkers=walkers,
                highest=highest,
                interval=interval,
                platform=platform,
                trajectory=trajectory,
                resume=resume,
                seed=seed,
                device=device,
                command=" ".join(["boltzgen", *sys.argv[1:]]),
                progress=lambda p: move(
                    completed=p.done, total=p.wanted, description=_describe(p.statistics)
                ),
            )
    except KeyboardInterrupt:
        if checkpoint_files(folder):
            warn(
                f"what was recorded is kept; go on with: boltzgen simulate {system} --method {method} -o "
                f"{folder} -n {frames} --resume"
            )
        raise
    test = summary["stationarity"]
    if not test["stationary"]:
        known = (
            "whether the simulation is stationary was"
            if test["stationary"] is None
            else "the simulation is not stationary:"
        )
        warn(
            f"{known} {test['text']}; go on with: boltzgen simulate {system} --method {method} -o {folder} "
            f"-n {2 * frames} --resume"
        )
    if as_json:
        typer.echo(json.dumps(finite_or_none(summary), allow_nan=False))
        return
    print_fields(summary)
    typer.echo(f"stationarity: {test['text']}")
    if summary["basins"]:
        print_table(_population_table("basin", [("", row) for row in summary["basins"]]))
    for title, found in (("residue", summary["regions"]), ("torsion", summary["torsions"])):
        populated = [
            (f"{name} ", row) for name, rows in found.items() for row in rows if 0 < row["population"] < 1
        ]
        if populated:
            print_table(_population_table(title, populated))
    reference = folder / "reference.h5"
    typer.echo(f"folder: {folder}" + (f"    reference: {reference}" if reference.is_file() else ""))


def _population_table(title: str, rows: list[tuple[str, dict[str, Any]]]) -> "Table":
    table = new_table(title, "population %", "standard error %")
    for prefix, row in rows:
        table.add_row(f"{prefix}{row['name']}", f"{100 * row['population']:.4g}", f"{100 * row['error']:.2g}")
    return table


def _describe(statistics: dict[str, Any]) -> str:
    """One line on how a simulation went since its last checkpoint."""
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
