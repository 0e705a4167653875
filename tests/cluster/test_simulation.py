"""Walkers that workers advance in groups: the frames do not depend on the workers."""

import json
import math
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from boltzgen.cluster.connect import connected
from boltzgen.cluster.mapping import shared
from boltzgen.energy.forcefield import ForceFieldEnergy
from boltzgen.molecule.system import System
from boltzgen.simulation import groups
from boltzgen.simulation.ensemble import Ensemble
from boltzgen.simulation.groups import Grouped, Recipe, advance
from boltzgen.simulation.plan import Plan
from boltzgen.simulation.run import simulate
from tests.helpers.command_line import call

pytest.importorskip("distributed")
NAME = "alanine_dipeptide"
PLAN = Plan(n_walkers=5, interval=2, n_steps=5, checkpoint_frames=3, burn_in=1, seed=5)


@pytest.fixture(autouse=True)
def small_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "WALKERS", 2)


@pytest.fixture
def short_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Simulations have moves of two time steps, and a burn-in of one checkpoint."""
    plan = Plan.for_method
    monkeypatch.setattr(
        Plan, "for_method", lambda *args, **changes: replace(plan(*args, **changes), n_steps=2, burn_in=1)
    )


def here(work: Callable[[Any], Any], arguments: Sequence[Any]) -> list[Any]:
    """In this process, the last one first."""
    return [work(one) for one in reversed(arguments)][::-1]


def advanced(plan: Plan, share: groups.Share, *, tune: bool = False) -> tuple[Any, Any]:
    """The state and the frames of five walkers in three groups."""
    system = System.load(NAME)
    sampler = Grouped(plan.sampler(system, "cpu"), Recipe(NAME, system.fingerprint, plan), share)
    state = sampler.start(system.positions.repeat(plan.n_walkers, 1, 1))
    frames = sampler.run(state, 1, plan.checkpoint_frames, plan.interval, tune=tune)
    return state, frames


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    with connected(workers=2) as client:
        yield client


def test_workers_make_the_frames_of_one_process(client: Any) -> None:
    expected, frames = advanced(PLAN, here, tune=True)
    state, found = advanced(PLAN, shared(client), tune=True)
    for name, tensor in expected.tensors().items():
        assert torch.equal(state.tensors()[name], tensor), name
    assert torch.equal(found.x, frames.x) and torch.equal(found.potential, frames.potential)
    assert found.statistics == frames.statistics


def test_walkers_stay_in_order_and_groups_have_random_numbers_of_their_own() -> None:
    state, frames = advanced(PLAN, here)
    assert frames.x.shape[:3] == (3, 5, 7)
    u = ForceFieldEnergy(System.load(NAME)).potential(frames.x)
    assert torch.allclose(u.double(), frames.potential, atol=2e-2)
    assert torch.equal(state.x.float(), frames.x[-1])
    assert len({float(v) for v in frames.potential[-1, :, 0]}) == 5
    assert frames.statistics["n_energy_evaluations"] == 5 * 7 * (3 * 2 * 5 + 1)
    assert len(frames.statistics["acceptance"]) == 7 and len(frames.statistics["exchange"]) == 6


def test_time_steps_are_averaged_over_groups() -> None:
    tuned: list[np.ndarray] = []

    def share(work: Callable[[Any], Any], arguments: Sequence[Any]) -> list[Any]:
        done = here(work, arguments)
        tuned.extend(one.state["step"] for one in done)
        return done

    state, _ = advanced(PLAN, share, tune=True)
    assert len(tuned) == 3 and not np.array_equal(tuned[0], tuned[1])
    np.testing.assert_allclose(state.step, np.prod(tuned, axis=0) ** (1 / 3))


def test_dynamics_are_shared_too() -> None:
    plan = Plan.for_method("md", n_walkers=3, interval=5, checkpoint_frames=2, platform="Reference")
    state, frames = advanced(plan, here)
    assert state.v is not None and state.v.shape == state.x.shape
    assert len({float(v) for v in frames.potential[-1, :, 0]}) == 3


def test_another_system_is_refused() -> None:
    system = System.load(NAME)
    recipe = Recipe("alanine_dipeptide_vacuum", system.fingerprint, PLAN)
    sampler = Grouped(PLAN.sampler(system, "cpu"), recipe, here)
    state = sampler.start(system.positions[None])
    with pytest.raises(ValueError, match="is another system on this worker"):
        sampler.run(state, 0, 1, 1)


class Killing:
    """Ends the worker that runs it the first time, and works the second time."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __call__(self, part: Any) -> Any:
        if part.group == 1 and not self.mark.exists():
            self.mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return advance(part)


def test_a_worker_that_is_killed_changes_nothing(client: Any, tmp_path: Path) -> None:
    share, mark = shared(client), tmp_path / "killed"
    _, found = advanced(PLAN, lambda work, arguments: share(Killing(mark), arguments))
    assert mark.exists()
    assert torch.equal(found.x, advanced(PLAN, here)[1].x)


@pytest.mark.usefixtures("short_moves")
def test_a_simulation_goes_on_with_workers_or_without(tmp_path: Path) -> None:
    plan = {"walkers": 3, "interval": 1}
    simulate(NAME, tmp_path / "a", frames=10, share=here, **plan)
    simulate(NAME, tmp_path / "b", frames=20, share=here, **plan)
    simulate(NAME, tmp_path / "a", frames=20, resume=True, share=here)
    system = System.load(NAME)
    a, b = (Ensemble.load(tmp_path / name, system) for name in "ab")
    assert torch.equal(a.x, b.x)
    simulate(NAME, tmp_path / "a", frames=30, resume=True)
    assert len(Ensemble.load(tmp_path / "a", system).x) == 30
    with pytest.raises(ValueError, match="as a name or a folder"):
        simulate(system, tmp_path / "c", frames=1, share=here)


@pytest.mark.usefixtures("short_moves")
def test_the_command_shares_walkers(
    client: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    @contextmanager
    def ours(**options: Any) -> Iterator[Any]:
        """The workers that run already."""
        asked.append(options)
        yield client

    options = ["--walkers", "3", "--interval", "1", "-n", "10", "--seed", "3", "--json"]
    with monkeypatch.context() as patched:
        patched.setattr("boltzgen.cluster.connect.connected", ours)
        code, out, _ = call(capfd, "simulate", NAME, "-o", tmp_path / "s", *options, "--workers", 2)
    assert asked == [{"workers": 2, "scheduler": None}]
    assert code == 0
    summary = json.loads(out)
    assert summary["n_walkers"] == 3 and math.isfinite(summary["n_energy_evaluations"])
    found = Ensemble.load(tmp_path / "s", System.load(NAME))
    simulate(NAME, tmp_path / "t", frames=10, walkers=3, interval=1, seed=3, share=here)
    assert torch.equal(found.x, Ensemble.load(tmp_path / "t", System.load(NAME)).x)
    both = ["--workers", 2, "--scheduler", "tcp://h:1"]
    code, _, err = call(capfd, "simulate", NAME, "-o", tmp_path / "u", *both)
    assert code == 2 and "give one of them" in err
