"""A training run: stages of rounds, each round from a saved state to the next."""

import dataclasses
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from boltzgen.energy.base import CountedEnergy, check_energy_of
from boltzgen.flow.mixture import DefensiveMixture
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.seeding import random_stream
from boltzgen.training.data import Data
from boltzgen.training.data_objective import DataObjective
from boltzgen.training.fit import AdaptiveClipping, ParameterAverage, fit, using
from boltzgen.training.guard import MOST_HALVINGS, WENT_BACK, Snapshot, diverged, n_halvings, settled
from boltzgen.training.objective import Metrics
from boltzgen.training.objectives import objective_named
from boltzgen.training.optimizer import MatrixOptimizer
from boltzgen.training.progress import VALIDATION, Progress, fraction_done
from boltzgen.training.ranks import ALONE, Ranks
from boltzgen.training.run_objective import RunObjective, Task
from boltzgen.training.schedule import cosine, warmup_hold_cosine
from boltzgen.training.settings import Settings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stage:
    """Rounds that one objective is minimised in.

    Attributes:
        objective: made from the run's task.
        rounds, steps: rounds at most, and steps in each.
        schedule: factor of the learning rate in each step.
        learning_rate: of the `MatrixOptimizer`.
        weight_decay: of the torsions' flow and of the rest's.
    """

    objective: type[RunObjective]
    rounds: int
    steps: int
    schedule: Callable[[int], float]
    learning_rate: float
    weight_decay: tuple[float, float]


def stages(settings: Settings, data: Data | None) -> list[Stage]:
    """Energies; or data, and after it energies as well where those of the frames are known."""
    s, found = settings, []
    mixed = data is not None and data.potential is not None
    if data is not None:
        schedule = cosine(s.data_rounds * s.data_steps)
        decay = (0.0 if mixed else s.data_weight_decay,) * 2
        found.append(Stage(DataObjective, s.data_rounds, s.data_steps, schedule, s.data_learning_rate, decay))
    if data is None or mixed:
        schedule = warmup_hold_cosine(s.rounds * s.steps, s.warmup, s.hold)
        objective, decay = objective_named(s.objective), (s.torsion_weight_decay, 0.0)
        found.append(Stage(objective, s.rounds, s.steps, schedule, s.rate, decay))
    return found


class TrainingRun:
    """Trains a generator to its system's Boltzmann distribution at a target temperature, round by round.

    All randomness of a round derives from (seed, number of the round), and of all ranks but the first from
    the number of the rank besides, so that a round repeated from the same state by as many ranks gives the
    same result.

    Args:
        generator: to be trained; its temperature is where an annealing begins.
        energy: of its system, on the generator's device.
        temperature: of the target, in K.
        settings: see `Settings`.
        seed: of the training.
        data: frames to train on, with or without their energies.
        progress: called after each step.
        ranks: the processes that train together.

    Raises:
        ValueError: the energy is that of another system; or a step has too few draws for so many ranks.

    Attributes:
        average: exponential average of the flow's parameters over the stage.
        stage: index of the present stage; `stage_round` counts rounds within it and `round_index` over the
            run.
        settled: the state that training goes back to where it diverges.
        seconds: spent on training.
        replan: after each round on energies, gives the stage's rounds from those done, those planned and the
            seconds of the last one; None where they are fixed.
        validation: work of what is done after the rounds, in samples trained on; see `fraction_done`.
        metrics: a record for each round.
    """

    def __init__(
        self,
        generator: BoltzmannGenerator,
        energy: CountedEnergy,
        temperature: float,
        settings: Settings,
        *,
        seed: int,
        data: Data | None = None,
        progress: Callable[[Progress], None] | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        check_energy_of(generator.system, energy)
        check_shares(settings, data, ranks)
        train, held_out = (None, None) if data is None else data.split()
        settings = settings.for_size(generator.flow.event_shape[0])
        self.task = Task(generator, energy, temperature, settings, seed, train, held_out, ranks)
        self.ranks = ranks
        self.generator, self.energy, self.settings, self.seed = generator, energy, settings, seed
        self.data = data
        self.progress = progress
        self.stages = stages(settings, data)
        self.optimizer = MatrixOptimizer(
            generator.flow.leading,
            generator.flow.conditional,
            learning_rate=self.stages[0].learning_rate,
        )
        self.stage, self.stage_round, self.round_index = 0, 0, 0
        self.seconds, self.validation = 0.0, 0.0
        self.metrics: list[dict[str, Any]] = []
        self.replan: Callable[[int, int, float], int] | None = None
        self._counted = energy.n_evaluations, energy.n_evaluations
        self.begin_stage()

    def begin_stage(self) -> None:
        """Make the objective of the present stage, and forget what the last one left."""
        flow, stage = self.generator.flow, self.stages[self.stage]
        self.objective = stage.objective(self.task)
        self.optimizer.restart(stage.learning_rate, *stage.weight_decay)
        parts: dict[str, Module] = {"leading": flow.leading, "conditional": flow.conditional}
        if isinstance(flow.leading, DefensiveMixture):
            # The broad component learns by likelihood, whose gradients do not vanish.
            parts |= {"leading": flow.leading.main, "broad": flow.leading.broad}
        self.clipping = AdaptiveClipping(parts, self.settings.max_norm)
        self.average = ParameterAverage(flow, self.settings.average_decay)
        self.settled = self.snapshot()

    def parts(self) -> dict[str, dict[str, Tensor]]:
        """What rounds change of the flow, of its average and of the optimizer: tensors by name, no copies."""
        return {
            "flow": self.generator.flow.state_dict(),
            "average": self.average.state,
            "optimizer": self.optimizer.state_dict(),
        }

    def snapshot(self) -> Snapshot:
        """The present state, copied."""
        parts = {part: {k: v.detach().clone() for k, v in t.items()} for part, t in self.parts().items()}
        return Snapshot(self.round_index, parts, dict(self.clipping.norms))

    def restore(self, snapshot: Snapshot) -> None:
        """Put a copy of an earlier state back; the objective, its temperature and walkers, stays as it is."""
        parts = {part: {k: v.clone() for k, v in t.items()} for part, t in snapshot.parts.items()}
        self.generator.flow.load_state_dict(parts["flow"])
        self.optimizer.forget()
        self.optimizer.load_state_dict(parts["optimizer"])
        self.average.state, self.clipping.norms = parts["average"], dict(snapshot.norms)

    def count_energies(self) -> int:
        """Energies that all ranks have computed."""
        own = self.energy.n_evaluations
        self._counted = int(self.ranks.total(torch.tensor(own))), own
        return self._counted[0]

    @property
    def done(self) -> bool:
        """Whether no stage is left."""
        return self.stage == len(self.stages)

    def checkpoint(self) -> dict[str, Any]:
        """The state of the flow that a generator's checkpoint should hold."""
        return self.objective.chosen(self.average.state)

    def run_round(self) -> None:
        """Go through one round; after the last of a stage, the flow has what `checkpoint` says."""
        began, stage, objective = time.perf_counter(), self.stages[self.stage], self.objective
        # What ranks on unlike machines compute of the same numbers may differ by rounding.
        self.ranks.synchronize(self.generator)
        self.count_energies()
        earlier = self._stage_metrics()
        slower = 0.5 ** n_halvings(earlier)
        if self.round_index == 0:
            self.tell(objective.opening)
        key, device = (self.seed, self.round_index), self.generator.device
        shared = random_stream(device, *key)
        own = shared if self.ranks.is_writer else random_stream(device, *self.ranks.key(*key))
        objective.start_round(own, shared)
        first = self.stage_round * stage.steps

        def report(step: int, loss: float, metrics: Metrics) -> None:
            self._report(
                objective.stage,
                self._fraction(objective.stage, (step + 1) / stage.steps),
                self.seconds + time.perf_counter() - began,
                round=step // stage.steps + 1,
                n_rounds=stage.rounds,
                loss=loss,
                efficiency=metrics.get("sampling_efficiency", math.nan),
            )

        try:
            found = fit(
                objective,
                self.optimizer,
                lambda step: slower * stage.schedule(step),
                range(first, first + stage.steps),
                clipping=self.clipping,
                average=self.average,
                on_step=report,
                ranks=self.ranks,
            ) | objective.end_round(self.average.state)
            gone = diverged(found, earlier)
        except FloatingPointError:  # no draw is of any use
            found, gone = {}, True
        if self.ranks.agree(gone):
            self.restore(self.settled)
            found[WENT_BACK] = True
            self._warn_of_divergence(n_halvings(earlier) + 1)
        self.generator.temperature = objective.temperature
        took = time.perf_counter() - began
        self.seconds += took
        self.metrics.append(
            {"round": self.round_index, "stage": objective.stage}
            | found
            | {
                "learning_rate": slower * stage.learning_rate,
                "temperature": objective.temperature,
                "n_energy_evaluations": self.count_energies(),
                "seconds": self.seconds,
            }
        )
        self.round_index += 1
        self.stage_round += 1
        if not found.get(WENT_BACK) and self.ranks.agree(settled(found, earlier)):
            self.settled = self.snapshot()
        if self.replan is not None and self.stage == len(self.stages) - 1:
            self._plan(self.ranks.told(self.replan(self.stage_round, stage.rounds, took)))
        if self.stage_round == self.stages[self.stage].rounds or self.ranks.agree(objective.finished):
            self._end_stage()

    def _plan(self, rounds: int) -> None:
        """Give the present stage so many rounds, and fit temperatures and learning rates to them."""
        self.settings = self.task.settings = dataclasses.replace(self.settings, rounds=rounds)
        self.stages[self.stage] = stages(self.settings, self.data)[self.stage]

    def _stage_metrics(self) -> list[dict[str, Any]]:
        """Records of the present stage's rounds."""
        return self.metrics[len(self.metrics) - self.stage_round :]

    def _warn_of_divergence(self, n: int) -> None:
        """Say that the rate is halved for the nth time; raises FloatingPointError if that is no way out."""
        if n > MOST_HALVINGS:
            raise FloatingPointError(
                f"training diverged {n} times, each time with half the learning rate of before; expected it "
                "to settle: check the molecule (rings that pucker, atoms that overlap) or train on data"
            )
        back = self.settled.round_index
        logger.warning(
            "training diverged in round %d: it goes on from %s with half the learning rate",
            self.round_index + 1,
            f"what it was after round {back}" if back else "its start",
        )

    def _end_stage(self) -> None:
        self.generator.flow.load_state_dict(self.checkpoint())
        self.stage, self.stage_round = self.stage + 1, 0
        if not self.done:
            self.begin_stage()

    def save_generator(self, path: Any) -> None:
        """Write the generator's checkpoint, with the parameters of `checkpoint`."""
        with using(self.generator.flow, {} if self.done else self.checkpoint()):
            self.generator.save(path)

    def tell(self, what: str, *, validated: float | None = None) -> None:
        """Tell in words what is done outside the rounds; after them, with the share of it that is done."""
        self._report(what, 0.0 if validated is None else self._fraction(VALIDATION, validated), self.seconds)

    def _fraction(self, stage: str, rounds: float) -> float:
        """Share of the run's work after so many rounds of a stage, the part of the one under way included."""
        planned = {stage.objective.stage: stage.rounds for stage in self.stages}
        return fraction_done(self.settings, planned, stage, rounds, validation=self.validation)

    def _report(self, stage: str, fraction: float, seconds: float, **of_step: Any) -> None:
        if self.progress is not None:
            energies, then = self._counted  # the other ranks' since then are about as many as this one's
            self.progress(
                Progress(
                    stage=stage,
                    fraction=fraction,
                    temperature=self.objective.temperature,
                    n_energy_evaluations=energies + self.ranks.size * (self.energy.n_evaluations - then),
                    seconds=seconds,
                    **of_step,
                )
            )


def check_shares(settings: Settings, data: Data | None, ranks: Ranks) -> None:
    """Raise ValueError unless each rank has a draw of each kind in every step."""
    s, least = settings, settings.batch
    if data is not None:
        least = min(s.data_batch, int(s.data_share * s.batch) or s.batch)
    elif s.walkers and s.walker_share > 0:
        least = min(s.walkers, int(s.walker_share * s.batch))
    if least < ranks.size > 1:
        raise ValueError(
            f"expected at most {least} processes, as few as a step has draws of one kind, got {ranks.size}; "
            "start fewer"
        )
