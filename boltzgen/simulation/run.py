"""A simulation from a system to an ensemble, in a folder from which it can go on."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

from boltzgen.evaluation.reference import REFERENCE
from boltzgen.locks import working_folder
from boltzgen.molecule.shipped import SYSTEM_FILE
from boltzgen.molecule.system import System
from boltzgen.simulation.checkpoint import ONCE, Checkpoint, checkpoint_files
from boltzgen.simulation.groups import Grouped, Recipe, Share
from boltzgen.simulation.plan import Method, Plan
from boltzgen.simulation.sampler import Sampler, State
from boltzgen.simulation.summary import SUMMARY, summarize
from boltzgen.simulation.trajectory import check_trajectory, write_trajectory
from boltzgen.storage import reading


@dataclass(frozen=True)
class Progress:
    """Where a simulation stands.

    Attributes:
        stage: what is being done, in words.
        done, wanted: frames of each walker, those recorded while time steps are tuned included.
        seconds: spent so far.
        statistics: of the last checkpoint, empty before the first (see `Frames`).
    """

    stage: str
    done: int
    wanted: int
    seconds: float
    statistics: dict[str, Any]


def simulate(
    system: System | str | Path,
    folder: str | Path,
    *,
    frames: int = 400,
    method: Method = "remd",
    walkers: int | None = None,
    highest: float | None = None,
    interval: int | None = None,
    platform: str | None = None,
    trajectory: str | Path | None = None,
    resume: bool = False,
    force: bool = False,
    seed: int = 0,
    device: str = "cpu",
    share: Share | None = None,
    command: str = "",
    progress: Callable[[Progress], None] | None = None,
) -> dict[str, Any]:
    """Sample a reference ensemble by simulation, independently of any generator.

    `folder` gets the checkpoints, the summary as ``simulation.json`` and, where there are two walkers or
    more, ``reference.h5`` to evaluate generators with. Interrupted at any moment, the simulation goes on with
    `resume` from its last checkpoint; so does a finished one of which more frames are wanted.

    Args:
        system: the molecule, or the name or folder that `System.load` finds it by.
        folder: of the simulation.
        frames: of each walker, at each temperature, after the time steps are tuned; up to a third of
            them may turn out to be burn-in.
        method: "remd", replica exchange on batched energies, or "md", OpenMM's Langevin dynamics.
        walkers: independent walkers; by default 128, of dynamics 1.
        highest: top of the ladder of temperatures in K, by default 1200.
        interval: moves of 25 steps between frames, by default 20; of dynamics steps of 1 fs, by default 1000.
        platform: OpenMM's, for dynamics; by default CPU.
        trajectory: a file for the frames at the system's temperature: .h5, .xtc or .dcd.
        resume: go on with the folder's simulation, with the settings it was started with.
        force: begin anew in a folder that holds a simulation. That stays as it is until the first checkpoint
            of this one.
        seed: the same seed gives the same simulation.
        device: of the batched energies.
        share: has workers advance walkers, in groups of 16, as `cluster.mapping.shared` does; `system` is
            then a name, or a folder that they all see. The frames do not depend on the workers; they are not
            those of a simulation without `share`, whose random numbers are others.
        command: how the simulation was asked for; it is kept in the summary.
        progress: called after each frame, and when something else is begun that takes time.

    Returns:
        The summary: whether the simulation is stationary, populations of the basins and of torsions' states
        with their errors, acceptance and exchange rates, costs, and how the simulation was set up.

    Raises:
        FileExistsError: `resume` and `force` are false and the folder holds a simulation already; or it holds
            other files that one would replace.
        FileNotFoundError: there is no such system; or nothing to resume.
        BlockingIOError: another process writes into the folder.
        ValueError: a setting is wrong; or as for `record`.
    """
    if frames < 1:
        raise ValueError(f"expected at least one frame, got `frames={frames}`")
    if (method, platform is None) == ("remd", False) or (method, highest is None) == ("md", False):
        only = "`platform` is for dynamics" if method == "remd" else "`highest` is for replica exchange"
        raise ValueError(f"{only}, not for `method='{method}'`; leave it out")
    if resume and force:
        raise ValueError(
            "`resume` goes on with the folder's simulation, `force` begins anew; give one of them"
        )
    settings = {"walkers": walkers, "highest": highest, "interval": interval, "platform": platform}
    given = [f"`{name}`" for name, value in settings.items() if value is not None]
    if resume and given:
        raise ValueError(
            "a resumed simulation goes on with the settings that it was started with; leave out "
            f"{' and '.join(given)}"
        )
    plan = Plan.for_method(
        method, n_walkers=walkers, highest=highest, interval=interval, platform=platform, seed=seed
    )
    molecule = system if isinstance(system, System) else System.load(system)
    folder, target = Path(folder), None if trajectory is None else Path(trajectory)
    source = "" if share is None else _source(system)
    if target is not None:
        check_trajectory(target, folder)
    tell = _Teller(progress)
    with working_folder(folder):
        _record(
            molecule,
            folder,
            frames,
            plan,
            resume=resume,
            force=force,
            device=device,
            tell=tell,
            share=share,
            source=source,
        )
        tell.statistics = {}
        tell.stage("estimating populations")
        summary = summarize(folder, molecule, command=command)
        if target is not None:
            tell.stage("writing the trajectory")
            write_trajectory(folder, molecule, target, skip=summary["stationarity"]["burn_in_frames"])
    return summary


def record(
    system: System,
    folder: Path,
    n_frames: int,
    *,
    plan: Plan | None = None,
    resume: bool = False,
    force: bool = False,
    device: str = "cpu",
    progress: Callable[[Progress], None] | None = None,
) -> None:
    """Run a simulation until every walker has `n_frames` frames, at every temperature, after the tuning.

    Only whole checkpoints are written, so there may be a few frames more; `Ensemble.load` reads them.

    Raises:
        FileExistsError: as for `simulate`.
        FileNotFoundError: `resume` is true and there is nothing to resume.
        BlockingIOError: another process writes into the folder.
        ValueError: the simulation is of another system, or its checkpoints are damaged; or it has constraints
            that replica exchange cannot keep, see `Integrator`.
    """
    with working_folder(folder):
        plan, tell = plan or Plan(), _Teller(progress)
        _record(system, folder, n_frames, plan, resume=resume, force=force, device=device, tell=tell)


def _record(
    system: System,
    folder: Path,
    n_frames: int,
    plan: Plan,
    *,
    resume: bool,
    force: bool,
    device: str,
    tell: "_Teller",
    share: Share | None = None,
    source: str = "",
) -> None:
    """What `record` does, in a folder that is this process's own."""
    files = checkpoint_files(folder)
    if files and not (resume or force):
        raise FileExistsError(
            f"{folder} already holds a simulation; add `resume=True` to go on with it, `force=True` to begin "
            "anew, or choose another folder"
        )
    earlier, files = ([], files) if resume else (files, [])
    if resume and not files:
        raise FileNotFoundError(f"nothing to resume in {folder}: no checkpoint; start it without `resume`")
    if not (files or earlier):
        _check_free(folder)
    mark = time.perf_counter()
    if files:
        plan, sampler, state, description = _resumed(files, system, folder, device)
    else:
        tell.stage("finding conformations to start from")
        sampler, state, description = _started(plan, system, device)
        mark = time.perf_counter()
    if share is not None:
        sampler = Grouped(sampler, Recipe(source, system.fingerprint, plan, device), share)
    tell.begin(n_frames + plan.burn_in_frames)
    n_checkpoints = math.ceil(tell.wanted / plan.checkpoint_frames)
    for index in range(len(files), n_checkpoints):
        burn_in = index < plan.burn_in
        what = "tuning time steps" if burn_in else "simulating"
        report = partial(tell.frame, what, index * plan.checkpoint_frames)
        frames = sampler.run(
            state, index, plan.checkpoint_frames, plan.interval, tune=burn_in, on_frame=report
        )
        tell.statistics = frames.statistics
        # Writing the checkpoint before is part of it.
        frames.statistics["seconds"], mark = time.perf_counter() - mark, time.perf_counter()
        if index == 0:
            _remove(folder, earlier)
        kept = {k: v for k, v in description.items() if index == 0 or k not in ONCE}
        Checkpoint(frames, state, system.name, system.fingerprint, burn_in, kept).save(folder, index)


def _source(system: System | str | Path) -> str:
    """Where workers find a system; raises ValueError where they cannot."""
    if isinstance(system, System):
        raise ValueError("to `share` a simulation, give `system` as a name or a folder, which workers load")
    return str(Path(system).resolve()) if Path(system).exists() else str(system)


def _check_free(folder: Path) -> None:
    """Raise FileExistsError where a new simulation would replace a system's reference or other files."""
    if (folder / SYSTEM_FILE).exists():
        raise FileExistsError(
            f"{folder} is the folder of a system, whose {REFERENCE} a simulation would replace; choose "
            "another folder"
        )
    if taken := [name for name in (SUMMARY, REFERENCE) if (folder / name).exists()]:
        raise FileExistsError(
            f"{folder} holds {taken[0]}, but no simulation to go on with; a simulation would replace it: "
            "move it away, or choose another folder"
        )


def _started(plan: Plan, system: System, device: str) -> tuple[Sampler, State, dict[str, Any]]:
    """A simulation at its start, and the first checkpoint's plan."""
    began = time.perf_counter()
    sampler = plan.sampler(system, device)
    x, n_evaluations = plan.starts(system)
    state = sampler.start(x.to(device))
    preparation = {"seconds": time.perf_counter() - began, "n_energy_evaluations": n_evaluations}
    description = {"temperatures": plan.temperatures(system).tolist(), "starts": x.tolist()}
    return sampler, state, asdict(plan) | description | {"preparation": preparation}


def _resumed(
    files: list[Path], system: System, folder: Path, device: str
) -> tuple[Plan, Sampler, State, dict[str, Any]]:
    """A simulation where its last checkpoint left it, and the first checkpoint's plan."""
    last = Checkpoint.load(files[-1])
    last.check_system(system, folder)
    # Where walkers began, and what that took, stands in the first checkpoint's plan alone.
    description = Checkpoint.load(files[0]).plan
    settings = {field.name for field in fields(Plan)}
    wrong = f"the simulation in {folder} cannot go on: {files[0].name} and {files[-1].name} do not say how"
    with reading(wrong, "begin a new one"):
        plan = Plan(**{name: value for name, value in description.items() if name in settings})
        shape = plan.n_walkers, len(plan.temperatures(system)), system.n_atoms, 3
        if tuple(last.state.x.shape) != shape:
            raise ValueError(f"expected positions {shape}, got {tuple(last.state.x.shape)}")
    last.state.x = last.state.x.to(device)
    return plan, plan.sampler(system, device), last.state, description


def _remove(folder: Path, checkpoints: list[Path]) -> None:
    """Remove what an earlier simulation has left, the last checkpoint first: what remains can go on."""
    for path in (folder / SUMMARY, folder / REFERENCE, *reversed(checkpoints)):
        path.unlink(missing_ok=True)


class _Teller:
    """Tells of how far a simulation has come, if anybody listens."""

    def __init__(self, progress: Callable[[Progress], None] | None) -> None:
        self._progress = progress or (lambda progress: None)
        self._done, self._began = 0, time.perf_counter()
        self.wanted = 0
        self.statistics: dict[str, Any] = {}

    def begin(self, wanted: int) -> None:
        """Frames are recorded from here on, until there are so many of each walker."""
        self.wanted, self._began = wanted, time.perf_counter()

    def frame(self, stage: str, before: int, done: int) -> None:
        """A frame is recorded, the done-th after the `before` of earlier checkpoints."""
        self._done = before + done
        self.stage(stage)

    def stage(self, stage: str) -> None:
        """Something is being done."""
        seconds = time.perf_counter() - self._began
        self._progress(Progress(stage, self._done, self.wanted, seconds, self.statistics))
