"""The refinement at the target: on fresh draws, by the path gradient."""

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import pytest
import torch

from boltzgen.energy.base import CountedEnergy
from boltzgen.energy.choose import energy_for
from boltzgen.generator import BoltzmannGenerator
from boltzgen.system import System
from boltzgen.train.checkpoint import STATE
from boltzgen.train.run import train
from boltzgen.train.settings import Settings
from boltzgen.train.trainer import Trainer, start
from tests.train.test_run import TINY, StopAt, timeless

REFINED = dataclasses.replace(TINY, final_rounds=3, annealing="trust_region", trust=50.0, entropy=50.0)


@pytest.fixture(autouse=True)
def small_validation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("boltzgen.train.run._N_VALIDATION", 3000)


@pytest.fixture(scope="module")
def system() -> System:
    return System.load("alanine_dipeptide")


@pytest.fixture(scope="module")
def whole(system: System, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any], StopAt]:
    folder, watch = tmp_path_factory.mktemp("runs") / "whole", StopAt(10**6)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("boltzgen.train.run._N_VALIDATION", 3000)
        return folder, train(system, folder, seed=5, settings=REFINED, progress=watch), watch


def test_it_comes_last_and_counts_its_energies(system: System, whole: tuple[Path, dict[str, Any], StopAt]) -> None:
    folder, _, watch = whole
    rounds = timeless(folder)
    assert [r["stage"] for r in rounds[-4:]] == ["anneal"] + ["final"] * 3
    assert all(r["temperature"] == system.temperature for r in rounds[-4:])
    counts = [r["n_energy_evaluations"] for r in rounds[-4:]]
    assert [b - a for a, b in itertools.pairwise(counts)] == [3 * 64] * 3
    for record in rounds[-3:]:
        assert 1 / (3 * 45) <= record["efficiency"] * (1 + 1e-9) <= 1 + 1e-9
        assert {"loss", "log_z", "log_z_error", "skipped_steps", "fraction_outside_domain"} <= record.keys()
    fractions = [p.fraction for p in watch.seen]
    assert fractions == sorted(fractions)
    assert {p.stage for p in watch.seen} == {"warmup", "anneal", "final"}
    assert fractions[-1] < 1 < fractions[-1] + 0.05


@pytest.mark.parametrize("steps_before_the_end", [2, 5, 8])
def test_interrupted_it_goes_on_as_the_same_run(
    system: System, whole: tuple[Path, dict[str, Any], StopAt], tmp_path: Path, steps_before_the_end: int
) -> None:
    """In its last round, in the middle, and in its first one, which no draws to be replayed come with."""
    folder, summary, watch = whole
    stop = StopAt(len(watch.seen) - steps_before_the_end + 1)
    with pytest.raises(KeyboardInterrupt):
        train(system, tmp_path / "run", seed=5, settings=REFINED, progress=stop)
    assert stop.seen[-1].stage == "final"
    assert (tmp_path / "run" / STATE).exists()
    assert not list((tmp_path / "run").glob("round_*.safetensors"))
    resumed = train(system, tmp_path / "run", resume=True)
    assert timeless(tmp_path / "run") == timeless(folder)
    same = [torch.equal(a, b) for a, b in zip(*(BoltzmannGenerator.load(f, system).parameters() for f in (tmp_path / "run", folder)), strict=True)]
    assert all(same)
    assert resumed["n_energy_evaluations"] == summary["n_energy_evaluations"]


def test_refining_a_trained_generator(system: System) -> None:
    """Its loss is -log Z plus a small KL; the average follows the parameters; at a rate of zero they stay."""
    generator = BoltzmannGenerator.load(system.folder, system)
    before = [p.detach().clone() for p in generator.flow.parameters()]
    for rate in (0.0, 1e-4):
        settings = Settings(final_rounds=1, final_steps=3, final_batch=256, final_rate=rate)
        state = start(generator, settings, stage="final")
        Trainer(CountedEnergy(energy_for(system)), system.temperature, settings, seed=1).run_round(state)
        (record,) = state.metrics
        assert state.stage == "done"
        assert record["skipped_steps"] == 0
        assert record["efficiency"] > 0.7
        # The mean of log q(r | t) + u lacks the torsions' entropy, a few nats.
        assert -1.0 < record["loss"] + record["log_z"] < 8.0
        moved = [not torch.equal(a, b) for a, b in zip(before, generator.flow.parameters(), strict=True)]
        assert any(moved) == (rate > 0)
        averaged = torch.cat([state.average[k].flatten() for k, _ in generator.flow.named_parameters()])
        present = torch.cat([p.detach().flatten() for p in generator.flow.parameters()])
        assert (averaged - present).abs().max() <= 10 * rate
        assert torch.equal(averaged, present) == (rate == 0)
