"""How far a training run has come, for a progress bar."""

from dataclasses import dataclass

from boltzgen.training.settings import Settings


@dataclass(frozen=True)
class Progress:
    """Where a run stands.

    `fraction` is of the whole run's expected work; `efficiency` that of the last step's draws at its
    temperature (NaN in training on data, where nothing is drawn).
    """

    stage: str
    fraction: float
    loss: float
    efficiency: float
    temperature: float
    n_energy_evaluations: int
    seconds: float
    seconds_left: float


def fraction_done(settings: Settings, stage: str, rounds: float, *, data: bool, energies: bool) -> float:
    """Share of a run's work that is done, in samples trained on; a draw, whose energy and slopes are
    computed, counts as two.

    Args:
        rounds: done in the present stage, with the part of the one under way.
        data: whether the run begins with data.
        energies: whether it trains on energies, after the data where there is any.
    """
    s = settings
    work = {}
    if data:
        work["data"] = s.data_rounds * s.data_steps * s.data_batch
    if energies:
        work["energies"] = 2 * s.rounds * s.steps * s.batch
    planned = {"data": s.data_rounds, "energies": s.rounds}
    stages = list(work)
    before = sum(work[earlier] for earlier in stages[: stages.index(stage)])
    return (before + work[stage] * rounds / planned[stage]) / sum(work.values())
