"""Which trainings have wide networks for the stiff coordinates, and what is timed."""

from pathlib import Path
from typing import Any

import pytest

from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.molecule.system import System
from boltzgen.training.budget import Speed
from boltzgen.training.run import train
from boltzgen.training.settings import Settings, stiff_width_for
from boltzgen.training.timing import training_speed
from tests.helpers.runs import TINY


def test_wide_networks_are_for_long_trainings() -> None:
    assert [stiff_width_for(rounds) for rounds in (0, 99, 100, 140)] == [128, 128, 256, 256]


@pytest.mark.parametrize(
    ("options", "widths"),
    [
        ({"rounds": 2}, [128]),
        ({"rounds": 3}, [256]),
        ({"rounds": 3, "stiff_width": 8}, [8]),
        ({"minutes": 6}, [128, 128]),  # two rounds fit
        ({"minutes": 10}, [128, 256, 256]),  # three do, and it is timed again
        ({"minutes": 10, "stiff_width": 8}, [8, 8]),
    ],
    ids=str,
)
def test_long_trainings_have_wide_networks(
    system: System,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: dict[str, Any],
    widths: list[int],
) -> None:
    """Units of the stiff coordinates' networks where it is timed, and of what is trained."""
    seen = []

    def timed(generator: BoltzmannGenerator, *_: Any, **__: Any) -> Speed:
        seen.append(generator.options["stiff_width"])
        return Speed(start=0.0, round=150.0, draw=1e-5)

    def begun(generator: BoltzmannGenerator, *_: Any, **__: Any) -> None:
        assert generator.seed == 5 and generator.temperature == TINY.start_temperature
        seen.append(generator.options["stiff_width"])
        raise KeyboardInterrupt

    monkeypatch.setattr("boltzgen.training.settings._LONG", 3)
    monkeypatch.setattr("boltzgen.training.run.measured_speed", timed)
    monkeypatch.setattr("boltzgen.training.run.TrainingRun", begun)
    with pytest.raises(KeyboardInterrupt):
        train(system, tmp_path, settings=TINY, seed=5, **options)
    assert seen == widths


@pytest.mark.parametrize(("rounds", "width"), [(99, 128), (100, 256)])
def test_an_estimate_is_of_the_networks_that_so_many_rounds_have(
    alanine: System, monkeypatch: pytest.MonkeyPatch, rounds: int, width: int
) -> None:
    seen = []

    def timed(generator: BoltzmannGenerator, *_: Any, **__: Any) -> Speed:
        seen.append(generator.options["stiff_width"])
        return Speed(0.0, 1.0, 1.0)

    monkeypatch.setattr("boltzgen.training.timing.measured_speed", timed)
    training_speed(alanine, Settings(rounds=rounds))
    assert seen == [width]
