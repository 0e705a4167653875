"""Divergence: when a round counts as diverged, and what training then does."""

import logging
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from boltzgen.energy.base import CountedEnergy
from boltzgen.energy.choose import energy_for
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.generator.target import PullbackEnergy
from boltzgen.molecule.system import System
from boltzgen.training import guard
from boltzgen.training.checkpoint import load_run, save_run
from boltzgen.training.energy_objective import EnergyObjective
from boltzgen.training.guard import SPREAD, WENT_BACK, diverged, settled, spread
from boltzgen.training.settings import Settings, learning_rate_for
from boltzgen.training.training_run import TrainingRun


def rounds(*spreads: float | None) -> list[dict[str, Any]]:
    """Metrics of rounds with these spreads; None for one that was undone."""
    return [{SPREAD: 99.0, WENT_BACK: True} if s is None else {SPREAD: s} for s in spreads]


@pytest.mark.parametrize(
    ("earlier", "found", "expected"),
    [
        ((), 50.0, False),  # the first round
        ((8.0, 4.0), 7.9, False),
        ((8.0, 4.0), 8.1, True),
        ((8.0, 4.0, 7.0), 8.1, True),  # it creeps: the least counts
        ((0.1,), 1.4, False),  # small ones are made good
        ((0.1,), 1.6, True),
        ((2.0, 2.7, None), 5.3, False),  # anew from where training went back to
        ((2.0, 2.7, None), 5.5, True),
        ((2.0, None, 3.0), 4.1, True),
        ((2.0, 3.9, None), 4.1, True),  # 3.9 was on the way to it: training is at 2.0 again
        ((1.2, 1.3, 1.7, 2.3, None), 2.5, False),
        ((1.2, 1.3, 1.7, 2.3, None), 2.7, True),
        ((4.0,), math.nan, True),
        ((4.0,), math.inf, True),
    ],
)
def test_what_counts_as_diverged(earlier: tuple[float | None, ...], found: float, expected: bool) -> None:
    assert diverged({SPREAD: found}, rounds(*earlier)) is expected


@pytest.mark.parametrize(
    ("earlier", "found", "expected"),
    [
        ((), 50.0, True),  # the first round
        ((1.2,), 1.6, True),
        ((1.2,), 1.8, False),  # halfway to a divergence
        ((1.2, 1.8), 1.8, False),
        ((1.2, 1.8, 1.8, 1.8, 1.8, 1.8), 1.8, True),  # it stands there
        ((1.2, 1.6, 1.6, 1.6, 1.6, 1.6), 2.3, False),
        ((0.1,), 1.0, True),  # small ones are made good
        ((0.1,), 1.1, False),
        ((1.2, 1.3, 1.7, 2.3, None), 1.8, True),  # anew from 1.3
        ((1.2, 1.3, 1.7, 2.3, None), 1.9, False),
        ((1.2,), math.nan, False),
        ((1.0, 2.0, 2.0, 2.0, 2.0, 2.0), 2.1, False),  # diverged, though the rounds before it are as bad
    ],
)
def test_what_counts_as_settled(earlier: tuple[float | None, ...], found: float, expected: bool) -> None:
    assert settled({SPREAD: found}, rounds(*earlier)) is expected


def test_rounds_without_a_spread_are_settled() -> None:
    assert settled({}, rounds(1.0))
    assert not diverged({}, rounds(1.0))


def test_spread_is_the_deviation_of_most_draws() -> None:
    log_w = 3.0 * torch.randn(20_000, generator=torch.Generator().manual_seed(0)) - 300.0
    assert spread(log_w) == pytest.approx(3.0, rel=0.05)
    log_w[:100], log_w[100:200] = 1e8, -math.inf
    assert spread(log_w) == pytest.approx(3.0, rel=0.05)
    assert spread(log_w[100:201]) == math.inf


def test_the_learning_rate_falls_with_size() -> None:
    assert learning_rate_for(9) == learning_rate_for(60) == 8e-3
    assert learning_rate_for(148) == pytest.approx(8e-3 * 60 / 148)
    assert Settings().for_size(120).rate == 4e-3
    assert Settings(learning_rate=0.5).for_size(120).rate == 0.5
    with pytest.raises(ValueError, match="for_size"):
        _ = Settings().rate


@pytest.fixture
def run(system: System) -> TrainingRun:
    generator = BoltzmannGenerator.load(system.folder, system)
    settings = Settings(
        rounds=4, steps=2, batch=256, learning_rate=1e-4, annealing=0.0, walkers=0, walker_share=0.0
    )
    return TrainingRun(generator, CountedEnergy(energy_for(system)), 300.0, settings, seed=1)


def parameters(run: TrainingRun) -> Tensor:
    return torch.cat([p.detach().flatten() for p in run.generator.flow.parameters()])


def test_a_round_that_diverges_is_undone(
    run: TrainingRun, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Parameters, momenta and average are those of before; the next round has half the rate."""
    run.run_round()
    before, moments = parameters(run), run.optimizer.state_dict()
    moments = {k: v.clone() for k, v in moments.items()}
    average = {k: v.clone() for k, v in run.average.state.items()}
    original = EnergyObjective.loss

    def broken(self: EnergyObjective, target: PullbackEnergy) -> tuple[Tensor, Tensor]:
        loss, log_w = original(self, target)
        return 1e3 * loss, 400.0 * (log_w - log_w.mean())

    monkeypatch.setattr(EnergyObjective, "loss", broken)
    with caplog.at_level(logging.WARNING):
        run.run_round()
    assert (
        "training diverged in round 2: it goes on from what it was after round 1 with half the" in caplog.text
    )
    assert torch.equal(parameters(run), before)
    assert all(torch.equal(v, moments[k]) for k, v in run.optimizer.state_dict().items())
    assert all(torch.equal(v, average[k]) for k, v in run.average.state.items())

    def without_a_draw(self: EnergyObjective, target: PullbackEnergy) -> tuple[Tensor, Tensor]:
        raise FloatingPointError("all of 256 draws have a non-finite energy")

    monkeypatch.setattr(EnergyObjective, "loss", without_a_draw)
    run.run_round()
    assert torch.equal(parameters(run), before)
    monkeypatch.setattr(EnergyObjective, "loss", original)
    run.run_round()
    assert [m.get(WENT_BACK, False) for m in run.metrics] == [False, True, True, False]
    assert [m["learning_rate"] for m in run.metrics] == pytest.approx([1e-4, 1e-4, 5e-5, 2.5e-5])
    assert not torch.equal(parameters(run), before)
    assert run.done


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_slow_divergence_is_undone_from_where_it_began(
    run: TrainingRun,
    interrupted: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Spreads of 1.2, 1.8 and 2.5: training goes back to after the first of these rounds, resumed or not."""
    spreads = iter([1.2, 1.8, 2.5, 1.2])
    monkeypatch.setattr("boltzgen.training.annealed.statistics.median", lambda _: next(spreads))
    run.run_round()
    before, norms = parameters(run), dict(run.clipping.norms)
    rest = {k: v.clone() for k, v in (run.average.state | run.optimizer.state_dict()).items()}
    run.run_round()
    if interrupted:
        present = run.snapshot()
        save_run(tmp_path, run)
        run = load_run(tmp_path, run.generator.system, CountedEnergy(energy_for(run.generator.system)))
        resumed = run.snapshot()
        assert resumed.norms == present.norms
        for part, tensors in present.parts.items():
            assert resumed.parts[part].keys() == tensors.keys()
            assert all(torch.equal(resumed.parts[part][k], v) for k, v in tensors.items())
    run.run_round()
    assert "training diverged in round 3: it goes on from what it was after round 1 with" in caplog.text
    assert torch.equal(parameters(run), before)
    assert run.clipping.norms == norms
    found = run.average.state | run.optimizer.state_dict()
    assert found.keys() == rest.keys()
    assert all(torch.equal(v, rest[k]) for k, v in found.items())
    run.run_round()
    assert [m.get(WENT_BACK, False) for m in run.metrics] == [False, False, True, False]
    assert run.done


@pytest.mark.parametrize("interrupted", [False, True])
def test_a_divergence_from_the_first_round_on(
    run: TrainingRun,
    interrupted: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    spreads = iter([math.nan, 1.0])
    monkeypatch.setattr("boltzgen.training.annealed.statistics.median", lambda _: next(spreads))
    before = parameters(run)
    run.run_round()
    assert (
        "training diverged in round 1: it goes on from its start with half the learning rate" in caplog.text
    )
    if interrupted:
        save_run(tmp_path, run)
        run = load_run(tmp_path, run.generator.system, CountedEnergy(energy_for(run.generator.system)))
    assert torch.equal(parameters(run), before)
    run.run_round()
    assert run.metrics[1]["learning_rate"] == pytest.approx(5e-5)


def test_training_gives_up_in_the_end(run: TrainingRun, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_a_draw(self: EnergyObjective, target: PullbackEnergy) -> tuple[Tensor, Tensor]:
        raise FloatingPointError("all of 256 draws have a non-finite energy")

    monkeypatch.setattr(EnergyObjective, "loss", without_a_draw)
    monkeypatch.setattr("boltzgen.training.training_run.MOST_HALVINGS", 2)
    run.run_round()
    run.run_round()
    with pytest.raises(FloatingPointError, match="diverged 3 times"):
        run.run_round()
    assert guard.MOST_HALVINGS > 2
