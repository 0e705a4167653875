"""Preparing is tested without the estimate of the training's time, which takes seconds."""

import pytest


@pytest.fixture(autouse=True)
def no_estimate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "boltzgen.training.timing.training_seconds", lambda system, **_: 90.0 * system.n_atoms
    )
