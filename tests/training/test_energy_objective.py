"""Training on energies: whose torsions are trained on, and what a step does to a trained generator."""

import itertools
import math
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from boltzgen.energy.base import CountedEnergy
from boltzgen.energy.choose import energy_for
from boltzgen.flow.acceptance_rate import AcceptanceRate
from boltzgen.flow.resampling import Resampling
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.molecule.system import System
from boltzgen.samples.shards import BLOCK
from boltzgen.seeding import random_stream
from boltzgen.training import timing
from boltzgen.training.energy_objective import (
    EnergyObjective,
    _potential_of_torsions,
    positive_phi,
    torsion_loss,
)
from boltzgen.training.losses import hierarchical_kl, shortfall_loss
from boltzgen.training.objectives import OBJECTIVES, objective_named
from boltzgen.training.ranks import Ranks
from boltzgen.training.settings import Settings
from boltzgen.training.training_run import TrainingRun
from boltzgen.training.walkers import Walkers
from boltzgen.weights import effective_sample_size
from tests.helpers.runs import STILL, started


def walkers_of(run: TrainingRun) -> Walkers | None:
    assert isinstance(run.objective, EnergyObjective)
    return run.objective.walkers


def test_training_a_trained_generator(shipped: BoltzmannGenerator) -> None:
    """Its loss is -log Z plus a small KL; the average follows the parameters; at a rate of zero they stay."""
    before = [p.detach().clone() for p in shipped.flow.parameters()]
    for rate in (0.0, 1e-4):
        settings = Settings(rounds=1, steps=3, batch=256, learning_rate=rate, annealing=0.0, walkers=32)
        run = started(shipped, settings)
        run.run_round()
        (record,) = run.metrics
        assert run.done
        assert record["skipped_steps"] == 0
        assert record["sampling_efficiency"] > 0.7
        # The mean of log q(r | t) + u lacks the torsions' entropy, a few nats.
        assert -1.0 < record["loss"] + record["log_z"] < 8.0
        moved = [not torch.equal(a, b) for a, b in zip(before, shipped.flow.parameters(), strict=True)]
        assert any(moved) == (rate > 0)
        averaged = torch.cat([run.average.state[k].flatten() for k, _ in shipped.flow.named_parameters()])
        present = torch.cat([p.detach().flatten() for p in shipped.flow.parameters()])
        # After its last round the flow has the averaged parameters.
        assert torch.equal(averaged, present)


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_leaves_the_optimum_alone(shipped: BoltzmannGenerator, name: str) -> None:
    """A few steps from a generator that is close to it keep its efficiency; metrics are of its draws."""
    settings = Settings(
        objective=name, rounds=1, steps=4, batch=512, learning_rate=1e-4, annealing=0.0, walkers=32
    )
    run = started(shipped, settings)
    run.run_round()
    (record,) = run.metrics
    assert record["stage"] == "energies" and record["n_samples"] >= 4 * 448
    assert record["sampling_efficiency"] > 0.9
    assert record["log_z"] == pytest.approx(-181.98, abs=0.05)


def test_a_step_computes_each_acceptance_rate_once(
    shipped: BoltzmannGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By an estimate, however many parts of its loss need it."""
    calls: Counter[int] = Counter()
    rates = {type(part.rate) for part in shipped.flow.modules() if isinstance(part, Resampling)}

    def counted(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def call(self: AcceptanceRate, *arguments: Any) -> Tensor:
            calls[id(self)] += 1
            return forward(self, *arguments)

        return call

    run = started(shipped, Settings(**STILL, steps=1, walkers=8))
    run.objective.start_round(random_stream("cpu", 1))
    for rate in rates:
        monkeypatch.setattr(rate, "estimate", counted(rate.estimate))
    run.objective.step()
    assert calls and set(calls.values()) == {1}


def test_a_run_decays_the_torsions_matrices(shipped: BoltzmannGenerator) -> None:
    run = started(shipped, Settings(**STILL, steps=1, torsion_weight_decay=0.2))
    torsions, rest = run.optimizer.param_groups[:2]
    assert (torsions["weight_decay"], rest["weight_decay"]) == (0.2, 0.0)
    of_torsions = {id(p) for p in shipped.flow.leading.parameters()}
    assert torsions["params"] and {id(p) for p in torsions["params"]} <= of_torsions
    assert rest["params"] and not {id(p) for p in rest["params"]} & of_torsions


def test_an_objective_that_is_none() -> None:
    with pytest.raises(ValueError, match="no `objective` called 'adversarial'; there are: hierarchical_kl"):
        objective_named("adversarial")


@pytest.mark.parametrize("share", [0.0, 0.25])
def test_a_step_draws_some_torsions_from_walkers(
    shipped: BoltzmannGenerator, monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    """In every step from where they have moved; log Z and what is recorded are of the flow's own draws."""
    settings = Settings(**STILL, steps=2, walkers=40, walker_share=share, replays=0)
    n_torsions = shipped.coordinates.n_periodic
    moved, learned, choices = [], [], []
    move, choose = Walkers.move, Walkers.choose

    def follow_choice(self: Walkers, n: int, generator: torch.Generator) -> Tensor:
        choices.append(choose(self, n, generator))
        return choices[-1]

    def follow(self: Walkers, which: Tensor | slice, temperature: float, generator: torch.Generator) -> None:
        move(self, which, temperature, generator)
        canonical = shipped.coordinates.canonical(self.x[which].double())
        moved.append((which, temperature, shipped.coordinates.inverse(canonical)[0][:, :n_torsions]))

    def learn(log_q: Tensor, u: Tensor, n_own: int, *, ranks: Ranks) -> tuple[Tensor, Tensor]:
        learned.append((log_q.detach(), u, n_own))
        return torsion_loss(log_q, u, n_own, ranks=ranks)

    monkeypatch.setattr(Walkers, "move", follow)
    monkeypatch.setattr(Walkers, "choose", follow_choice)
    monkeypatch.setattr("boltzgen.training.energy_objective.torsion_loss", learn)
    monkeypatch.setattr("boltzgen.training.walkers.N_ANNEALING", 3)
    run = started(shipped, settings)
    run.run_round()
    n_own = 64 - int(share * 64)
    assert [(len(log_q), n) for log_q, _, n in learned] == [(64, n_own)] * 2
    log_w = torch.cat([-(log_q + u)[:n_own] for log_q, u, _ in learned])
    assert run.metrics[0]["effective_sample_size"] == pytest.approx(float(effective_sample_size(log_w)))
    walkers = walkers_of(run)
    if share == 0:
        assert not moved and walkers is None
        return
    assert [t for _, t, _ in moved] == pytest.approx([600 * 2 ** (1 / 3), 300 * 2 ** (2 / 3), 300, 300, 300])
    for chosen, (which, _, torsions), (log_q, _, _) in zip(choices, moved[-2:], learned, strict=True):
        assert which.tolist() == sorted(set(chosen.tolist()))  # each moves once, however often it is drawn
        drawn = torsions[torch.searchsorted(which, chosen)].float()
        with torch.no_grad():
            assert torch.allclose(log_q[n_own:], shipped.flow.leading.log_prob(drawn), atol=1e-4)
    assert walkers is not None
    assert walkers.priority.shape == (40,)
    visited = set(torch.cat([which for which, _, _ in moved[-2:]]).tolist())
    assert [i for i in range(40) if walkers.priority[i] != 1] == sorted(visited)
    assert walkers.step > 0


def test_walkers_go_on_from_a_state_without_an_energy(shipped: BoltzmannGenerator) -> None:
    settings = Settings(**STILL, steps=1, walkers=16, start_temperature=300.0)
    run = started(shipped, settings)
    run.objective.start_round(torch.Generator().manual_seed(0))
    before = run.energy.n_evaluations
    other = EnergyObjective(run.task)
    other.load_state_dict(run.objective.state_dict())
    other.start_round(torch.Generator().manual_seed(1))
    assert run.energy.n_evaluations == before
    first, second = walkers_of(run), other.walkers
    assert first is not None and second is not None
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name])


def test_fewer_walkers_than_draws_that_come_from_them(shipped: BoltzmannGenerator) -> None:
    run = started(shipped, Settings(**STILL, steps=1, walkers=2, start_temperature=300.0))
    run.run_round()
    walkers = walkers_of(run)
    assert walkers is not None and len(walkers.x) == 2


def test_a_draw_whose_weight_is_too_large_to_learn_from_becomes_a_walker(
    shipped: BoltzmannGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(**STILL, steps=1, walkers=8, start_temperature=300.0)
    kept: list[Tensor] = []

    def with_a_large_weight(*arguments: object, **options: object) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        loss, log_q, u, y = hierarchical_kl(*arguments, **options)  # type: ignore[arg-type]
        u[5] -= 30.0
        kept.append(y)
        return loss, log_q, u, y

    for function in (with_a_large_weight, hierarchical_kl):
        monkeypatch.setattr("boltzgen.training.energy_objective.hierarchical_kl", function)
        run = started(shipped, settings)
        run.run_round()
        walkers = walkers_of(run)
        assert walkers is not None
        found = [torch.allclose(x, shipped.coordinates(kept[0][5:6])[0][0], atol=1e-6) for x in walkers.x]
        assert sum(found) == (function is with_a_large_weight)


def test_the_rest_learns_where_walkers_show_that_it_is_thin(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In each step from walkers' own conformations, with the ratio of the densities of the rest."""
    energy = CountedEnergy(energy_for(system))
    generator = BoltzmannGenerator.for_system(system, energy, temperature=300.0)
    seen, gradients = [], []

    def follow(log_ratio: Tensor, *, ranks: Ranks) -> Tensor:
        seen.append(log_ratio.detach())
        as_if_thin = shortfall_loss(log_ratio - log_ratio.max().detach() - 5)
        parameters = list(generator.flow.conditional.parameters())
        gradients.extend(torch.autograd.grad(as_if_thin, parameters, retain_graph=True))
        return shortfall_loss(log_ratio, ranks=ranks)

    monkeypatch.setattr("boltzgen.training.energy_objective.shortfall_loss", follow)
    run = TrainingRun(
        generator, energy, 300.0, Settings(**STILL, steps=1, walkers=16, start_temperature=300.0), seed=1
    )
    run.run_round()
    (ratio,) = seen
    assert ratio.shape == (8,)
    assert all(g.isfinite().all() for g in gradients) and any(g.abs().max() > 0 for g in gradients)


def test_a_basin_where_the_rest_is_bad_does_not_pass_for_a_rare_one() -> None:
    """Of p(r | t) = N(0, 1), q(r | t) = N(4, 1) draws tell 8 too little of log p(t), walkers 8 too much."""
    walkers, drawn = torch.randn(2, 20_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    drawn = drawn + 4

    def of(r: Tensor) -> Tensor:
        return 3.0 + r.square() / 2 - (r - 4).square() / 2  # p(t) = exp(-3), the two constants are one

    assert of(drawn).mean() == pytest.approx(11.0, abs=0.2)
    assert of(walkers).mean() == pytest.approx(-5.0, abs=0.2)
    assert _potential_of_torsions(of(drawn), of(walkers)).mean() == pytest.approx(3.0, abs=0.2)
    clashed = torch.full_like(drawn, math.inf)
    assert torch.equal(_potential_of_torsions(clashed, of(walkers)), of(walkers))


@pytest.mark.slow
def test_the_broad_component_learns_the_torsions_of_walkers(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By likelihood, also where the mixture's own loss says nothing: it starts as the uniform density."""
    monkeypatch.setattr(
        "boltzgen.training.energy_objective.torsion_loss",
        lambda log_q, u, n_own: (0.0 * log_q.sum(), -(log_q.detach() + u)[:n_own].median()),
    )
    energy = CountedEnergy(energy_for(system))
    generator = BoltzmannGenerator.for_system(system, energy, temperature=300.0, broad_torsions=0.02)
    settings = Settings(
        rounds=1, steps=30, batch=64, learning_rate=2e-2, annealing=0.0, walkers=64, walker_share=0.5
    )
    run = TrainingRun(generator, energy, 300.0, settings, seed=1)
    run.run_round()
    walkers = walkers_of(run)
    assert walkers is not None
    _, y, _ = walkers.draw(500, 300.0, torch.Generator().manual_seed(0))
    with torch.no_grad():
        broad = generator.flow.leading.broad.log_prob(y[:, : generator.flow.n_leading])  # type: ignore[union-attr, operator]
    assert float(broad.mean()) > -generator.flow.n_leading * math.log(2 * math.pi) + 0.02


def test_the_speed_of_training(
    system: System, shipped: BoltzmannGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a clock that ticks with every look at it: once for a block of draws, half a block of forces, a step,
    and for what a round takes beside its steps.
    """
    ticks = itertools.count()
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: float(next(ticks))))
    energy = CountedEnergy(energy_for(system))
    settings = Settings(steps=50, batch=64, walkers=32, data_rounds=2, data_steps=100, data_batch=64)
    before = [p.detach().clone() for p in shipped.flow.parameters()]
    draw, force = 1 / BLOCK, 2 / BLOCK
    found = timing.measured_speed(shipped, energy, settings, data=False)
    assert found.round == 1 + 50
    assert found.draw == pytest.approx(1.08 * draw + 1.75 * force)
    # The shipped generator is at 300 K, to which its walkers would have to be cooled.
    assert found.start == pytest.approx(32 * force * (100 + 3 * 100))
    # Eight walkers descend and are evaluated where they are, and up to eight move in three steps in each of
    # the six.
    assert 6 * 3 <= energy.n_evaluations - 3 * BLOCK - 6 * 64 - 8 * 102 < 6 * 8 * 3 + 8 * 100
    with_data = timing.measured_speed(shipped, energy, settings, data=True)
    assert with_data.start == 0.5 * 200
    assert timing.summary_draw_seconds(shipped, energy) == pytest.approx(found.draw)
    assert all(torch.equal(a, b) for a, b in zip(before, shipped.flow.parameters(), strict=True))


def test_the_share_of_the_weight_at_positive_phi(shipped: BoltzmannGenerator) -> None:
    samples = shipped.sample(BLOCK, energy_for(shipped.system), seed=3)
    log_w = samples.log_w + 2.0 * samples.torsion("phi")  # so that half of it is there
    log_w[0] = -math.inf
    y = shipped.coordinates.inverse(samples.x.to(shipped.system.positions))[0]
    expected = float((log_w.exp() * (samples.torsion("phi") > 0)).sum() / log_w.exp().sum())
    assert 0.1 < expected < 0.99
    assert positive_phi(shipped, y, log_w) == pytest.approx(expected, rel=1e-5)
    run = started(shipped, Settings(rounds=1, steps=2, batch=64, walkers=0))
    run.run_round()
    assert 0 <= run.metrics[0]["positive_phi"] < 0.1


def test_a_molecule_without_phi_has_no_share_of_it() -> None:
    system = System.load("dimethoxyethane")
    generator = BoltzmannGenerator.for_system(system, energy_for(system))
    y = torch.zeros(2, *generator.flow.event_shape)
    assert positive_phi(generator, y, torch.zeros(2)) is None
