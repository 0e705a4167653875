"""How many rounds of training fit into a time."""

import copy
import dataclasses
import time

import torch

from boltzgen.energy.base import CountedEnergy
from boltzgen.generator.generator import BLOCK, BoltzmannGenerator
from boltzgen.training.settings import Settings
from boltzgen.training.training_run import TrainingRun

#: Steps that are timed, after as many that are not.
_STEPS = 5


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
    device = generator.device
    moved = energy.to(device)
    for _ in range(2):  # the first time compiles
        began = _now(device)
        for _ in generator.sample_chunks(BLOCK, moved):
            pass
    drawing = (_now(device) - began) * validation / BLOCK
    # No more walkers than move, and none that have to be annealed: what they cost once is little beside the
    # rounds. With data there are none.
    share = 0.0 if data else settings.walker_share
    few = dataclasses.replace(
        settings,
        walkers=int(share * settings.batch),
        walker_share=share,
        start_temperature=generator.temperature,
        rounds=2,
        steps=_STEPS,
    )
    run = TrainingRun(copy.deepcopy(generator), moved, generator.temperature, few, seed=0)
    for _ in range(2):  # the first time compiles, and starts the walkers
        began = _now(device)
        run.run_round()
    step = (_now(device) - began) / _STEPS
    in_batch = settings.data_batch / settings.batch
    before = 0.5 * step * settings.data_rounds * settings.data_steps * in_batch if data else 0.0
    return max(1, int((seconds - drawing - before - 2 * _STEPS * step) / (step * settings.steps)))


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
