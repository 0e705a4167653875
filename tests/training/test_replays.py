"""Replays: updates of the torsions without an energy."""

import pytest
import torch
from torch import Tensor

from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.seeding import random_stream
from boltzgen.training.energy_objective import torsion_loss
from boltzgen.training.ranks import Ranks
from boltzgen.training.settings import Settings
from tests.helpers.runs import STILL, started


@pytest.mark.parametrize("share", [0.0, 0.25])
def test_torsions_of_the_last_steps_are_replayed(
    shipped: BoltzmannGenerator, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    """With what was found for each, from the flow and from walkers apart; without an energy, and nothing of
    the rest learns.
    """
    settings = Settings(**STILL, steps=1, walkers=16, walker_share=share, start_temperature=300.0, replays=3)
    learned: list[tuple[Tensor, int]] = []

    def learn(log_q: Tensor, u: Tensor, n_own: int, *, ranks: Ranks) -> tuple[Tensor, Tensor]:
        loss, log_z = torsion_loss(log_q, u, n_own, ranks=ranks)
        learned.append((-(log_q.detach() + u) - (log_z if len(learned) < 2 else 0.0), n_own))
        return loss, log_z

    monkeypatch.setattr("boltzgen.training.energy_objective.torsion_loss", learn)
    run = started(shipped, settings)
    objective, flow = run.objective, shipped.flow
    objective.start_round(random_stream("cpu", 1))
    assert list(objective.replays()) == []
    for _ in range(2):
        objective.step()
    spent = run.energy.n_evaluations
    for loss in objective.replays():
        flow.zero_grad()
        loss.backward()
        assert any(p.grad is not None and bool(p.grad.any()) for p in flow.leading.parameters())
        assert all(p.grad is None for p in flow.conditional.parameters())
    assert run.energy.n_evaluations == spent
    n_own = 64 - int(share * 64)
    assert [n for _, n in learned] == [n_own] * 2 + [n_own // 2] * 3  # two full torsions
    found = torch.stack([log_w for log_w, _ in learned[:2]])
    for log_w, _ in learned[2:]:
        assert len(log_w) == 32
        for half, rows in (
            (slice(n_own // 2), slice(n_own)),
            (slice(n_own // 2, None), slice(n_own, None)),
        ):
            away = (log_w[half, None] - found[:, rows].reshape(-1)).abs()
            assert away.numel() == 0 or float(away.min(dim=1).values.max()) < 1e-3
    assert not torch.equal(learned[2][0], learned[3][0])
    objective.start_round(random_stream("cpu", 2))
    assert list(objective.replays()) == []


def test_many_torsions_are_replayed_twice(
    shipped: BoltzmannGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = started(shipped, Settings(**STILL, steps=1, walkers=0))
    run.objective.start_round(random_stream("cpu", 1))
    run.objective.step()
    assert len(list(run.objective.replays())) == 1
    monkeypatch.setattr("boltzgen.training.energy_objective._FEW_TORSIONS", 1)
    assert len(list(run.objective.replays())) == 2
