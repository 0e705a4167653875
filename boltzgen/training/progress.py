"""How far a training run has come, for a progress bar."""

from collections.abc import Mapping
from dataclasses import dataclass

from boltzgen.training.settings import Settings


@dataclass(frozen=True)
class Progress:
    """Where a run stands.

    Attributes:
        stage: "data" or "energies".
        fraction: of the whole run's expected work.
        loss: of the last step.
        efficiency: of the last step's draws at its temperature; NaN in training on data, where nothing is
            drawn.
        temperature: in K.
        n_energy_evaluations: so far.
        seconds, seconds_left: spent, and expected.
    """

    stage: str
    fraction: float
    loss: float
    efficiency: float
    temperature: float
    n_energy_evaluations: int
    seconds: float
    seconds_left: float


def fraction_done(settings: Settings, planned: Mapping[str, int], stage: str, rounds: float) -> float:
    """Share of a run's work that is done, in samples trained on.

    A draw, whose energy and gradients are computed, counts as two.

    Args:
        settings: of the run.
        planned: rounds of each of the run's stages, "data" or "energies", in order.
        stage: the present one.
        rounds: done in it, with the part of the one under way.
    """
    s = settings
    of_round = {"data": s.data_steps * s.data_batch, "energies": 2 * s.steps * s.batch}
    work = {name: of_round[name] * n for name, n in planned.items()}
    names = list(work)
    before = sum(work[earlier] for earlier in names[: names.index(stage)])
    return (before + of_round[stage] * rounds) / sum(work.values())
