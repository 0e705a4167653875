"""The command line. It parses, calls the library and prints; heavy modules are imported by the command that needs them."""

import json
import math
import sys
import time
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, ProgressColumn, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar
from rich.table import Table

from boltzgen import __version__
from boltzgen.train.settings import PRESETS

if TYPE_CHECKING:
    from boltzgen.system import System
    from boltzgen.train.progress import Progress

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help="Exactly weighted conformations of a molecule from its force field.")
#: What a wrong command line raises, the base of `typer.BadParameter`: typer exports it under no name of its own.
_UsageError: type[Exception] = typer.BadParameter.__mro__[2]
_LOW_EFFICIENCY = 0.05

Device = Annotated[str, typer.Option(help="Torch device, for instance cpu or cuda.")]
Seed = Annotated[int, typer.Option(min=0, help="Random seed; the same seed gives the same result.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else there.")]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, 2 for wrong input (one line on stderr), 130 for Ctrl-C."""
    command = typer.main.get_command(app)
    try:
        code = command.main(args=None if arguments is None else list(arguments), prog_name="boltzgen", standalone_mode=False)
        if code == 130:
            raise KeyboardInterrupt
        return code if isinstance(code, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        return _complain("interrupted", 130)
    except _UsageError as error:
        return _complain(f"{error.format_message()} (see boltzgen --help)", 2)  # type: ignore[attr-defined]
    except OSError as error:
        return _complain(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", 2)
    except (ValueError, NotImplementedError, FloatingPointError) as error:
        return _complain(str(error), 2)


@app.callback(invoke_without_command=True)
def boltzgen(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", is_eager=True, help="Print the version and exit.")] = False
) -> None:
    """Exactly weighted conformations of a molecule from its force field."""
    if version:
        typer.echo(f"boltzgen {__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command()
def systems() -> None:
    """List the molecules that come with the package."""
    from boltzgen.generator import CHECKPOINT
    from boltzgen.system import SystemFile, shipped_systems

    table = Table("name", "temperature", "trained", "description", box=None, pad_edge=False)
    for name, folder in shipped_systems().items():
        spec = SystemFile.model_validate(tomllib.loads((folder / "system.toml").read_text()))
        table.add_row(name, f"{spec.temperature:g} K", "yes" if (folder / CHECKPOINT).is_file() else "no", spec.description)
    Console().print(table)


@app.command()
def train(
    system: Annotated[str, typer.Argument(help="Name of a shipped system, or a folder with a system.toml.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Run folder (default: runs/NAME).")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the run folder's last checkpoint.")] = False,
    data: Annotated[Path | None, typer.Option(help="Train on this trajectory or samples file, sampled at the system's temperature.")] = None,
    topology: Annotated[Path | None, typer.Option(help="PDB file of the trajectory's atoms, where its format holds none.")] = None,
    mixed: Annotated[bool, typer.Option("--mixed", help="Train on data and energies together.")] = False,
    preset: Annotated[Literal["full", "quick"] | None, typer.Option(help="How long to train: full (the default) or quick, minutes.")] = None,
    seed: Seed = 0,
    device: Device = "cpu",
) -> None:
    """Train a generator from energies alone, from data alone, or from both."""
    from boltzgen.system import System
    from boltzgen.train import run

    _check_device(device)
    molecule = System.load(system)
    folder = output or Path("runs") / molecule.name
    try:
        with _progress(TextColumn("{task.description}"), BarColumn(), TaskProgressColumn()) as bar:
            task = bar.add_task("preparing", total=1.0)
            summary = run.train(
                molecule,
                folder,
                seed=seed,
                resume=resume,
                device=device,
                settings=PRESETS[preset] if preset else None,
                data=data,
                topology=topology,
                mixed=mixed,
                progress=lambda progress: bar.update(task, completed=progress.fraction, description=_describe(progress)),
            )
    except KeyboardInterrupt:
        _warn(f"finished rounds are kept; go on with: boltzgen train {system} -o {folder} --resume")
        raise
    if dropped := summary.get("frames_dropped"):
        reasons = ", ".join(f"{count} {reason}" for reason, count in dropped.items())
        _warn(f"{sum(dropped.values())} of {summary['n_frames']} frames were dropped as outside the domain: {reasons}")
    _print_fields(summary)
    Console().print(f"run folder: {folder}    draw from it with: boltzgen sample {folder} -n 100000", soft_wrap=True, highlight=False)


@app.command()
def sample(
    source: Annotated[str, typer.Argument(metavar="SYSTEM_OR_RUN", help="A shipped system, a folder with a system.toml, or a run folder.")],
    n: Annotated[int, typer.Option("-n", min=1, help="Number of conformations to draw.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="HDF5 file for the samples (.h5).")] = None,
    temperature: Annotated[float | None, typer.Option(help="Temperature of the target in K (default: that of training).")] = None,
    seed: Seed = 0,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Draw weighted conformations from a trained generator."""
    from contextlib import nullcontext

    import torch

    from boltzgen.analysis.report import finite_or_none, weight_summary
    from boltzgen.energy.base import CountedEnergy
    from boltzgen.energy.choose import energy_for
    from boltzgen.generator import BoltzmannGenerator
    from boltzgen.samples import SamplesWriter

    _check_device(device)
    system, folder = _find(source)
    generator = BoltzmannGenerator.load(folder, system, device=device)
    target = generator.temperature if temperature is None else temperature
    energy = CountedEnergy(energy_for(system, target)).to(device)
    start = time.perf_counter()
    log_w = []
    with (
        SamplesWriter(output, system, target, seed=seed) if output else nullcontext() as writer,
        _progress(TextColumn("sampling"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()) as bar,
    ):
        task = bar.add_task("", total=n)
        for chunk in generator.sample_chunks(n, energy, seed=seed):
            log_w.append(chunk.log_w)
            bar.advance(task, len(chunk))
            if writer is not None:
                writer.write(chunk)
                writer.n_energy_evaluations = energy.n_evaluations
    seconds = time.perf_counter() - start
    summary = weight_summary(torch.cat(log_w)) | {"n_energy_evaluations": energy.n_evaluations, "seconds": seconds}
    _warn_if_inefficient(summary["sampling_efficiency"])
    if as_json:
        typer.echo(json.dumps(finite_or_none(summary), allow_nan=False))
    else:
        _print_fields(summary | ({"file": str(output)} if output else {}))


@app.command()
def simulate(
    system: Annotated[str, typer.Argument(help="Name of a shipped system, or a folder with a system.toml.")],
    frames: Annotated[int, typer.Option("-n", "--frames", min=1, help="Frames of each walker, at each temperature, after the burn-in.")] = 400,
    method: Annotated[str, typer.Option(help="remd: replica exchange on batched energies; md: OpenMM's Langevin dynamics.")] = "remd",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Folder of the simulation (default: simulations/NAME-METHOD).")] = None,
    walkers: Annotated[int | None, typer.Option(min=1, help="Independent walkers (default: 128; md: 1).")] = None,
    highest: Annotated[float | None, typer.Option(help="Highest temperature of the ladder in K (default: 1200).")] = None,
    interval: Annotated[int | None, typer.Option(min=1, help="Moves of 25 steps between frames (default: 20); md: steps of 1 fs (1000).")] = None,
    platform: Annotated[str | None, typer.Option(help="OpenMM platform, for md (default: CPU).")] = None,
    trajectory: Annotated[
        Path | None, typer.Option("-t", "--trajectory", help="Write the frames at the system's temperature: .h5, .xtc or .dcd.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the folder's simulation, with the settings it was started with.")] = False,
    seed: Seed = 0,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Sample a reference ensemble by simulation, independently of any generator."""
    from boltzgen.analysis import simulation
    from boltzgen.analysis.report import finite_or_none
    from boltzgen.simulate import run
    from boltzgen.simulate.blocks import block_files
    from boltzgen.system import System

    _check_device(device)
    if method not in ("remd", "md"):
        raise ValueError(f"expected --method remd or md, got {method!r}")
    molecule = System.load(system)
    folder = output or Path("simulations") / f"{molecule.name}-{method}"
    if trajectory is not None:
        simulation.check_trajectory(trajectory)
    changes = {"n_walkers": walkers, "highest": highest, "interval": interval, "platform": platform, "seed": seed}
    plan = run.Plan.for_method(method, **changes)  # type: ignore[arg-type]
    try:
        with _progress(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()) as bar:
            task = bar.add_task("finding starts", total=None)
            run.simulate(
                molecule,
                folder,
                frames,
                plan=plan,
                resume=resume,
                device=device,
                progress=lambda p: bar.update(task, completed=p.done, total=p.wanted, description=_describe_simulation(p.statistics)),
            )
    except KeyboardInterrupt:
        if block_files(folder):
            _warn(f"finished blocks are kept; go on with: boltzgen simulate {system} --method {method} -o {folder} -n {frames} --resume")
        raise
    summary = simulation.summarize(folder, molecule, command=" ".join(["boltzgen", *sys.argv[1:]]))
    if trajectory is not None:
        simulation.write_trajectory(folder, molecule, trajectory)
    if as_json:
        typer.echo(json.dumps(finite_or_none(summary), allow_nan=False))
        return
    _print_fields(summary)
    if summary["basins"]:
        table = Table("basin", "population %", "standard error %", box=None, pad_edge=False)
        for basin in summary["basins"]:
            table.add_row(basin["name"], f"{100 * basin['population']:.4g}", f"{100 * basin['error']:.2g}")
        Console().print(table)
    Console().print(f"folder: {folder}    reference: {folder / 'reference.h5'}", soft_wrap=True, highlight=False)


@app.command()
def analyze(
    file: Annotated[Path, typer.Argument(help="Samples file made by `boltzgen sample`.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder for the report, the surfaces and the pictures.")],
    as_json: Json = False,
) -> None:
    """Free-energy surface, basin populations and free-energy differences of a samples file."""
    from boltzgen.analysis import report

    result = report.analyze(file, output)
    _warn_if_inefficient(result["sampling_efficiency"])
    if as_json:
        typer.echo(json.dumps(result, allow_nan=False))
        return
    _print_fields({key: result[key] for key in ("n_samples", "sampling_efficiency", "sampling_efficiency_clipped", "log_z", "log_z_error")})
    if result["basins"]:
        Console().print(_basin_table(result["basins"]))
    Console().print(f"written to {output}: {', '.join(['report.json', *result['files']])}", soft_wrap=True, highlight=False)


@app.command()
def evaluate(
    source: Annotated[str, typer.Argument(metavar="RUN_OR_SYSTEM", help="A run folder, a shipped system, or a folder with a system.toml.")],
    reference: Annotated[Path | None, typer.Option(help="Reference file (default: reference.h5 of the system).")] = None,
    n: Annotated[int, typer.Option("-n", min=100, help="Number of conformations to draw.")] = 100_000,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Folder for evaluation.json, .md, .png and .pdf.")] = None,
    seed: Seed = 0,
    device: Device = "cpu",
    as_json: Json = False,
) -> None:
    """Compare a trained generator with a reference ensemble: weights, densities, populations, marginals, missing modes."""
    from boltzgen.analysis.draws import draw
    from boltzgen.analysis.evaluation import summarize
    from boltzgen.analysis.evaluation_page import aligned, save_evaluation, text_tables
    from boltzgen.analysis.report import finite_or_none
    from boltzgen.energy.choose import energy_for
    from boltzgen.generator import BoltzmannGenerator
    from boltzgen.reference import Reference, reference_path

    _check_device(device)
    system, folder = _find(source)
    target = Reference.load(reference or reference_path(system), system)
    generator = BoltzmannGenerator.load(folder, system, device=device)
    energy = energy_for(system, target.temperature).to(device)
    with _progress(TextColumn("sampling"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()) as bar:
        task = bar.add_task("", total=n)
        draws = draw(generator, energy, target, n=n, seed=seed, progress=lambda done: bar.advance(task, done))
    result = summarize(draws, target) | {"seed": seed}
    files = save_evaluation(result, draws, target, output) if output else []
    for warning in result["warnings"]:
        _warn(warning)
    if as_json:
        typer.echo(json.dumps(finite_or_none(result), allow_nan=False))
        return
    typer.echo("\n\n".join(map(aligned, text_tables(result))))
    typer.echo("\n".join(["", "CONVENTIONS", *(f"- {line}" for line in result["conventions"])]))
    if files:
        Console().print(f"written to {output}: {', '.join(files)}", soft_wrap=True, highlight=False)


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="Samples file made by `boltzgen sample`.")],
    target: Annotated[Path, typer.Argument(metavar="OUT", help="Trajectory to write: .dcd, .xtc or .pdb.")],
    resample: Annotated[int | None, typer.Option(min=1, help="Draw this many frames of equal weight, with replacement.")] = None,
    seed: Seed = 0,
) -> None:
    """Write samples as a trajectory for other programs."""
    from boltzgen.analysis.export import export as write

    n_frames = write(file, target, resample=resample, seed=seed)
    if resample is None:
        _warn(f"the frames of {target} do not have equal weight: averages over them need log_w of {file}; use --resample N for equal weights")
    Console().print(f"{n_frames} frames written to {target}", soft_wrap=True, highlight=False)


def _find(source: str) -> "tuple[System, Path]":
    """The system that a name, a system's folder or a run's folder stands for, and the folder with its checkpoint."""
    from boltzgen.generator import CHECKPOINT
    from boltzgen.system import System

    folder = Path(source)
    summary = folder / "summary.json"
    if summary.is_file():
        try:
            name = json.loads(summary.read_text())["system"]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{summary} does not say which system the run is of; train it again with `boltzgen train`") from error
        return System.load(name), folder
    if (folder / CHECKPOINT).is_file() and not (folder / "system.toml").is_file():
        raise ValueError(f"{folder} has no summary.json: the run has not ended; finish it with `boltzgen train SYSTEM -o {folder} --resume`")
    if folder.is_dir() and not (folder / "system.toml").is_file():
        raise FileNotFoundError(f"{folder} is neither a run folder (summary.json) nor a system folder (system.toml); see `boltzgen systems`")
    system = System.load(source)
    if system.folder is None or not (system.folder / CHECKPOINT).is_file():
        raise FileNotFoundError(f"{source} has no trained checkpoint; run `boltzgen train {source} -o RUN` first, then `boltzgen sample RUN -n N`")
    return system, system.folder


def _check_device(device: str) -> None:
    import torch

    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device {device!r} cannot be used here ({str(error).splitlines()[0]}); use --device cpu") from error


def _progress(*columns: ProgressColumn) -> Bar:
    """A progress bar on stderr, absent where stderr is not a terminal."""
    console = Console(stderr=True)
    return Bar(*columns, console=console, transient=True, disable=not console.is_terminal)


def _describe(progress: "Progress") -> str:
    """One line on where a training run stands."""
    minutes, seconds = divmod(int(progress.seconds_left), 60) if progress.seconds_left < 1e6 else (0, 0)
    # Nothing is drawn while training on data.
    efficiency = "" if math.isnan(progress.efficiency) else f"efficiency {100 * progress.efficiency:.1f} %  "
    return (
        f"{progress.stage}  {progress.temperature:.0f} K  loss {progress.loss:.3f}  {efficiency}"
        f"{progress.n_energy_evaluations:.2e} energies  {minutes}:{seconds:02d} left"
    )


def _describe_simulation(statistics: dict[str, Any]) -> str:
    """One line on a simulation's last block."""
    if not statistics:
        return "simulating"
    rate = statistics["n_energy_evaluations"] / statistics["seconds"]
    text = f"{rate:.2g} steps/s"
    if "exchange" in statistics:
        exchanged = min(statistics["exchange"], default=1.0)
        text += f"  acceptance {min(statistics['acceptance']):.2f}  exchange {exchanged:.2f}  round trips {statistics['round_trips']}"
    return text


def _print_fields(fields: dict[str, Any]) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    for key, value in fields.items():
        if isinstance(value, str | int | float):
            table.add_row(key.replace("_", " "), f"{value:.6g}" if isinstance(value, float) else str(value))
    Console().print(table)


def _basin_table(basins: list[dict[str, Any]]) -> Table:
    table = Table("basin", box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for title in ("population %", "95 % interval", "ΔF / kT", "95 % interval", "draws", "effective"):
        table.add_column(title, justify="right", no_wrap=True)
    for b in basins:
        share = f"< {100 * b['high']:.3g}" if b["is_upper_bound"] else f"{100 * b['low']:.3g} .. {100 * b['high']:.3g}"
        delta, low, high = b["delta_f_kT"], b["delta_f_low"], b["delta_f_high"]
        centre = "" if delta is None else f"{delta:.2f}"
        table.add_row(b["name"], f"{100 * b['population']:.3g}", share, centre, _interval(low, high), str(b["n_raw"]), f"{b['n_effective']:.1f}")
    return table


def _interval(low: float | None, high: float | None) -> str:
    """An interval in words, where None is an open end."""
    if low is None:
        return "" if high is None else f"< {high:.2f}"
    return f"> {low:.2f}" if high is None else f"{low:.2f} .. {high:.2f}"


def _warn_if_inefficient(efficiency: float) -> None:
    if efficiency < _LOW_EFFICIENCY:
        _warn(
            f"sampling efficiency is {100 * efficiency:.2g} %: estimates rest on few conformations; train longer, or stay near training's temperature"
        )


def _warn(message: str) -> None:
    typer.echo(f"warning: {message}", err=True)


def _complain(message: str, code: int) -> int:
    """Print an error as one line on stderr and return the exit code."""
    typer.echo(f"boltzgen: {' '.join(message.split())}", err=True)
    return code


def run() -> NoReturn:
    """Entry point of ``python -m boltzgen.cli``."""
    sys.exit(main())


if __name__ == "__main__":
    run()
