"""How far a training run has come, for a progress bar."""

import math
from dataclasses import dataclass

from boltzgen.training.settings import Settings

#: What follows the last round, beside the names of the stages.
VALIDATION = "validation"


@dataclass(frozen=True)
class Progress:
    """Where a run stands.

    Attributes:
        stage: "data" or "energies" in the rounds; before and after them what is being done, in words.
        fraction: of the whole run's expected work.
        round, n_rounds: the present round of the stage, from 1, and the stage's rounds; None before and after
            the rounds.
        loss: of the last step; NaN before and after the rounds.
        efficiency: of the last step's draws at its temperature; NaN in training on data, where nothing is
            drawn, and before and after the rounds.
        temperature: in K; NaN before the rounds.
        n_energy_evaluations: so far.
        seconds: spent so far.
    """

    stage: str
    fraction: float = 0.0
    round: int | None = None
    n_rounds: int | None = None
    loss: float = math.nan
    efficiency: float = math.nan
    temperature: float = math.nan
    n_energy_evaluations: int = 0
    seconds: float = 0.0


def fraction_done(
    settings: Settings, planned: dict[str, int], stage: str, rounds: float, *, validation: float = 0.0
) -> float:
    """Share of a run's work that is done, in samples trained on.

    A draw, whose energy and gradients are computed, counts as two.

    Args:
        settings: of the run.
        planned: rounds of each of the run's stages, "data" or "energies", in order.
        stage: the present one, or `VALIDATION`.
        rounds: done in it, with the part of the one under way; of the validation, the share that is done.
        validation: its whole work, in samples trained on.
    """
    s = settings
    of_round = {
        VALIDATION: validation,
        "data": s.data_steps * s.data_batch,
        "energies": 2 * s.steps * s.batch,
    }
    work = {name: of_round[name] * n for name, n in {**planned, VALIDATION: 1}.items()}
    names = list(work)
    before = sum(work[earlier] for earlier in names[: names.index(stage)])
    return (before + of_round[stage] * rounds) / sum(work.values())
