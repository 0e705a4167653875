"""How many rounds of training fit into a time."""

import copy
import dataclasses
import time

import torch

from boltzgen.energy.base import CountedEnergy
from boltzgen.generator.generator import BLOCK, BoltzmannGenerator
from boltzgen.training.settings import Settings
from boltzgen.training.trainer import Trainer, start

#: Steps that are timed, after one that is not.
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
    """Rounds of training on energies that this machine should finish in so many seconds with `validation`
    draws after them: at least one.

    A few draws are made and a copy of the generator takes a few steps; their energies are counted as any
    others. Training on data, in steps of half the work, is taken off where there is any.
    """
    device = generator.device
    moved = energy.to(device)
    for _ in range(2):  # the first time compiles
        began = _now(device)
        for _ in generator.sample_chunks(BLOCK, moved):
            pass
    drawing = (_now(device) - began) * validation / BLOCK
    probe = copy.deepcopy(generator)
    # No more walkers than move, and none that have to be cooled: what they cost once is little beside the
    # rounds. With data there are none.
    share = 0.0 if data else settings.walker_share
    walkers = int(share * settings.batch)
    few = dataclasses.replace(
        settings, walkers=walkers, walker_share=share, start_temperature=generator.temperature
    )
    state = start(probe, few)
    for steps in (1, _STEPS):
        began = _now(device)
        Trainer(
            moved, generator.temperature, dataclasses.replace(few, rounds=3, steps=steps), seed=0
        ).run_round(state)
    step = (_now(device) - began) / _STEPS
    before = (
        0.5 * step * settings.data_rounds * settings.data_steps * settings.data_batch / settings.batch
        if data
        else 0.0
    )
    return max(1, int((seconds - drawing - before - (_STEPS + 1) * step) / (step * settings.steps)))


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
