"""Training on energies: the schedule of temperatures and rates, whose torsions are trained on, and what a step does to a trained generator."""

import copy
import itertools
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from boltzgen.energy.base import CountedEnergy
from boltzgen.energy.choose import energy_for
from boltzgen.generator import BLOCK, BoltzmannGenerator
from boltzgen.reweighting import effective_sample_size
from boltzgen.system import System
from boltzgen.train import timing
from boltzgen.train.objectives import clipped_log_z, defensive_kl
from boltzgen.train.settings import Settings
from boltzgen.train.trainer import Trainer, draw_torsions, mixture, start


@pytest.fixture(scope="module")
def system() -> System:
    return System.load("alanine_dipeptide")


@pytest.fixture
def shipped(system: System) -> BoltzmannGenerator:
    return BoltzmannGenerator.load(system.folder, system)


def trainer(system: System, settings: Settings) -> Trainer:
    return Trainer(CountedEnergy(energy_for(system)), system.temperature, settings, seed=1)


def test_the_temperature_falls_by_one_factor_in_each_step_then_stays(system: System) -> None:
    work = trainer(system, Settings(rounds=4, steps=10, cooling=0.5))
    found = [work.temperature(1200.0, step) for step in range(40)]
    assert found[0] == 1200.0
    assert found[10] == pytest.approx(math.sqrt(1200.0 * 300.0))
    assert [b / a for a, b in itertools.pairwise(found[:21])] == pytest.approx([0.25 ** (1 / 20)] * 20)
    assert found[20:] == [300.0] * 20
    assert trainer(system, Settings(cooling=0.0)).temperature(1200.0, 0) == 300.0
    with pytest.raises(ValueError, match="cooling.*from 0 to below 1, got 1.0"):
        Settings(cooling=1.0)
    assert Settings().start(300.0) == 1200.0
    assert Settings().start(1500.0) == 1500.0


def test_the_rate_rises_holds_and_falls_to_zero(system: System) -> None:
    work = trainer(system, Settings(rounds=10, steps=10, rate=0.5, warmup=5, hold=0.4))
    found = [work._rate(step) for step in range(101)]
    assert found[:5] == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5])
    assert found[5:41] == [0.5] * 36
    assert found[70] == pytest.approx(0.25)
    assert all(b < a for a, b in itertools.pairwise(found[40:]))
    assert found[100] == pytest.approx(0)


@torch.no_grad()
def test_torsions_come_from_both_flows(shipped: BoltzmannGenerator) -> None:
    """The first ones from the flow, the others from the hotter one: for draws of q and another density p, E[p / q] = 1."""
    flow = shipped.flow.double()
    hot = copy.deepcopy(flow.leading)
    for k, p in enumerate(flow.leading.parameters()):
        p += 0.02 * torch.randn(p.shape, generator=torch.Generator().manual_seed(k))
    n, n_own = 20_000, 12_000
    t, log_hot = draw_torsions(flow, hot, n_own, n, generator=torch.Generator().manual_seed(5))
    log_q = flow.leading.log_prob(t)
    assert torch.allclose(log_hot, hot.log_prob(t))
    assert torch.allclose(mixture(log_q, log_hot, 0.6).exp(), 0.6 * log_q.exp() + 0.4 * log_hot.exp())
    ratio = torch.exp(log_hot - log_q)
    assert t.shape == (n, flow.n_leading)
    for part in (ratio[:n_own], 1 / ratio[n_own:]):
        assert part.std() > 0.05  # the two differ, so that the next line says something
        assert abs(float(part.mean()) - 1) < 4 * float(part.std()) / math.sqrt(len(part))
    assert abs(float(ratio[n_own:].mean()) - 1) > 6 * float(ratio[n_own:].std()) / math.sqrt(n - n_own)
    alone, log_hot = draw_torsions(flow, None, n, n, generator=torch.Generator().manual_seed(5))
    assert alone.shape == t.shape
    assert torch.equal(mixture(log_q, log_hot, 1.0), log_q)


def test_training_a_trained_generator(system: System, shipped: BoltzmannGenerator) -> None:
    """Its loss is -log Z plus a small KL; the average follows the parameters; at a rate of zero they stay."""
    before = [p.detach().clone() for p in shipped.flow.parameters()]
    for rate in (0.0, 1e-4):
        settings = Settings(rounds=1, steps=3, batch=256, rate=rate, cooling=0.0)
        state = start(shipped, settings)
        trainer(system, settings).run_round(state)
        (record,) = state.metrics
        assert state.stage == "done"
        assert record["skipped_steps"] == 0
        assert record["efficiency"] > 0.7
        # The mean of log q(r | t) + u lacks the torsions' entropy, a few nats.
        assert -1.0 < record["loss"] + record["log_z"] < 8.0
        moved = [not torch.equal(a, b) for a, b in zip(before, shipped.flow.parameters(), strict=True)]
        assert any(moved) == (rate > 0)
        averaged = torch.cat([state.average[k].flatten() for k, _ in shipped.flow.named_parameters()])
        present = torch.cat([p.detach().flatten() for p in shipped.flow.parameters()])
        assert (averaged - present).abs().max() <= 10 * rate
        assert torch.equal(averaged, present) == (rate == 0)


def test_the_hot_flow_is_kept_on_the_way_down(system: System, shipped: BoltzmannGenerator) -> None:
    """At each rung, as it then was; the last one is above the target. Where nothing cools none is kept, and one that is there stays."""
    settings = Settings(rounds=8, steps=1, batch=32, cooling=0.75, hot_ratio=2.0)
    shipped.temperature = shipped.hot_temperature = 1200.0
    shipped.hot = None
    work, state = trainer(system, settings), start(shipped, settings)
    seen, kept = [], []
    while state.stage != "done":
        before = {k: v.clone() for k, v in shipped.flow.leading.state_dict().items()}
        had = shipped.hot
        work.run_round(state)
        seen.append((round(state.temperature), round(shipped.hot_temperature), shipped.hot is not None))
        if shipped.hot is not had:
            assert shipped.hot is not None
            kept.append(all(torch.equal(v, before[k]) for k, v in shipped.hot.state_dict().items()))
    assert seen == [
        (1200, 1200, False),
        (952, 1200, False),
        (756, 1200, False),
        (600, 600, True),
        (476, 600, True),
        (378, 600, True),
        (300, 600, True),
        (300, 600, True),
    ]
    assert kept == [True]
    last = shipped.hot
    shipped.temperature = 300.0
    work.run_round(start(shipped, settings))
    assert shipped.hot is last
    shipped.hot, shipped.hot_temperature = None, 300.0
    work.run_round(start(shipped, settings))
    assert shipped.hot is None


@pytest.mark.parametrize("hot", [False, True])
def test_a_step_draws_from_the_mixture(system: System, shipped: BoltzmannGenerator, monkeypatch: pytest.MonkeyPatch, hot: bool) -> None:
    """A share of the torsions from the hot flow where there is one; log Z and what is recorded are of the flow's own draws."""
    settings = Settings(rounds=1, steps=1, batch=200, rate=0.0, cooling=0.0, hot_share=0.25)
    shipped.hot = None
    if hot:
        shipped.keep_hot(424.0)
        assert shipped.hot is not None
        with torch.no_grad():
            for p in shipped.hot.parameters():
                p += 0.02 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel()))
    drawn, learned = [], []

    def draw(*arguments: Any, **options: Any) -> tuple[Tensor, Tensor]:
        drawn.append((arguments[1:], draw_torsions(*arguments, **options)))
        return drawn[-1][1]

    def kl(*arguments: Tensor) -> Tensor:
        learned.append([a.detach() for a in arguments])
        return defensive_kl(*arguments)

    monkeypatch.setattr("boltzgen.train.trainer.draw_torsions", draw)
    monkeypatch.setattr("boltzgen.train.trainer.defensive_kl", kl)
    state = start(shipped, settings)
    trainer(system, settings).run_round(state)
    (((flow, n_own, n), (torsions, log_hot)),), ((log_q, u, log_m, log_z),) = drawn, learned
    assert (flow is shipped.hot, n_own, n, len(torsions), len(u)) == (True, 150 if hot else 200, 200, 200, 200)
    with torch.no_grad():
        assert torch.allclose(log_q, shipped.flow.leading.log_prob(torsions), atol=1e-4)
    expected = (0.75 * log_q.exp() + 0.25 * log_hot.exp()).log() if hot else log_q
    assert torch.allclose(log_m, expected, atol=1e-5)
    assert (log_m - log_q).abs().max() > 0.01 if hot else True
    log_w = -(log_q + u)[:n_own]
    assert float(log_z) == pytest.approx(float(clipped_log_z(log_w)))
    assert state.metrics[0]["effective_sample_size"] == pytest.approx(float(effective_sample_size(log_w)))


def test_a_steep_gradient_is_scaled_down_in_its_part_alone(system: System, shipped: BoltzmannGenerator) -> None:
    """To twice the running average of its norm, which such a one hardly moves; a step without a number is left out and leaves no trace."""
    state, work = start(shipped, Settings(rate=0.0)), trainer(system, Settings(rate=0.0))
    parts = {"leading": list(shipped.flow.leading.parameters()), "conditional": list(shipped.flow.conditional.parameters())}

    def norms() -> dict[str, float]:
        return {name: math.sqrt(sum(float(p.grad.square().sum()) for p in part if p.grad is not None)) for name, part in parts.items()}

    def step(leading: float) -> bool:
        first, second = parts["leading"][0], parts["conditional"][0]
        return work._step(state, leading * first.flatten()[0] + 3 * second.flatten()[0])

    assert step(4.0)
    assert norms() == pytest.approx({"leading": 4.0, "conditional": 3.0})
    assert step(1000.0)
    assert norms() == pytest.approx({"leading": 8.0, "conditional": 3.0}, rel=1e-4)
    assert state.norms == pytest.approx({"leading": 0.95 * 4 + 0.05 * 8, "conditional": 3.0})
    before = dict(state.norms)
    assert not step(math.nan)
    assert state.norms == before


def test_rounds_that_fit_into_a_time(system: System, shipped: BoltzmannGenerator, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a clock on which everything that is timed takes one second: a block of draws, and five steps."""
    ticks = itertools.count()
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: float(next(ticks))))
    energy, settings = CountedEnergy(energy_for(system)), Settings(steps=50, batch=64, data_rounds=2, data_steps=100, data_batch=64)
    before = [p.detach().clone() for p in shipped.flow.parameters()]
    found = timing.rounds_in(1000.0, shipped, energy, settings, validation=100 * BLOCK, data=False)
    assert found == int((1000 - 100 - 6 * 0.2) / (50 * 0.2))
    assert energy.n_evaluations == 2 * BLOCK + 6 * 64
    with_data = timing.rounds_in(1000.0, shipped, energy, settings, validation=100 * BLOCK, data=True)
    assert with_data == int((1000 - 100 - 6 * 0.2 - 0.5 * 200 * 0.2) / (50 * 0.2))
    assert timing.rounds_in(1.0, shipped, energy, settings, validation=100 * BLOCK, data=False) == 1
    assert all(torch.equal(a, b) for a, b in zip(before, shipped.flow.parameters(), strict=True))
