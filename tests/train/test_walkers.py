"""Walkers: where they begin, how they move, and which systems have none."""

import logging
import math
from typing import Any

import pytest
import torch

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.energy.base import CountedEnergy
from boltzgen.energy.choose import energy_for
from boltzgen.reweighting import dihedrals
from boltzgen.system import System
from boltzgen.train import walkers as module
from boltzgen.train.walkers import N_COOLING, N_STEPS, Walkers


@pytest.fixture(scope="module")
def system() -> System:
    return System.load("alanine_dipeptide")


@pytest.fixture(scope="module")
def coordinates(system: System) -> MolecularCoordinates:
    return MolecularCoordinates(system)


def started(system: System, coordinates: MolecularCoordinates, n: int, **options: Any) -> tuple[Walkers, CountedEnergy]:
    energy = CountedEnergy(energy_for(system))
    walkers = Walkers.start(energy, system, coordinates, n, **({"hot": 1200.0, "temperature": 300.0, "seed": 4} | options))
    assert walkers is not None
    return walkers, energy


def test_cooled_walkers_are_in_rare_basins_and_at_equilibrium_there(system: System, coordinates: MolecularCoordinates) -> None:
    """phi > 0 has 0.2 % of the Boltzmann distribution. Bonds and angles have the energy of 300 K: half a kT for each coordinate, about."""
    n = 256
    walkers, energy = started(system, coordinates, n)
    hottest, _ = started(system, coordinates, n, temperature=1200.0)
    stream = torch.Generator().manual_seed(1)
    for _ in range(60):
        torsions = walkers.move(slice(None), 300.0, stream)
        hottest.move(slice(None), 1200.0, stream)
    assert torsions.shape == (n, coordinates.n_circles)
    assert torsions.abs().max() <= math.pi
    y = coordinates.inverse(walkers.x)[0]
    assert torch.allclose(torch.cos(torsions - y[:, : coordinates.n_circles]), torch.ones(()), atol=1e-6)
    y[:, coordinates.n_full : coordinates.n_circles] = 0.0
    assert coordinates.in_domain(y).all()
    phi = system.torsions["phi"]
    positive = float((dihedrals(walkers.x, phi) > 0).double().mean())
    assert 0.1 < positive < 0.9
    reduced = (energy(walkers.x) - energy(system.positions.to(walkers.x))).double()
    assert 0.3 < float(reduced.median()) / coordinates.n_narrow < 0.8
    at_1200 = (energy(hottest.x) - energy(system.positions.to(walkers.x))).double()
    assert float(at_1200.median()) > 2.5 * float(reduced.median())
    assert 0.001 < walkers.step < 0.005


def test_some_walkers_move(system: System, coordinates: MolecularCoordinates) -> None:
    """Those that are chosen move and cost their steps; the others stay where they are, with their energies."""
    walkers, energy = started(system, coordinates, 10, hot=300.0)
    before, count = walkers.x.clone(), energy.n_evaluations
    walkers.move(torch.tensor([7, 4, 5, 6]), 300.0, torch.Generator().manual_seed(3))
    assert energy.n_evaluations - count == 4 * N_STEPS
    moved = {i for i, (a, b) in enumerate(zip(before, walkers.x, strict=True)) if not torch.equal(a, b)}
    assert moved <= {4, 5, 6, 7}  # some moves are rejected
    assert len(moved) >= 2
    assert torch.allclose(walkers._here.potential, energy.potential(walkers.x), atol=1e-3)


def test_walkers_where_the_flow_has_too_little_are_chosen_most_often(system: System, coordinates: MolecularCoordinates) -> None:
    walkers, _ = started(system, coordinates, 10, hot=300.0)
    walkers.learn(torch.tensor([3, 4, 5]), torch.tensor([9.0, -math.inf, math.nan]))
    walkers.learn(torch.tensor([3]), torch.tensor([math.log(2.0)]))
    assert walkers.weight.tolist() == pytest.approx([1, 1, 1, 0.5 * (0.5 + 10 + 2), 0.5, 0.5, 1, 1, 1, 1])
    stream = torch.Generator().manual_seed(0)
    drawn = torch.stack([walkers.choose(3, stream) for _ in range(2000)])
    assert all(len(set(row)) == 3 for row in drawn.tolist())
    times = torch.bincount(drawn[:, 0], minlength=10) / 2000
    expected = (1 + walkers.weight) / (1 + walkers.weight).sum()
    assert (times - expected).abs().max() < 4 * math.sqrt(0.25 / 2000)


def test_only_a_training_that_begins_cold_cools_them(system: System, coordinates: MolecularCoordinates) -> None:
    for temperature, moves in ((1200.0, 0), (300.0, N_COOLING)):
        _, energy = started(system, coordinates, 8, temperature=temperature)
        spent = energy.n_evaluations - 8 * moves * N_STEPS
        assert 8 * 102 <= spent <= 8 * 102 * 4


def test_the_same_seed_gives_the_same_walkers(system: System, coordinates: MolecularCoordinates) -> None:
    first, second, other = (started(system, coordinates, 8, seed=seed)[0] for seed in (4, 4, 5))
    assert torch.equal(first.x, second.x)
    assert first.step == second.step
    assert not torch.equal(first.x, other.x)


@pytest.mark.parametrize(("n", "name"), [(0, "motion_for"), (8, "motion_for"), (8, "random_starts")])
def test_where_there_are_none(
    system: System, coordinates: MolecularCoordinates, n: int, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Asked for none; or the system has constraints that a move cannot keep, or no start relaxes, which is said."""

    def refuse(*arguments: Any, **options: Any) -> None:
        raise ValueError("replica exchange needs constraints on single bonds")

    monkeypatch.setattr(module, name, refuse)
    with caplog.at_level(logging.WARNING):
        assert Walkers.start(energy_for(system), system, coordinates, n, hot=1200.0, temperature=300.0, seed=0) is None
    assert ("training without walkers: replica exchange needs" in caplog.text) == (n > 0)
