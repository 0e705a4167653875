"""`boltzgen simulate`."""

import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import typer

from boltzgen.cli.cluster import check_cluster
from boltzgen.cli.common import (
    Device,
    Json,
    Scheduler,
    Seed,
    SystemName,
    Workers,
    check_device,
    check_replaceable,
    command_line,
    new_table,
    print_fields,
    print_table,
    warn,
    written,
)
from boltzgen.cli.progress import duration, progress

if TYPE_CHECKING:
    from rich.table import Table

    from boltzgen.simulation.groups import Share
    from boltzgen.simulation.run import Progress

#: The methods of `boltzgen.simulation.plan`.
Method = Literal["remd", "md"]


def simulate(
    system: SystemName,
    frames: Annotated[
        int,
        typer.Option(
            "-n",
            "--frames",
            min=1,
            metavar="N",
            help="Frames of each walker, at each temperature; up to half may turn out to be burn-in.",
        ),
    ] = 400,
    method: Annotated[
        Method,
        typer.Option(
            "--method",
            metavar="|".join(get_args(Method)),
            help="remd: replica exchange on batched energies; md: OpenMM's Langevin dynamics.",
        ),
    ] = "remd",
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FOLDER",
            help="Folder of the simulation (default: simulations/NAME-METHOD).",
        ),
    ] = None,
    walkers: Annotated[
        int | None,
        typer.Option("--walkers", min=1, metavar="N", help="Independent walkers (default: 128; for md 1)."),
    ] = None,
    highest: Annotated[
        float | None,
        typer.Option(
            "--highest", metavar="K", help="Highest temperature of the ladder in K (default: 1200)."
        ),
    ] = None,
    interval: Annotated[
        int | None,
        typer.Option(
            "--interval",
            min=1,
            metavar="N",
            help="Moves of 25 steps between frames (default: 20); for md steps of 1 fs (default: 1000).",
        ),
    ] = None,
    platform: Annotated[
        str | None,
        typer.Option(
            "--platform",
            metavar="NAME",
            help="OpenMM's platform, for md: CPU, CUDA, OpenCL, HIP or Reference (default: CPU).",
        ),
    ] = None,
    trajectory: Annotated[
        Path | None,
        typer.Option(
            "-t",
            "--trajectory",
            metavar="FILE",
            help="Write the frames at the system's temperature: .h5, .xtc or .dcd. With --resume an earlier "
            "one is replaced.",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on with the folder's simulation, with the settings it was started with."
        ),
    ] = False,
    force: Annotated[
        bool,
        typer.Option(
            "--force",
            help="Begin anew in a folder that holds a simulation, which the first checkpoint replaces.",
        ),
    ] = False,
    workers: Workers = None,
    scheduler: Scheduler = None,
    seed: Seed = 0,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Sample a reference ensemble by simulation, independently of any generator.

    Examples:
        boltzgen simulate alanine_dipeptide -n 800 -o remd
        boltzgen simulate alanine_dipeptide -n 1600 -o remd --resume -t frames.xtc
        boltzgen simulate my_peptide --method md -n 1000 -o md
        boltzgen simulate my_peptide -n 800 -o remd --workers 4
    """
    from boltzgen.molecule.system import System
    from boltzgen.samples.export import topology_path
    from boltzgen.simulation import run
    from boltzgen.simulation.checkpoint import checkpoint_files
    from boltzgen.storage import finite_or_none

    check_device(device)
    check_cluster(workers, scheduler)
    topology = None if trajectory is None else topology_path(trajectory)
    check_replaceable(*(file for file in (trajectory, topology) if file), force=force or resume)
    with progress("reading the molecule") as move:
        molecule = System.load(system)
        folder = output or Path("simulations") / f"{molecule.name}-{method}"

        def again(n: int) -> str:
            where = () if trajectory is None else ("-t", trajectory)
            how: tuple[object, ...] = ("--method", method, "-o", folder, "-n", n, "--resume", *where)
            how += () if workers is None else ("--workers", workers)
            how += () if scheduler is None else ("--scheduler", scheduler)
            return command_line("simulate", system, *how, device=device)

        before = written(checkpoint_files(folder)[:1])
        try:
            with _shared(workers, scheduler) as share:
                summary = run.simulate(
                    molecule if share is None else system,
                    folder,
                    frames=frames,
                    method=method,
                    walkers=walkers,
                    highest=highest,
                    interval=interval,
                    platform=platform,
                    trajectory=trajectory,
                    resume=resume,
                    force=force,
                    seed=seed,
                    device=device,
                    share=share,
                    command=" ".join(["boltzgen", *sys.argv[1:]]),
                    progress=lambda p: move(_describe(p), completed=p.done, total=p.wanted or None),
                )
        except KeyboardInterrupt:
            after = written(checkpoint_files(folder)[:1])
            if not after:
                warn("nothing was recorded yet, so there is nothing to resume: start the simulation again")
            elif resume or after != before:
                warn(f"what was recorded is kept; go on with: {again(frames)}")
            else:
                warn(f"nothing was recorded yet: the simulation that {folder} held is as it was")
            raise
    test = summary["stationarity"]
    if not test["stationary"]:
        warn(f"{_doubt(test)}; go on with: {again(_enough(summary, frames))}")
    if as_json:
        typer.echo(json.dumps(finite_or_none(summary), allow_nan=False))
        return
    print_fields(
        {
            "system": summary["system"],
            "method": summary["method"],
            "temperatures": f"{len(summary['temperatures'])}, from {summary['temperatures'][0]:g} to "
            f"{summary['temperatures'][-1]:g} K",
            "walkers": f"{summary['n_walkers']:,}",
            "frames of each walker": f"{summary['n_frames']:,}, "
            f"after {summary['burn_in_frames']:,} of burn-in",
            "energies computed": f"{summary['n_energy_evaluations']:,}",
            "time": f"{duration(summary['seconds'])}, {summary['steps_per_second']:,.0f} steps/s",
            "stationarity": test["text"],
        }
    )
    if summary["basins"]:
        print_table(_population_table("basin", [("", row) for row in summary["basins"]]))
    for title, found in (("residue", summary["regions"]), ("torsion", summary["torsions"])):
        populated = [
            (f"{name} ", row) for name, rows in found.items() for row in rows if 0 < row["population"] < 1
        ]
        if populated:
            print_table(_population_table(title, populated))
    reference = folder / "reference.h5"
    files = {"folder": folder, "reference": reference, "trajectory": trajectory, "its topology": topology}
    print_fields({name: str(file) for name, file in files.items() if file is not None and file.exists()})
    if reference.is_file():
        typer.echo(
            f"compare a generator with it: {command_line('evaluate', 'RUN', '--reference', reference)}"
        )


@contextmanager
def _shared(workers: int | None, scheduler: str | None) -> "Iterator[Share | None]":
    """How walkers are shared among a cluster's workers; None where there is no cluster."""
    if workers is None and scheduler is None:
        yield None
        return
    from boltzgen.cluster.connect import connected
    from boltzgen.cluster.mapping import shared

    with connected(workers=workers, scheduler=scheduler) as client:
        yield shared(client)


def _doubt(test: dict[str, Any]) -> str:
    """What speaks against a simulation, as the beginning of a sentence."""
    if test["stationary"] is None:
        return f"whether the simulation is stationary was {test['text']}"
    return f"the simulation is {'' if test['too_short'] else 'not stationary: '}{test['text']}"


def _enough(summary: dict[str, Any], frames: int) -> int:
    """Frames of a longer simulation: twice as many, or those that the round trips want."""
    from boltzgen.simulation.burn_in import ROUND_TRIPS

    trips = summary["stationarity"].get("round_trips_per_replica")
    if not trips:
        return 2 * frames
    done = summary["n_frames"] + summary["burn_in_frames"]
    wanted = 1.1 * done * 2 * ROUND_TRIPS / trips - (done - frames)
    return max(2 * frames, 10 * math.ceil(wanted / 10))


def _population_table(title: str, rows: list[tuple[str, dict[str, Any]]]) -> "Table":
    table = new_table(title, "population %", "standard error %")
    for prefix, row in rows:
        table.add_row(f"{prefix}{row['name']}", f"{100 * row['population']:.4g}", f"{100 * row['error']:.2g}")
    return table


def _describe(progress: "Progress") -> str:
    """A line on where a simulation stands, with how it went since its last checkpoint."""
    statistics, text = progress.statistics, progress.stage
    if not statistics:
        return text
    text += f", {statistics['n_energy_evaluations'] / statistics['seconds']:.2g} steps/s"
    if "exchange" in statistics:
        exchanged = min(statistics["exchange"], default=1.0)
        text += f", acceptance {min(statistics['acceptance']):.2f}, exchange {exchanged:.2f}"
    return text
