"""Preparing is tested without the estimate of the training's time, which takes seconds."""

import pytest

from boltzgen.training.budget import Speed


@pytest.fixture(autouse=True)
def no_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "boltzgen.training.timing.training_speed",
        lambda system: Speed(start=0.0, round=90.0 * system.n_atoms / 140, draw=0.0),
    )
