"""How far a training run has come, for a progress bar."""

import math
from dataclasses import dataclass

from boltzgen.train.settings import Settings

#: Rounds of annealing that a run is expected to need.
_ANNEAL_ROUNDS = 9


@dataclass(frozen=True)
class Progress:
    """Where a run stands.

    `fraction` is of the whole run's expected work; `efficiency` that of the last round's draws at its temperature (NaN before the first, and in
    training on data, where nothing is drawn).
    """

    stage: str
    fraction: float
    loss: float
    efficiency: float
    temperature: float
    n_energy_evaluations: int
    seconds: float
    seconds_left: float


def fraction_done(settings: Settings, stage: str, rounds: float, *, cooled: float, data: bool, energies: bool) -> float:
    """Share of a run's expected work that is done, in samples trained on; a draw counts as half of one, one that is trained on at
    once as two.

    Args:
        rounds: done in the present stage, with the part of the one under way.
        cooled: how much of log(start / target temperature) annealing has come down, 0 to 1.
        data: whether the run begins with data instead of warmup and annealing.
        energies: whether it goes on with energies.
    """
    s = settings
    work = {}
    if data:
        work["data"] = s.data_rounds * s.data_steps * s.data_batch
    else:
        work["warmup"] = s.warmup_rounds * s.warmup_steps * s.warmup_batch
        work["anneal"] = _ANNEAL_ROUNDS * (s.anneal_steps * s.anneal_batch + s.round_samples // 2)
    if energies:
        work["final"] = 2 * s.final_rounds * s.final_steps * s.final_batch
    planned = {"warmup": s.warmup_rounds, "data": s.data_rounds, "final": s.final_rounds}
    stages = list(work)
    before = sum(work[earlier] for earlier in stages[: stages.index(stage)])
    within = cooled if stage == "anneal" else rounds / planned[stage]
    return (before + work[stage] * within) / sum(work.values())


def share_cooled(start: float, present: float, target: float) -> float:
    """How much of log(start / target) a run at a `present` temperature has come down; 1 where there is nothing to come down."""
    span = math.log(start / target)
    return math.log(start / present) / span if span > 0 else 1.0
