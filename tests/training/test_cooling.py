"""Training on energies: the schedule of temperatures and rates, whose torsions are trained on, and what a
step does to a trained generator.
"""

import itertools
import math
from types import SimpleNamespace

import pytest
import torch
from boltzgen.training.trainer import Trainer, _diagnose, learn_torsions, start
from torch import Tensor

from boltzgen.energy.base import CountedEnergy
from boltzgen.energy.choose import energy_for
from boltzgen.generator.generator import BLOCK, BoltzmannGenerator
from boltzgen.molecule.system import System
from boltzgen.training import timing
from boltzgen.training.objectives import hierarchical_kl
from boltzgen.training.settings import Settings
from boltzgen.training.walkers import Walkers
from boltzgen.weights import effective_sample_size


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


def test_training_a_trained_generator(system: System, shipped: BoltzmannGenerator) -> None:
    """Its loss is -log Z plus a small KL; the average follows the parameters; at a rate of zero they stay."""
    before = [p.detach().clone() for p in shipped.flow.parameters()]
    for rate in (0.0, 1e-4):
        settings = Settings(rounds=1, steps=3, batch=256, rate=rate, cooling=0.0, walkers=32)
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


@pytest.mark.parametrize("share", [0.0, 0.25])
def test_a_step_draws_some_torsions_from_walkers(
    system: System, shipped: BoltzmannGenerator, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    """In every step from where they have moved; log Z and what is recorded are of the flow's own draws."""
    settings = Settings(rounds=1, steps=2, batch=64, rate=0.0, cooling=0.0, walkers=40, walker_share=share)
    moved, learned, choices = [], [], []
    move, choose = Walkers.move, Walkers.choose

    def follow_choice(self: Walkers, n: int, generator: torch.Generator) -> Tensor:
        choices.append(choose(self, n, generator))
        return choices[-1]

    def follow(
        self: Walkers, which: Tensor | slice, temperature: float, generator: torch.Generator
    ) -> Tensor:
        found = move(self, which, temperature, generator)
        moved.append((which, temperature, found))
        return found

    def learn(log_q: Tensor, u: Tensor, n_own: int) -> tuple[Tensor, Tensor]:
        learned.append((log_q.detach(), u, n_own))
        return learn_torsions(log_q, u, n_own)

    monkeypatch.setattr(Walkers, "move", follow)
    monkeypatch.setattr(Walkers, "choose", follow_choice)
    monkeypatch.setattr("boltzgen.training.trainer.learn_torsions", learn)
    monkeypatch.setattr("boltzgen.training.walkers.N_COOLING", 3)
    state = start(shipped, settings)
    trainer(system, settings).run_round(state)
    n_own = 64 - int(share * 64)
    assert [(len(log_q), n) for log_q, _, n in learned] == [(64, n_own)] * 2
    log_w = torch.cat([-(log_q + u)[:n_own] for log_q, u, _ in learned])
    assert state.metrics[0]["effective_sample_size"] == pytest.approx(float(effective_sample_size(log_w)))
    if share == 0:
        assert not moved and state.walkers is None
        return
    assert [t for _, t, _ in moved] == pytest.approx([600 * 2 ** (1 / 3), 300 * 2 ** (2 / 3), 300, 300, 300])
    for chosen, (which, _, torsions), (log_q, _, _) in zip(choices, moved[-2:], learned, strict=True):
        assert which.tolist() == sorted(set(chosen.tolist()))  # each moves once, however often it is drawn
        drawn = torsions[torch.searchsorted(which, chosen)].float()
        with torch.no_grad():
            assert torch.allclose(log_q[n_own:], shipped.flow.leading.log_prob(drawn), atol=1e-4)
    assert state.walkers is not None
    y = shipped.coordinates.inverse(state.walkers)[0][:, : shipped.coordinates.n_periodic]
    assert torch.allclose(torch.cos(y[moved[-1][0]] - moved[-1][2]), torch.ones(()), atol=1e-6)
    assert state.walkers_score is not None and state.walkers_score.shape == (40,)
    visited = set(torch.cat([which for which, _, _ in moved[-2:]]).tolist())
    assert [i for i in range(40) if state.walkers_score[i] != 1] == sorted(visited)
    assert state.walkers_step > 0


def test_fewer_walkers_than_draws_that_come_from_them(system: System, shipped: BoltzmannGenerator) -> None:
    settings = Settings(
        rounds=1, steps=1, batch=64, rate=0.0, cooling=0.0, walkers=2, start_temperature=300.0
    )
    state = start(shipped, settings)
    trainer(system, settings).run_round(state)
    assert state.walkers is not None and len(state.walkers) == 2


def test_a_draw_too_heavy_to_learn_from_becomes_a_walker(
    system: System, shipped: BoltzmannGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(
        rounds=1, steps=1, batch=64, rate=0.0, cooling=0.0, walkers=8, start_temperature=300.0
    )
    kept: list[Tensor] = []

    def made_heavy(*arguments: object, **options: object) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        loss, log_q, u, y = hierarchical_kl(*arguments, **options)  # type: ignore[arg-type]
        u[5] -= 30.0
        kept.append(y)
        return loss, log_q, u, y

    for function in (made_heavy, hierarchical_kl):
        monkeypatch.setattr("boltzgen.training.trainer.hierarchical_kl", function)
        state = start(shipped, settings)
        trainer(system, settings).run_round(state)
        assert state.walkers is not None
        found = [torch.allclose(x, shipped.coordinates(kept[0][5:6])[0][0], atol=1e-6) for x in state.walkers]
        assert sum(found) == (function is made_heavy)


def test_figures_of_a_round() -> None:
    """Its efficiency as it is, and with the top 1e-4 of the weights clipped, as in the validation."""
    log_w = torch.zeros(20_000)
    log_w[3], log_w[4] = math.log(101), math.log(2)
    found = _diagnose(log_w)
    assert found["efficiency"] == pytest.approx(20_101**2 / 20_000 / (19_998 + 101**2 + 4))
    assert found["efficiency_clipped"] == pytest.approx(20_002**2 / 20_000 / (19_998 + 4 + 4))


def test_what_the_torsions_learn_from() -> None:
    """Own draws by forward KL, others by log-dispersion about the same log Z; what has no energy has no
    part.
    """
    log_q = torch.tensor([-1.0, -2.0, -3.0, -4.0, -9.0, -5.0]).double().requires_grad_()
    u = torch.tensor([1.0, 1.5, math.inf, 4.5, 2.0, math.inf]).double()
    loss, estimate = learn_torsions(log_q, u, 4)
    w = torch.exp(-(log_q.detach() + u)[:4])
    assert float(estimate) == pytest.approx(math.log(float(w.mean())))
    (slopes,) = torch.autograd.grad(loss, log_q)
    a = float(-9 + 2 + estimate)
    own = 4 / 3 * (1 - w / w.mean())
    expected = [*own.tolist()[:2], 0.0, float(own[3]), 2 * a / math.sqrt(1 + a * a), 0.0]
    assert slopes.tolist() == pytest.approx(expected)
    alone, _ = learn_torsions(log_q[:4], u[:4], 4)
    assert torch.autograd.grad(alone, log_q)[0].tolist() == pytest.approx([*expected[:4], 0.0, 0.0])


def test_a_steep_gradient_is_scaled_down_in_its_part_alone(
    system: System, shipped: BoltzmannGenerator
) -> None:
    """To twice the running average of its norm, which such a one hardly moves; a step without a number is
    left out and leaves no trace.
    """
    state, work = start(shipped, Settings(rate=0.0)), trainer(system, Settings(rate=0.0))
    parts = {
        "leading": list(shipped.flow.leading.parameters()),
        "conditional": list(shipped.flow.conditional.parameters()),
    }

    def norms() -> dict[str, float]:
        return {
            name: math.sqrt(sum(float(p.grad.square().sum()) for p in part if p.grad is not None))
            for name, part in parts.items()
        }

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


def test_rounds_that_fit_into_a_time(
    system: System, shipped: BoltzmannGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock on which everything that is timed takes one second: a block of draws, and five steps."""
    ticks = itertools.count()
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: float(next(ticks))))
    energy, settings = (
        CountedEnergy(energy_for(system)),
        Settings(steps=50, batch=64, data_rounds=2, data_steps=100, data_batch=64),
    )
    before = [p.detach().clone() for p in shipped.flow.parameters()]
    found = timing.rounds_in(1000.0, shipped, energy, settings, validation=100 * BLOCK, data=False)
    assert found == int((1000 - 100 - 6 * 0.2) / (50 * 0.2))
    # Eight walkers descend, are evaluated at the start of both rounds, and up to eight move in three steps in
    # each of the six.
    assert 6 * 3 <= energy.n_evaluations - 2 * BLOCK - 6 * 64 - 8 * 103 < 6 * 8 * 3 + 8 * 100
    with_data = timing.rounds_in(1000.0, shipped, energy, settings, validation=100 * BLOCK, data=True)
    assert with_data == int((1000 - 100 - 6 * 0.2 - 0.5 * 200 * 0.2) / (50 * 0.2))
    assert timing.rounds_in(1.0, shipped, energy, settings, validation=100 * BLOCK, data=False) == 1
    assert all(torch.equal(a, b) for a, b in zip(before, shipped.flow.parameters(), strict=True))
