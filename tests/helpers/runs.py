"""Training runs in miniature."""

import json
from pathlib import Path
from typing import Any

from boltzgen.energy.base import CountedEnergy
from boltzgen.energy.choose import energy_for
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.training.checkpoint import METRICS
from boltzgen.training.progress import Progress
from boltzgen.training.settings import Settings
from boltzgen.training.training_run import TrainingRun

#: Six short rounds, the last three at the target, with sixteen walkers.
TINY = Settings(rounds=6, steps=3, batch=64, walkers=16)
#: At the target from the first step on, without moving a parameter.
STILL = {"rounds": 1, "batch": 64, "learning_rate": 0.0, "annealing": 0.0}


def started(generator: BoltzmannGenerator, settings: Settings) -> TrainingRun:
    system = generator.system
    return TrainingRun(generator, CountedEnergy(energy_for(system)), system.temperature, settings, seed=1)


def timeless(folder: Path) -> list[dict[str, Any]]:
    """The metrics of a run, without what differs between two equal ones."""
    return [
        {k: v for k, v in json.loads(line).items() if k != "seconds"}
        for line in (folder / METRICS).read_text().splitlines()
    ]


class StopAt:
    """A progress callback that interrupts at the n-th step.

    Attributes:
        seen: of the steps.
        told: of the steps and of what is done before and after them.
    """

    def __init__(self, n: int) -> None:
        self.left = n
        self.seen: list[Progress] = []
        self.told: list[Progress] = []

    def __call__(self, progress: Progress) -> None:
        self.told.append(progress)
        if progress.round is None:
            return
        self.seen.append(progress)
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt
