"""A training run from a system to a checkpoint, in a folder from which it can go on."""

import dataclasses
import itertools
import json
import logging
import math
import os
import platform
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from boltzgen import __version__
from boltzgen.energy.base import CountedEnergy
from boltzgen.energy.choose import energy_for
from boltzgen.free_energy.weight_summary import weight_summary
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.generator.locate import SUMMARY
from boltzgen.locks import working_folder
from boltzgen.molecule.shipped import shipped_systems
from boltzgen.molecule.system import System
from boltzgen.samples.trajectory import iter_frames
from boltzgen.simulation.forward import forward_test
from boltzgen.storage import write_atomically
from boltzgen.training.checkpoint import check_resumable, load_run, save_run
from boltzgen.training.data import read_data
from boltzgen.training.folder import begin_folder, check_free
from boltzgen.training.objectives import objective_named
from boltzgen.training.progress import Progress
from boltzgen.training.settings import Settings
from boltzgen.training.timing import rounds_in
from boltzgen.training.training_run import TrainingRun

logger = logging.getLogger(__name__)

#: Share of the learning rate at which a generator goes on that was trained at the target already.
POLISH = 0.2
#: Fresh draws of the finished generator for the summary, and their seed.
_N_VALIDATION, _VALIDATION_SEED = 100_000, 2**31
#: How many draws take as long as these and their forward test.
VALIDATION_DRAWS = 2 * _N_VALIDATION
#: Of these draws, for each walker of the forward test of the summary; and its moves.
_PER_WALKER, _MOVES = 200, 20
#: What one of them takes, its share of the forward test included, in samples trained on; for the time left.
_VALIDATION_WORK = 0.5


def train(
    system: System,
    folder: str | os.PathLike[str],
    *,
    seed: int = 0,
    resume: bool = False,
    force: bool = False,
    device: str = "cpu",
    progress: Callable[[Progress], None] | None = None,
    objective: str | None = None,
    rounds: int | None = None,
    minutes: float | None = None,
    learning_rate: float | None = None,
    settings: Settings | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    data: str | os.PathLike[str] | None = None,
    topology: str | os.PathLike[str] | None = None,
    mixed: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """Train a generator for `system` from energies, data or both, and return the run's summary.

    `folder` gets `checkpoint.safetensors`, `metrics.jsonl` (a line for each round), the state to resume from,
    and at the end `summary.json`. Interrupted at any moment, the run goes on with `resume=True` from its last
    finished round.

    Args:
        system: the molecule.
        folder: of the run, made if it is missing.
        seed: of the initial parameters and of the training.
        resume: go on with the run in the folder.
        force: begin anew in a folder that holds a run. That stays as it is until the first round of this one
            is finished.
        device: torch device, for instance "cuda".
        progress: called after each step, and when something else is begun that takes time.
        objective: what is minimised on energies, a name of `boltzgen.training.objectives.OBJECTIVES`;
            instead of the settings'.
        rounds: of training on energies, instead of the settings' number.
        minutes: train on energies for as many rounds as this machine should finish in so long, the data
            before and the validation after included, instead of the settings' number. The rounds are counted
            out once, from the speed of a few steps, and kept in the run's settings.
        learning_rate: on energies, in place of the settings': by default by the molecule's size, see
            `learning_rate_for`. Where training diverges it is halved from there on.
        settings: all other numbers, by default `Settings()`; a resumed run keeps its own.
        checkpoint: a trained generator of this system to begin with (its file, or a folder that holds it): a
            new run whose temperature falls from that generator's if that is higher than the target. If it is
            not, there is less to learn than to spoil: the learning rate, unless `learning_rate` says it, is
            `POLISH` times the settings'. A resumed run keeps what it began with.
        data: trajectory or samples file of the target at the system's temperature, see `read_data`: maximum
            likelihood on it replaces the training from energies. A resumed run keeps its own, a copy of which
            lies in its folder.
        topology: of `data`, where its format holds none.
        mixed: go on with energies after the data, training on both.
        **options: of `molecular_flow`, for instance ``resampled=False``.

    Raises:
        FileExistsError: `resume` and `force` are false and the folder already holds a run; or it holds other
            files that a run would replace.
        BlockingIOError: another process writes into the folder.
        FileNotFoundError: `resume` is true and there is nothing to resume; or there is no such data or
            checkpoint.
        ValueError: the data or the checkpoint does not fit the system; arguments contradict each other.
    """
    given = {
        "objective": objective,
        "rounds": rounds,
        "minutes": minutes,
        "learning_rate": learning_rate,
        "settings": settings,
        "checkpoint": checkpoint,
        "data": data,
        "topology": topology,
        "mixed": mixed or None,
        **options,
    }
    _check({name for name, value in given.items() if value is not None}, resume=resume, options=set(options))
    if resume and force:
        raise ValueError("`resume` goes on with the folder's run, `force` begins anew; give one of them")
    if learning_rate is not None and not 0 < learning_rate < math.inf:
        raise ValueError(f"expected a positive `learning_rate`, got {learning_rate}")
    if minutes is not None and not 0 < minutes < math.inf:
        raise ValueError(f"expected a positive number of `minutes`, got {minutes}")
    folder = Path(folder)
    energy = CountedEnergy(energy_for(system))
    if resume:
        check_resumable(folder)
    else:
        changes: dict[str, Any] = {"objective": objective, "rounds": rounds, "learning_rate": learning_rate}
        settings = dataclasses.replace(
            settings or Settings(), **{k: v for k, v in changes.items() if v is not None}
        )
        objective_named(settings.objective)
        trained = None if checkpoint is None else BoltzmannGenerator.load(checkpoint, system)
        if data is not None:
            # What is wrong with a file mostly shows here, before the work.
            next(iter_frames(data, system, topology=topology))
        check_free(folder, force=force)
    with working_folder(folder):
        if resume:
            run = load_run(folder, system, energy.to(device), device=device, progress=progress)
        else:
            assert settings is not None
            check_free(folder, force=force)  # another process may have come first
            run = _begun(
                system,
                folder,
                energy,
                settings,
                trained,
                seed=seed,
                device=device,
                progress=progress,
                keep_rate=learning_rate is not None,
                minutes=minutes,
                data=data,
                topology=topology,
                mixed=mixed,
                options=options,
            )
        run.validation = _VALIDATION_WORK * _N_VALIDATION
        first = True
        while not run.done:
            run.run_round()
            if first:
                begin_folder(folder, _reference(system, folder), run.data, resumed=resume)
            first = False
            save_run(folder, run)
        return _summarize(folder, run, system, device)


def _begun(
    system: System,
    folder: Path,
    energy: CountedEnergy,
    settings: Settings,
    trained: BoltzmannGenerator | None,
    *,
    seed: int,
    device: str,
    progress: Callable[[Progress], None] | None,
    keep_rate: bool,
    minutes: float | None,
    data: str | os.PathLike[str] | None,
    topology: str | os.PathLike[str] | None,
    mixed: bool,
    options: dict[str, Any],
) -> TrainingRun:
    """A new run at its beginning; `trained` is the generator that it begins with, if any."""
    began = time.perf_counter()
    tell = progress or (lambda stage: None)
    tell(Progress("finding the energy minimum and its Hessian"))
    # The reference minimum and its Hessian are found on the CPU, in float64, whatever the device.
    generator = trained or BoltzmannGenerator.for_system(
        system,
        energy,
        seed=seed,
        temperature=settings.start(system.temperature) if data is None else system.temperature,
        **options,
    )
    generator.seed = seed
    settings = settings.for_size(generator.flow.event_shape[0])
    if not keep_rate and trained is not None and trained.temperature <= system.temperature:
        settings = dataclasses.replace(settings, learning_rate=POLISH * settings.rate)
    frames = None
    if data is not None:
        tell(Progress("reading the data"))
        used = energy if mixed else None
        frames = read_data(data, system, generator.coordinates, topology=topology, energy=used)
        frames = frames.to(device)
    generator.to(device)
    if minutes is not None:
        tell(Progress("measuring how fast this machine is"))
        left = 60 * minutes - (time.perf_counter() - began)
        n_rounds = rounds_in(
            left, generator, energy, settings, validation=VALIDATION_DRAWS, data=frames is not None
        )
        settings = dataclasses.replace(settings, rounds=n_rounds)
    run = TrainingRun(
        generator,
        energy.to(device),
        system.temperature,
        settings,
        seed=seed,
        data=frames,
        progress=progress,
    )
    run.seconds = time.perf_counter() - began
    return run


def _check(given: set[str], *, resume: bool, options: set[str]) -> None:
    """Raise ValueError where arguments contradict each other; `given` names those that are not None."""
    if resume and given:
        kept = ", ".join(f"`{name}`" for name in sorted(given))
        raise ValueError(f"a resumed run goes on as it was started; leave out {kept}")
    if {"minutes", "rounds"} <= given:
        raise ValueError("`minutes` and `rounds` both say how long to train; give one of them")
    if "data" not in given and given & {"topology", "mixed"}:
        raise ValueError("a `topology`, or training on data and energies `mixed`, needs `data`")
    if "checkpoint" in given and options:
        raise ValueError(f"a trained generator has its own flow; leave out {', '.join(sorted(options))}")
    if {"learning_rate", "data"} <= given and "mixed" not in given:
        raise ValueError(
            "the `learning_rate` is that of training on energies, and training on data alone has its own; "
            "leave out `learning_rate`, or add `mixed`"
        )
    if {"minutes", "data"} <= given and "mixed" not in given:
        raise ValueError(
            "training on data alone ends when the likelihood of the frames held out does; leave out "
            "`minutes`, or add `mixed`"
        )


def _summarize(folder: Path, run: TrainingRun, system: System, device: str) -> dict[str, Any]:
    """Write the summary of a finished run, of fresh draws whose energies count as well, and return it."""
    began = time.perf_counter()
    generator = BoltzmannGenerator.load(folder, system, device=device)
    log_w: list[torch.Tensor] = []
    for chunk in generator.sample_chunks(_N_VALIDATION, run.energy, seed=_VALIDATION_SEED):
        log_w.append(chunk.log_w)
        run.tell("drawing for the summary", validated=0.5 * sum(map(len, log_w)) / _N_VALIDATION)
    found = weight_summary(torch.cat(log_w))
    forward = _forward(generator, run)
    summary = _reference(system, folder) | {
        "system_name": system.name,
        "temperature": generator.temperature,
        "seconds": run.seconds + time.perf_counter() - began,
        "n_energy_evaluations": run.energy.n_evaluations,
        "n_validation": found.pop("n_samples"),
        **found,
        **forward,
        "seed": generator.seed,
        "versions": {
            "boltzgen": __version__,
            "torch": torch.__version__,
            "openmm": metadata.version("openmm"),
            "python": platform.python_version(),
        },
    }
    if run.data is not None:
        summary |= run.data.summary() | _likelihoods(run.metrics)
    summary |= {"settings": run.settings.as_dict(), "hardware": _hardware(device)}
    write_atomically(folder / SUMMARY, json.dumps(summary, indent=1).encode())
    return summary


def _forward(generator: BoltzmannGenerator, run: TrainingRun) -> dict[str, Any]:
    """What the forward test says of a finished generator; nothing where its simulations cannot be run."""
    moves = itertools.count(1)
    try:
        test = forward_test(
            generator,
            run.energy,
            n_walkers=max(1, _N_VALIDATION // _PER_WALKER),
            n_moves=_MOVES,
            seed=_VALIDATION_SEED,
            progress=lambda done: run.tell("forward test", validated=0.5 + 0.5 * next(moves) / _MOVES),
        )
    except ValueError as error:
        logger.warning("no forward test: %s", error)
        return {}
    if test.flagged:
        logger.warning("%s", test.sentence)
    return {"forward_ess": test.forward_ess, "largest_log_w": test.largest, "forward": test.summary()}


def _likelihoods(metrics: list[dict[str, Any]]) -> dict[str, Any]:
    """Negative log-likelihoods of the parameters that were kept.

    Those after the best round on data alone, or after the last one with energies.
    """
    data = [m for m in metrics if m["stage"] == "data"]
    best = min(data, key=lambda m: m["held_out_nll"])
    kept = metrics[-1] if metrics[-1]["stage"] != "data" else best
    return {"held_out_nll": kept["held_out_nll"], "data_nll": best["nll"], "best_data_round": best["round"]}


def _reference(system: System, run: Path) -> dict[str, str]:
    """What finds the system again.

    A shipped name, or its folder's absolute path and the one from the run's folder, should both have moved.
    """
    if system.folder is None or system.folder in shipped_systems().values():
        return {"system": system.name}
    return {
        "system": str(system.folder.resolve()),
        "system_from_run": os.path.relpath(system.folder.resolve(), run.resolve()),
    }


def _hardware(device: str) -> dict[str, Any]:
    name = platform.processor() or platform.machine()
    if device.startswith("cuda"):
        name = torch.cuda.get_device_name(device)
    return {"device": device, "name": name, "threads": torch.get_num_threads()}
