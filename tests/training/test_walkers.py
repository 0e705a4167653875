"""Walkers: where they begin, how they move, and which systems have none."""

import logging
import math
from typing import Any

import pytest
import torch

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.energy.base import CountedEnergy
from boltzgen.energy.choose import energy_for
from boltzgen.generator.target import PullbackEnergy
from boltzgen.geometry import dihedrals
from boltzgen.molecule.system import System
from boltzgen.training import walkers as module
from boltzgen.training.walkers import N_ANNEALING, N_STEPS, Walkers


def started(
    system: System, coordinates: MolecularCoordinates, n: int, **options: Any
) -> tuple[Walkers, CountedEnergy]:
    energy = CountedEnergy(energy_for(system))
    walkers = Walkers.start(
        energy, system, coordinates, n, **({"hot": 1200.0, "temperature": 300.0, "seed": 4} | options)
    )
    assert walkers is not None
    return walkers, energy


def test_annealed_walkers_are_in_rare_basins_and_at_equilibrium_there(
    system: System, coordinates: MolecularCoordinates
) -> None:
    """phi > 0 has 0.2 % of the Boltzmann distribution. Bonds and angles have the energy of 300 K: half a kT
    for each coordinate, about.
    """
    n = 256
    walkers, energy = started(system, coordinates, n)
    hottest, _ = started(system, coordinates, n, temperature=1200.0)
    stream = torch.Generator().manual_seed(1)
    for _ in range(60):
        walkers.move(slice(None), 300.0, stream)
        hottest.move(slice(None), 1200.0, stream)
    y = coordinates.inverse(walkers.x)[0]
    y[:, coordinates.n_full : coordinates.n_periodic] = 0.0
    assert coordinates.in_domain(y).all()
    phi = system.torsions["phi"]
    positive = float((dihedrals(walkers.x, phi) > 0).double().mean())
    assert 0.1 < positive < 0.9
    reduced = (energy(walkers.x) - energy(system.positions.to(walkers.x))).double()
    assert 0.3 < float(reduced.median()) / coordinates.n_stiff < 0.8
    at_1200 = (energy(hottest.x) - energy(system.positions.to(walkers.x))).double()
    assert float(at_1200.median()) > 2.5 * float(reduced.median())
    assert 0.001 < walkers.step < 0.005


def test_some_walkers_move(system: System, coordinates: MolecularCoordinates) -> None:
    """Those that are chosen move and cost their steps; the others stay where they are, with their
    energies.
    """
    walkers, energy = started(system, coordinates, 10, hot=300.0)
    before, count = walkers.x.clone(), energy.n_evaluations
    walkers.move(torch.tensor([7, 4, 5, 6]), 300.0, torch.Generator().manual_seed(3))
    assert energy.n_evaluations - count == 4 * N_STEPS
    moved = {i for i, (a, b) in enumerate(zip(before, walkers.x, strict=True)) if not torch.equal(a, b)}
    assert moved <= {4, 5, 6, 7}  # some moves are rejected
    assert len(moved) >= 2
    assert torch.allclose(walkers._here.potential, energy.potential(walkers.x), atol=1e-3)


def test_draws_are_where_walkers_are_with_their_energies(
    system: System, coordinates: MolecularCoordinates
) -> None:
    """In the domain, rotors that have turned brought back with their own hydrogens' bonds and angles."""
    walkers, energy = started(system, coordinates, 64, hot=300.0)
    for _ in range(30):
        walkers.move(slice(None), 3000.0, torch.Generator().manual_seed(1))
    walkers.priority[:10] = 50.0
    chosen, y, u = walkers.draw(100, 600.0, torch.Generator().manual_seed(2))
    assert y.shape == (100, coordinates.n_periodic + coordinates.n_stiff) and len(chosen) == 100
    assert torch.equal(y[chosen == chosen[0]], y[:1].expand(int((chosen == chosen[0]).sum()), -1))
    assert coordinates.in_domain(y).all()
    assert torch.allclose(u, PullbackEnergy(energy.at(600.0), coordinates)(y), atol=0.02)
    x = coordinates(y)[0]
    assert torch.allclose(energy.potential(x), walkers._here.potential[chosen], atol=0.05)
    outside = ~coordinates.in_domain(coordinates.inverse(walkers.x)[0])
    assert outside.any()  # some rotors have turned


def test_priority_is_high_where_the_flow_has_too_little_of_what_matters(
    system: System, coordinates: MolecularCoordinates
) -> None:
    walkers, _ = started(system, coordinates, 8, hot=300.0)
    assert walkers.priority.tolist() == [1.0] * 8
    # Large; as large as counts; twice chosen; rarer by e^3 than what the flow draws; without an energy; not a
    # number.
    which = torch.tensor([1, 2, 3, 3, 4, 5, 6])
    log_w = torch.tensor([math.log(3), 9.0, 0.0, math.log(2), math.log(3), -math.inf, math.nan])
    rarity = torch.tensor([5.0, 0.0, 1.0, 0.0, -3.0, -math.inf, 0.0])
    walkers.update_priorities(which, log_w, rarity)
    expected = [1, (1 + 10) / 2, (1 + 401) / 2, (1 + 3.5) / 2, (1 + 10 * math.exp(-3)) / 2, 0.5, 0.5, 1]
    assert walkers.priority.tolist() == pytest.approx(expected)
    walkers.priority[5] = 0.0
    stream = torch.Generator().manual_seed(0)
    times = torch.bincount(walkers.choose(400_000, stream), minlength=8)
    share = torch.tensor([*expected[:5], 1e-3, *expected[6:]]) / (sum(expected) - 0.5 + 1e-3)
    assert ((times - 400_000 * share).abs() < 5 * torch.sqrt(400_000 * share)).all()
    assert times[5] > 0  # none is forgotten


def test_draws_replace_those_of_the_least_priority(system: System, coordinates: MolecularCoordinates) -> None:
    walkers, energy = started(system, coordinates, 6, hot=300.0)
    walkers.priority = torch.tensor([3.0, 0.2, 1.0, 0.1, 5.0, 0.3])
    before, count = walkers.x.clone(), energy.n_evaluations
    new = torch.stack([system.positions, system.positions + 0.1]).float()
    walkers.replace(new)
    assert energy.n_evaluations - count == 2
    assert torch.equal(walkers.x[[0, 2, 4, 5]], before[[0, 2, 4, 5]])
    assert torch.equal(walkers.x[[1, 3]], new) or torch.equal(walkers.x[[3, 1]], new)
    assert walkers.priority.tolist() == pytest.approx([3, 401, 1, 401, 5, 0.3])
    assert torch.allclose(walkers._here.potential, energy.potential(walkers.x), atol=1e-3)
    walkers.replace(new[:1].expand(20, -1, -1))  # no more than there are
    assert torch.equal(walkers.x, new[:1].expand(6, -1, -1))


def test_only_a_training_that_begins_cold_anneals_them(
    system: System, coordinates: MolecularCoordinates
) -> None:
    for temperature, moves in ((1200.0, 0), (300.0, N_ANNEALING)):
        _, energy = started(system, coordinates, 8, temperature=temperature)
        spent = energy.n_evaluations - 8 * moves * N_STEPS
        assert 8 * 102 <= spent <= 8 * 102 * 4


def test_the_same_seed_gives_the_same_walkers(system: System, coordinates: MolecularCoordinates) -> None:
    first, second, other = (started(system, coordinates, 8, seed=seed)[0] for seed in (4, 4, 5))
    assert torch.equal(first.x, second.x)
    assert first.step == second.step
    assert not torch.equal(first.x, other.x)


@pytest.mark.parametrize(("n", "name"), [(0, "integrator_for"), (8, "integrator_for"), (8, "random_starts")])
def test_where_there_are_none(
    system: System,
    coordinates: MolecularCoordinates,
    n: int,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Asked for none; or the system has constraints that a move cannot keep, or no start relaxes, which is
    said.
    """

    def refuse(*arguments: Any, **options: Any) -> None:
        raise ValueError("replica exchange needs constraints on single bonds")

    monkeypatch.setattr(module, name, refuse)
    with caplog.at_level(logging.WARNING):
        assert (
            Walkers.start(energy_for(system), system, coordinates, n, hot=1200.0, temperature=300.0, seed=0)
            is None
        )
    assert ("training without walkers: replica exchange needs" in caplog.text) == (n > 0)
