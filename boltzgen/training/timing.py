"""How long training takes on this machine, and how many rounds of it fit into a time."""

import copy
import dataclasses
import time
from collections.abc import Callable

import torch

from boltzgen.energy.base import CountedEnergy
from boltzgen.energy.choose import energy_for
from boltzgen.generator.generator import BLOCK, BoltzmannGenerator
from boltzgen.molecule.system import System
from boltzgen.training.progress import Progress
from boltzgen.training.settings import Settings
from boltzgen.training.training_run import TrainingRun

#: Steps that are timed, after as many that are not.
_STEPS = 5
#: For an estimate alone.
_FEW_STEPS = 3


def rounds_in(
    seconds: float,
    generator: BoltzmannGenerator,
    energy: CountedEnergy,
    settings: Settings,
    *,
    validation: int,
    data: bool,
) -> int:
    """Rounds of training on energies that this machine should finish in some seconds: at least one.

    A few draws are made and a copy of the generator takes a few steps; their energies are counted as any
    others. Training on data, in steps of half the work, is taken off where there is any.

    Args:
        seconds: there are.
        generator: to be trained; it stays as it is.
        energy: of its system.
        settings: of the run.
        validation: draws that are made after the rounds.
        data: whether training on data comes first.
    """
    short_round, draw = _times(generator, energy, settings, steps=_STEPS, data=data)
    step = short_round / _STEPS
    in_batch = settings.data_batch / settings.batch
    before = 0.5 * step * settings.data_rounds * settings.data_steps * in_batch if data else 0.0
    return max(1, int((seconds - draw * validation - before - 2 * _STEPS * step) / (step * settings.steps)))


def training_seconds(system: System, settings: Settings | None = None, *, validation: int) -> float:
    """About how many seconds training on energies takes here; a few steps are made to tell.

    Args:
        system: to be trained.
        settings: of the run, by default `Settings()`.
        validation: draws that are made after the rounds.
    """
    began = _now(torch.device("cpu"))
    energy = CountedEnergy(energy_for(system))
    generator = BoltzmannGenerator.for_system(system, energy)
    before = _now(torch.device("cpu")) - began
    settings = (settings or Settings()).for_size(generator.flow.event_shape[0])
    ends: list[float] = []
    short_round, draw = _times(
        generator,
        energy,
        settings,
        steps=_FEW_STEPS,
        data=False,
        progress=lambda told: None if told.round is None else ends.append(_now(generator.device)),
    )
    # What a round takes beside its steps weighs more in a round of few.
    step = (ends[-1] - ends[-_FEW_STEPS]) / (_FEW_STEPS - 1)
    whole_round = short_round + (settings.steps - _FEW_STEPS) * step
    return before + whole_round * settings.rounds + draw * validation


def _times(
    generator: BoltzmannGenerator,
    energy: CountedEnergy,
    settings: Settings,
    *,
    steps: int,
    data: bool,
    progress: Callable[[Progress], None] | None = None,
) -> tuple[float, float]:
    """Seconds of a round of so many steps on energies, and of a draw with its energy.

    `progress` is called as training calls it, in two rounds, of which the second one is timed.
    """
    device = generator.device
    moved = energy.to(device)
    for _ in range(2):  # the first time compiles
        began = _now(device)
        for _ in generator.sample_chunks(BLOCK, moved):
            pass
    drawing = _now(device) - began
    # No more walkers than move, and none that have to be annealed: what they cost once is little beside the
    # rounds. With data there are none.
    share = 0.0 if data else settings.walker_share
    few = dataclasses.replace(
        settings,
        walkers=int(share * settings.batch),
        walker_share=share,
        start_temperature=generator.temperature,
        rounds=2,
        steps=steps,
    )
    run = TrainingRun(copy.deepcopy(generator), moved, generator.temperature, few, seed=0, progress=progress)
    for _ in range(2):  # the first time compiles, and starts the walkers
        began = _now(device)
        run.run_round()
    return _now(device) - began, drawing / BLOCK


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
