"""How fast this machine trains and draws, by a few steps and draws."""

import copy
import dataclasses
import time
from collections.abc import Callable

import torch

from boltzgen.energy.base import CountedEnergy, Energy
from boltzgen.energy.choose import energy_for
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.molecule.system import System
from boltzgen.samples.shards import BLOCK
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.simulation.hmc import Configurations
from boltzgen.training.budget import Speed
from boltzgen.training.progress import Progress
from boltzgen.training.ranks import ALONE, Ranks
from boltzgen.training.settings import Settings, stiff_width_for
from boltzgen.training.training_run import TrainingRun
from boltzgen.training.walkers import N_ANNEALING, N_DESCENT, N_STEPS

#: Steps that are timed, after as many that are not.
_STEPS = 3
#: Seconds: what took as long the first time, with what is compiled then, is not timed again.
_LONG = 10.0
#: Forces of the forward test and its search for basins, and draws for its starts, for each draw of the
#: summary.
_FORCES, _STARTS = 1.75, 0.08


def measured_speed(
    generator: BoltzmannGenerator,
    energy: CountedEnergy,
    settings: Settings,
    *,
    data: bool,
    ranks: Ranks = ALONE,
) -> Speed:
    """How fast this machine trains on energies from now on; several ranks all at once, as the first sees it.

    A few draws are made and a copy of the generator takes a few steps; their energies are counted as any
    others. Training on data, in steps of half the work, is in `start` where there is any.

    Args:
        generator: to be trained; it stays as it is.
        energy: of its system.
        settings: of the run.
        data: whether training on data comes first.
        ranks: the processes that train together.
    """
    draw, force = _draw_and_force(generator, energy)
    # A round's end is told by no step: what it takes beside its steps weighs more in a round of few.
    ends: list[float] = []
    short_round = _short_round(
        generator,
        energy,
        settings,
        data=data,
        progress=lambda told: None if told.round is None else ends.append(_now(generator.device)),
        ranks=ranks,
    )
    step = (ends[-1] - ends[-_STEPS]) / (_STEPS - 1)
    start = 0.0
    if data:
        start = 0.5 * step * settings.data_rounds * settings.data_steps * settings.data_batch / settings.batch
    elif settings.walker_share > 0:
        cooled = N_ANNEALING * N_STEPS if generator.temperature < settings.start_temperature else 0
        start = settings.walkers * force * (N_DESCENT + cooled) / ranks.size
    of_round = short_round + (settings.steps - _STEPS) * step
    return Speed(*ranks.told([start, of_round, _of_summary(draw, force) / ranks.size]))


def training_speed(system: System, settings: Settings | None = None) -> Speed:
    """How fast training of a new generator for a system is here; a few steps are made to tell.

    Args:
        system: to be trained.
        settings: of the run, by default `Settings()`.
    """
    began = _now(torch.device("cpu"))
    energy = CountedEnergy(energy_for(system))
    settings = settings or Settings()
    generator = BoltzmannGenerator.for_system(
        system,
        energy,
        temperature=settings.start(system.temperature),
        stiff_width=stiff_width_for(settings.rounds),
    )
    before = _now(torch.device("cpu")) - began
    settings = settings.for_size(generator.flow.event_shape[0])
    speed = measured_speed(generator, energy, settings, data=False)
    return dataclasses.replace(speed, start=before + speed.start)


def summary_draw_seconds(generator: BoltzmannGenerator, energy: Energy) -> float:
    """Seconds of a draw of the summary, with its share of the forward test."""
    return _of_summary(*_draw_and_force(generator, energy))


def _of_summary(draw: float, force: float) -> float:
    return (1 + _STARTS) * draw + _FORCES * force


def _draw_and_force(generator: BoltzmannGenerator, energy: Energy) -> tuple[float, float]:
    """Seconds of a draw with its energy, and of a conformation's energy and gradient."""
    device = generator.device
    moved = energy.to(device)
    drawn: list[WeightedSamples] = []
    draw = _timed(lambda: drawn.extend(generator.sample_chunks(BLOCK, moved)), device)
    some = drawn[0].x[: BLOCK // 2].to(device)
    return draw / BLOCK, _timed(lambda: Configurations.at(moved, some), device) / (BLOCK // 2)


def _short_round(
    generator: BoltzmannGenerator,
    energy: CountedEnergy,
    settings: Settings,
    *,
    data: bool,
    progress: Callable[[Progress], None],
    ranks: Ranks,
) -> float:
    """Seconds of a round of a few steps on energies.

    `progress` is called as training calls it, in two rounds, of which the second one is timed.
    """
    device = generator.device
    # No more walkers than move, and none that have to be annealed: what they cost once is counted apart.
    # With data there are none.
    share = 0.0 if data else settings.walker_share
    few = dataclasses.replace(
        settings,
        walkers=int(share * settings.batch),
        walker_share=share,
        start_temperature=generator.temperature,
        rounds=2,
        steps=_STEPS,
    )
    run = TrainingRun(
        copy.deepcopy(generator),
        energy.to(device),
        generator.temperature,
        few,
        seed=0,
        progress=progress,
        ranks=ranks,
    )
    return _timed(run.run_round, device, ranks)  # the first time starts the walkers


def _timed(work: Callable[[], object], device: torch.device, ranks: Ranks = ALONE) -> float:
    """Seconds of some work the second time, since the first one compiles; the first time's if it is long.

    Work that `ranks` do together they do as often, by the clock of the first.
    """
    took = _once(work, device)
    return took if ranks.agree(took > _LONG) else _once(work, device)


def _once(work: Callable[[], object], device: torch.device) -> float:
    began = _now(device)
    work()
    return _now(device) - began


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
