"""A training run from a system to a checkpoint, in a folder from which it can go on."""

import dataclasses
import logging
import math
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from boltzgen.energy.base import CountedEnergy
from boltzgen.energy.choose import energy_for
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.locks import working_folder
from boltzgen.molecule.system import System
from boltzgen.samples.trajectory import iter_frames
from boltzgen.training import run_summary
from boltzgen.training.budget import LEAST_ROUNDS, Speed, draws_in, shortfall
from boltzgen.training.checkpoint import check_resumable, load_run, save_run, was_restarted
from boltzgen.training.data import read_data
from boltzgen.training.folder import begin_folder, check_free, reference_to
from boltzgen.training.objectives import objective_named
from boltzgen.training.picture import TrainingPicture
from boltzgen.training.process_group import TIMEOUT, joined
from boltzgen.training.progress import Progress
from boltzgen.training.ranks import OtherRankError, Ranks
from boltzgen.training.run_summary import VALIDATION_WORK, summarize
from boltzgen.training.settings import Settings, stiff_width_for
from boltzgen.training.timing import measured_speed
from boltzgen.training.training_run import TrainingRun, check_shares

logger = logging.getLogger(__name__)

#: Share of the learning rate at which a generator goes on that was trained at the target already.
POLISH = 0.2


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
    timeout: float = TIMEOUT,
    **options: Any,
) -> dict[str, Any]:
    """Train a generator for `system` from energies, data or both, and return the run's summary.

    `folder` gets `checkpoint.safetensors`, `metrics.jsonl` (a line for each round), `training.png` (drawn
    anew now and then), the state to resume from, and at the end `summary.json`. Interrupted at any moment,
    the run goes on with `resume=True` from its last finished round.

    Started by torchrun, or any other launcher that sets the variables of torch's ``env://``, the processes
    train one generator together: each makes its share of the draws. All call this function with the same
    arguments, the first one alone writes, and all return the summary. Those that torchrun starts again after
    a failure go on with the run, whatever `resume` says.

    Args:
        system: the molecule.
        folder: of the run, made if it is missing.
        seed: of the initial parameters and of the training.
        resume: go on with the run in the folder.
        force: begin anew in a folder that holds a run. That stays as it is until the first round of this one
            is finished.
        device: torch device, for instance "cuda": of several processes each then takes a GPU of its own.
        progress: called after each step, and when something else is begun that takes time.
        objective: what is minimised on energies, a name of `boltzgen.training.objectives.OBJECTIVES`;
            instead of the settings'.
        rounds: of training on energies, instead of the settings' number.
        minutes: train on energies for as many rounds as this machine should finish in so long, the data
            before and the summary after included, instead of the settings' number. The rounds are counted
            out from the speed of a few steps, anew after each of the first half of them, and kept in the
            run's settings; a warning says where they are too few to anneal in. The summary has as many
            draws as the time left allows, at least 10,000; that of a resumed run has them all.
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
        timeout: seconds after which another process that does not answer is given up.
        **options: of `molecular_flow`, for instance ``resampled=False``.

    Raises:
        FileExistsError: `resume` and `force` are false and the folder already holds a run; or it holds other
            files that a run would replace.
        BlockingIOError: another process writes into the folder.
        FileNotFoundError: `resume` is true and there is nothing to resume; or there is no such data or
            checkpoint.
        ValueError: the data or the checkpoint does not fit the system; arguments contradict each other.
        ConnectionError: another process of this training ended, or did not answer within the `timeout`.
        OtherRankError: another process of this training failed, and says itself why.
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
    folder, began, trained = Path(folder), time.perf_counter(), None
    with joined(device, timeout=timeout) as (ranks, device), ExitStack() as work:
        with ranks.together():
            names = {name for name, value in given.items() if value is not None}
            _check(names, resume=resume, force=force, options=set(options))
            _check_numbers(learning_rate=learning_rate, minutes=minutes)
            resume = resume or was_restarted(folder)
            energy = CountedEnergy(energy_for(system))
            if resume:
                check_resumable(folder)
            else:
                changes: dict[str, Any] = {
                    "objective": objective,
                    "rounds": rounds,
                    "learning_rate": learning_rate,
                }
                settings = dataclasses.replace(
                    settings or Settings(), **{k: v for k, v in changes.items() if v is not None}
                )
                objective_named(settings.objective)
                trained = None if checkpoint is None else BoltzmannGenerator.load(checkpoint, system)
                if data is not None:
                    # What is wrong with a file mostly shows here, before the work.
                    next(iter_frames(data, system, topology=topology))
                check_free(folder, force=force)
        with ranks.together():
            if ranks.is_writer:
                work.enter_context(working_folder(folder))
                if not resume:
                    check_free(folder, force=force)  # another process may have come first
        if resume:
            with ranks.together():
                run = load_run(
                    folder, system, energy.to(device), device=device, progress=progress, ranks=ranks
                )
            run.validation = VALIDATION_WORK * run_summary.MOST_DRAWS
        else:
            assert settings is not None
            run = _begun(
                system,
                energy,
                settings,
                trained,
                seed=seed,
                device=device,
                progress=progress,
                began=began,
                keep_rate=learning_rate is not None,
                minutes=minutes,
                data=data,
                topology=topology,
                mixed=mixed,
                ranks=ranks,
                options=options,
            )
        _go_through(run, folder, resumed=resume)
        ends = None if minutes is None or resume else began + 60 * minutes
        return summarize(folder, run, system, device, ends=ends)


def _go_through(run: TrainingRun, folder: Path, *, resumed: bool) -> None:
    """All rounds that are left, each of them saved."""
    ranks, system, first = run.ranks, run.generator.system, True
    picture = TrainingPicture(folder, f"training of {system.name}")
    with ranks.interruptible():
        while not run.done:
            try:
                run.run_round()
            except FloatingPointError as error:  # of all ranks, which need not all say so
                if ranks.is_writer:
                    raise
                raise OtherRankError(str(error)) from error
            with ranks.together():
                if first and ranks.is_writer:
                    begin_folder(folder, reference_to(system, folder), run.data, resumed=resumed)
            first = False
            save_run(folder, run)
            with ranks.together():
                if ranks.is_writer:
                    picture.update(run.metrics, last=run.done)


def _begun(
    system: System,
    energy: CountedEnergy,
    settings: Settings,
    trained: BoltzmannGenerator | None,
    *,
    seed: int,
    device: str,
    progress: Callable[[Progress], None] | None,
    began: float,
    keep_rate: bool,
    minutes: float | None,
    data: str | os.PathLike[str] | None,
    topology: str | os.PathLike[str] | None,
    mixed: bool,
    ranks: Ranks,
    options: dict[str, Any],
) -> TrainingRun:
    """A new run at its beginning; `trained` is the generator that it begins with, if any."""
    tell = progress or (lambda stage: None)
    hot = settings.start(system.temperature) if data is None else system.temperature
    # Data alone has few rounds of its own; how many the minutes have room for is not known yet.
    annealed = trained is None and (data is None or mixed)
    given = settings.rounds if annealed and minutes is None else 0

    def untrained(rounds: int) -> BoltzmannGenerator:
        flow = {"stiff_width": stiff_width_for(rounds), **options}
        return BoltzmannGenerator.for_system(system, energy, seed=seed, temperature=hot, **flow)

    with ranks.together():
        tell(Progress("finding the energy minimum and its Hessian"))
        # The reference minimum and its Hessian are found on the CPU, in float64, whatever the device.
        generator = trained or untrained(given)
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
        check_shares(settings, frames, ranks)
    validation, speed, ends = VALIDATION_WORK * run_summary.MOST_DRAWS, None, 0.0
    if minutes is not None:
        ends = began + 60 * minutes
        tell(Progress("measuring how fast this machine is"))

        def timed() -> tuple[Speed, float, int]:
            speed = measured_speed(generator, energy, settings, data=frames is not None, ranks=ranks)
            spent = ranks.told(time.perf_counter() - began)
            return speed, spent, speed.rounds_in(60 * minutes - spent, most_draws=run_summary.MOST_DRAWS)

        speed, spent, rounds = timed()
        if annealed and "stiff_width" not in options and stiff_width_for(rounds) != stiff_width_for(given):
            with ranks.together():
                energy.to("cpu")
                generator = untrained(rounds)
                generator.to(device)
            speed, spent, rounds = timed()
        if few := shortfall(minutes, rounds, speed, spent=spent, most_draws=run_summary.MOST_DRAWS):
            logger.warning("%s", few)
        settings = dataclasses.replace(settings, rounds=rounds)
        left = 60 * minutes - spent - speed.seconds(rounds, 0)
        validation = VALIDATION_WORK * draws_in(left, speed.draw, most=run_summary.MOST_DRAWS)
    run = TrainingRun(
        generator,
        energy.to(device),
        system.temperature,
        settings,
        seed=seed,
        data=frames,
        progress=progress,
        ranks=ranks,
    )
    run.seconds, run.validation = time.perf_counter() - began, validation
    if speed is not None:
        times: list[float] = []

        def replan(done: int, planned: int, took: float) -> int:
            times.append(took)
            left = ends - time.perf_counter()
            found = speed.rounds_after(
                done, planned, took=sum(times), left=left, most_draws=run_summary.MOST_DRAWS
            )
            if planned < LEAST_ROUNDS <= found:
                logger.warning(
                    "this machine is less busy than when it was timed: %d rounds fit after all, and training "
                    "anneals over those that are left",
                    found,
                )
            return found

        run.replan = replan
    return run


def _check(given: set[str], *, resume: bool, force: bool, options: set[str]) -> None:
    """Raise ValueError where arguments contradict each other; `given` names those that are not None."""
    if resume and force:
        raise ValueError("`resume` goes on with the folder's run, `force` begins anew; give one of them")
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


def _check_numbers(*, learning_rate: float | None, minutes: float | None) -> None:
    """Raise ValueError unless what is given is positive and finite."""
    if learning_rate is not None and not 0 < learning_rate < math.inf:
        raise ValueError(f"expected a positive `learning_rate`, got {learning_rate}")
    if minutes is not None and not 0 < minutes < math.inf:
        raise ValueError(f"expected a positive number of `minutes`, got {minutes}")
