"""Objectives on the target's energies at a temperature that falls step by step."""

import statistics
from abc import abstractmethod

import torch
from torch import Tensor

from boltzgen.flow.resampling import rates_once
from boltzgen.free_energy.weight_summary import weight_summary
from boltzgen.generator.target import PullbackEnergy
from boltzgen.training.guard import SPREAD, spread
from boltzgen.training.objective import Metrics
from boltzgen.training.run_objective import RunObjective, Task
from boltzgen.training.schedule import annealed_temperature
from boltzgen.weights import sampling_efficiency


class AnnealedObjective(RunObjective):
    """The base of objectives on energies: it owns the annealing and the metrics of the draws.

    The temperature falls from the generator's to the target's over `Settings.annealing` of the planned steps.
    A subclass says what is minimised at one temperature.
    """

    stage = "energies"

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        self.n_steps = 0
        self.start_temperature = self.temperature = task.generator.temperature
        self._log_w: list[Tensor] = []
        self._spreads: list[float] = []

    @abstractmethod
    def loss(self, target: PullbackEnergy) -> tuple[Tensor, Tensor]:
        """A loss towards the target at the present temperature, and the log-weights (n,) of the flow's draws.

        The loss is this rank's part of it. The log-weights are detached, of draws of the flow alone, of all
        ranks, -inf outside the domain.
        """

    def annealing(self, step: int) -> float:
        """Temperature in K of a step."""
        s = self.task.settings
        n_steps = s.annealing * s.rounds * s.steps
        return annealed_temperature(self.start_temperature, self.task.temperature, n_steps)(step)

    def step(self) -> tuple[Tensor, Metrics]:
        """The loss at the step's temperature, and the efficiency of its draws.

        The loss is given the value of the median of log q + u, minus log Z where the flow is the target.
        """
        temperature = self.annealing(self.n_steps)
        if temperature != self.temperature:
            self._log_w.clear()
        self.temperature = temperature
        generator = self.task.generator
        with rates_once(generator.flow, estimated=self.stream):
            loss, log_w = self.loss(PullbackEnergy(self.task.energy.at(temperature), generator.coordinates))
        self._log_w.append(log_w)
        self._spreads.append(spread(log_w))
        self.n_steps += 1
        # The mean of log q + u is that of a few clashes; the gradient is the loss's.
        value = -log_w[log_w.isfinite()].median()
        return loss - loss.detach() + value, {"sampling_efficiency": sampling_efficiency(log_w)}

    def end_round(self, average: dict[str, Tensor]) -> Metrics:
        """Of the round's draws at its last temperature, each weighted by the parameters that made it."""
        log_w, spreads = torch.cat(self._log_w), self._spreads
        self._log_w, self._spreads = [], []
        return weight_summary(log_w) | {SPREAD: statistics.median(spreads)}

    def state_dict(self) -> dict[str, Tensor]:
        """Number of steps and both temperatures."""
        numbers = [self.n_steps, self.start_temperature, self.temperature]
        return {"annealing": torch.tensor(numbers, dtype=torch.float64)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Go on at the step and temperature of a state."""
        n_steps, self.start_temperature, self.temperature = state["annealing"].tolist()
        self.n_steps = int(n_steps)
