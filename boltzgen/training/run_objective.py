"""What a molecule's generator is trained by in a run that can be resumed after each of its rounds."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from boltzgen.energy.base import CountedEnergy
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.training.data import Data
from boltzgen.training.objective import Metrics, Objective
from boltzgen.training.ranks import ALONE, Ranks
from boltzgen.training.settings import Settings


@dataclass
class Task:
    """What a molecule's objectives are made from.

    Attributes:
        generator: whose flow is trained.
        energy: of its system, on the generator's device; counts its evaluations.
        temperature: of the target, in K.
        settings: the run's, whose number of rounds may change between rounds.
        seed: of all randomness that does not come from a round's stream.
        data, held_out: frames to train on, and frames to judge the training by; None without data.
        ranks: the processes that train together; this one alone by default.
    """

    generator: BoltzmannGenerator
    energy: CountedEnergy
    temperature: float
    settings: Settings
    seed: int = 0
    data: Data | None = None
    held_out: Data | None = None
    ranks: Ranks = ALONE


class RunObjective(Objective):
    """An objective of a training run, made as `cls(task)`, which saves its state after each round.

    Of several ranks each makes its part of the losses. All call every method.

    Attributes:
        task: what it was made from.
        temperature: in K, at which the flow was trained last.
    """

    #: Name of the run's stage, in metrics and progress.
    stage: ClassVar[str]
    #: What comes before the first step of a run that begins with it, in words.
    opening: ClassVar[str] = "taking the first step"
    temperature: float

    def __init__(self, task: Task) -> None:
        self.task = task

    @property
    def finished(self) -> bool:
        """Whether there is nothing more to gain, whatever number of rounds was planned."""
        return False

    def start_round(self, stream: torch.Generator, shared: torch.Generator | None = None) -> None:
        """Begin a round.

        Args:
            stream: of this rank, for all random numbers of the following steps.
            shared: for what must be the same on all ranks, such as the order of data; by default `stream`.
        """
        self.stream = stream

    def end_round(self, average: dict[str, Tensor]) -> Metrics:
        """Metrics of the round; `average` is the flow's state with averaged parameters."""
        return {}

    def chosen(self, average: dict[str, Tensor]) -> dict[str, Tensor]:
        """The state of the flow that a checkpoint should hold: by default that of averaged parameters."""
        return average
