"""How the temperature and the learning rate change over a training."""

import itertools
import math
from dataclasses import replace

import pytest
import torch

from boltzgen.training.data import Data
from boltzgen.training.schedule import annealed_temperature, cosine, warmup_hold_cosine
from boltzgen.training.settings import Settings
from boltzgen.training.training_run import stages


def test_the_temperature_falls_by_one_factor_in_each_step_then_stays() -> None:
    temperature = annealed_temperature(1200.0, 300.0, 20)
    found = [temperature(step) for step in range(40)]
    assert found[0] == 1200.0
    assert found[10] == pytest.approx(math.sqrt(1200.0 * 300.0))
    assert [b / a for a, b in itertools.pairwise(found[:21])] == pytest.approx([0.25 ** (1 / 20)] * 20)
    assert found[20:] == [300.0] * 20
    assert annealed_temperature(1200.0, 300.0, 0)(0) == 300.0
    with pytest.raises(ValueError, match="annealing.*from 0 to below 1, got 1.0"):
        Settings(annealing=1.0)
    assert Settings().start(300.0) == 1200.0
    assert Settings().start(1500.0) == 1500.0


def test_the_learning_rate_rises_holds_and_falls_to_zero() -> None:
    factor = warmup_hold_cosine(100, warmup=5, hold=0.4)
    found = [factor(step) for step in range(101)]
    assert found[:5] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0])
    assert found[5:41] == [1.0] * 36
    assert found[70] == pytest.approx(0.5)
    assert all(b < a for a, b in itertools.pairwise(found[40:]))
    assert found[100] == pytest.approx(0)


def test_half_a_cosine() -> None:
    assert [cosine(4)(step) for step in range(5)] == pytest.approx(
        [1, 0.5 + 0.125**0.5, 0.5, 0.5 - 0.125**0.5, 0]
    )


def test_which_matrices_have_a_weight_decay() -> None:
    """Of energies the torsions' alone, as a decay slows the rest down; of data alone both."""
    settings = Settings(learning_rate=1e-3, torsion_weight_decay=0.2, data_weight_decay=3.0)
    frame = torch.zeros(1)
    data = Data(frame[:, None], frame, frame + 1)
    assert [stage.weight_decay for stage in stages(settings, None)] == [(0.2, 0.0)]
    assert [stage.weight_decay for stage in stages(settings, data)] == [(3.0, 3.0)]
    mixed = stages(settings, replace(data, potential=frame))
    assert [stage.weight_decay for stage in mixed] == [(0.0, 0.0), (0.2, 0.0)]
