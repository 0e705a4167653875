"""Hamiltonian Monte Carlo and replica exchange on systems with known answers."""

import math

import numpy as np
import pytest
import torch
from scipy import integrate, special, stats
from torch import Tensor

from boltzgen import units
from boltzgen.energy.base import Energy
from boltzgen.simulation.hmc import Configurations, HamiltonianMonteCarlo
from boltzgen.simulation.integrator import Integrator, sampling_masses
from boltzgen.simulation.ladder import exchange, temperature_ladder
from boltzgen.simulation.replica_exchange import ReplicaExchange

STIFFNESS = 4.0


class Harmonic(Energy):
    """U = k |x|^2 / 2 of each of n particles."""

    def potential(self, x: Tensor) -> Tensor:
        return 0.5 * STIFFNESS * x.square().sum((-1, -2))


class DoubleWell(Energy):
    """U = 40 (x^2 - 1)^2 + x in the first coordinate of one particle, harmonic in the others: a barrier of 16
    kT at 300 K.
    """

    def potential(self, x: Tensor) -> Tensor:
        first, rest = x[..., 0, 0], x[..., 0, 1:]
        return self.well(first) + 0.5 * STIFFNESS * rest.square().sum(-1)

    @staticmethod
    def well(x: Tensor) -> Tensor:
        return 40.0 * (x.square() - 1.0).square() + x


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def run(
    energy: Energy, kt: float, step: float, *, n: int = 4096, moves: int = 30, inside=None, n_steps: int = 5
) -> tuple[Tensor, list]:
    masses = torch.ones(energy.n_atoms, dtype=torch.float64)
    sampler = HamiltonianMonteCarlo(energy, Integrator(masses), inside=inside, n_steps=n_steps)
    start = 0.5 * torch.ones(n, energy.n_atoms, 3, dtype=torch.float64)
    here, done, generator = Configurations.at(energy, start), [], stream()
    for _ in range(moves):
        here, move = sampler.move(
            here,
            torch.full((n,), kt, dtype=torch.float64),
            torch.full((n,), step, dtype=torch.float64),
            generator,
        )
        done.append(move)
    return here.x, done


class Dumbbell(Energy):
    """A heavy atom in a harmonic well; a constant force along z on the light one that is bound to it."""

    FORCE = 9.0

    def potential(self, x: Tensor) -> Tensor:
        return 0.5 * STIFFNESS * x[..., 0, :].square().sum(-1) + self.FORCE * x[..., 1, 2]


@pytest.mark.parametrize("step", [0.15, 0.5])
def test_a_rigid_bond_on_its_sphere(step: float) -> None:
    """The direction of a rod in a field has density exp(-F b cos / kT) whatever the step; its length stays;
    the heavy atom's height is shifted.
    """
    kt, length, n = 2.5, 0.7, 4096
    integrator = Integrator(torch.tensor([4.0, 1.0], dtype=torch.float64), {(0, 1): length}, ((1, 2), (0,)))
    sampler = HamiltonianMonteCarlo(Dumbbell(2, 300.0), integrator, n_steps=5)
    start = integrator.restore(torch.randn(n, 2, 3, generator=stream(1), dtype=torch.float64))
    here, generator, rate = Configurations.at(sampler.energy, start), stream(), []
    for _ in range(60):
        here, move = sampler.move(
            here,
            torch.full((n,), kt, dtype=torch.float64),
            torch.full((n,), step, dtype=torch.float64),
            generator,
        )
        rate.append(float(move.probability.mean()))
    assert np.mean(rate) > 0.95 if step < 0.5 else 0.3 < np.mean(rate) < 0.95
    rod = here.x[:, 1] - here.x[:, 0]
    torch.testing.assert_close(
        rod.norm(dim=-1), torch.full((n,), length, dtype=torch.float64), atol=1e-12, rtol=0
    )
    b = Dumbbell.FORCE * length / kt
    cosine = (rod[:, 2] / length).numpy()
    assert (
        stats.kstest(cosine, lambda c: (np.exp(b) - np.exp(-b * c)) / (np.exp(b) - np.exp(-b))).pvalue > 1e-3
    )
    assert (
        stats.kstest(
            here.x[:, 0, 2].numpy(), "norm", args=(-Dumbbell.FORCE / STIFFNESS, math.sqrt(kt / STIFFNESS))
        ).pvalue
        > 1e-3
    )
    assert (
        stats.kstest(
            torch.atan2(rod[:, 1], rod[:, 0]).numpy(), "uniform", args=(-math.pi, 2 * math.pi)
        ).pvalue
        > 1e-3
    )


def test_rigid_bonds_only_to_terminal_atoms() -> None:
    with pytest.raises(
        ValueError, match=r"constraints on single bonds to hydrogens.*between 1 and 2; use `method='md'`"
    ):
        Integrator(torch.ones(3), {(0, 1): 0.1}, ((1, 2), (0, 2), (0, 1)))


@pytest.mark.parametrize("step", [0.15, 0.8])
def test_harmonic_whatever_the_step(step: float) -> None:
    """At the longer step a third of the moves are rejected, and the velocity Verlet's own distribution is far
    off.
    """
    kt = 2.5
    x, moves = run(Harmonic(2, 300.0), kt, step)
    acceptance = float(torch.stack([m.probability for m in moves]).mean())
    assert acceptance > 0.95 if step < 0.5 else 0.4 < acceptance < 0.95
    assert stats.kstest(x.flatten().numpy(), "norm", args=(0.0, math.sqrt(kt / STIFFNESS))).pvalue > 1e-3


def test_accepted_as_often_as_predicted() -> None:
    _, moves = run(Harmonic(2, 300.0), 2.5, 0.8)
    chance, accepted = (
        torch.stack([getattr(m, name) for m in moves]).double() for name in ("probability", "accepted")
    )
    error = float((chance * (1 - chance)).sum().sqrt()) / accepted.numel()
    assert abs(float(accepted.mean() - chance.mean())) < 4 * error


def test_double_well_against_quadrature() -> None:
    """Populations of the two wells at two temperatures, by replica exchange, whose colder replicas alone
    would not cross.
    """
    temperatures = torch.tensor([300.0, 450.0, 700.0, 1100.0])
    sampler = ReplicaExchange(
        DoubleWell(1, 300.0), Integrator(torch.ones(1, dtype=torch.float64)), temperatures, n_steps=5, seed=3
    )
    start = torch.zeros(256, 1, 3, dtype=torch.float64)
    start[:, 0, 0] = 1.0  # all in the upper well
    state = sampler.start(start)
    state.step[:] = 0.05
    sampler.run(state, 0, 1, 600, tune=True)
    frames = sampler.run(state, 1, 100, 5)
    for k, temperature in enumerate(temperatures.tolist()):

        def density(x: float, kt: float = units.kt(temperature)) -> float:
            return math.exp(-float(DoubleWell.well(torch.tensor(x, dtype=torch.float64))) / kt)

        left, right = integrate.quad(density, -4, 0)[0], integrate.quad(density, 0, 4)[0]
        per_walker = (frames.x[:, :, k, 0, 0] < 0).double().mean(0)
        error = float(per_walker.std() / math.sqrt(len(per_walker)))
        assert error < 0.03
        assert abs(float(per_walker.mean()) - left / (left + right)) < 4 * error


def test_moves_that_leave_the_domain_are_rejected() -> None:
    kt = 2.5
    x, moves = run(Harmonic(1, 300.0), kt, 0.4, inside=lambda x: x[:, 0, 0] > 0)
    assert (x[:, 0, 0] > 0).all()
    assert stats.kstest(x[:, 0, 0].numpy(), "halfnorm", args=(0.0, math.sqrt(kt / STIFFNESS))).pvalue > 1e-3
    left = torch.stack([m.left for m in moves]).double().mean()
    assert 0.05 < float(left) < 0.9
    assert not any((m.left & m.accepted).any() for m in moves)


def test_an_energy_that_is_not_a_number_is_rejected() -> None:
    class Hole(Harmonic):
        def potential(self, x: Tensor) -> Tensor:
            u = super().potential(x)
            return torch.where(x[..., 0, 0] > 0.2, u, u * float("nan"))

    x, moves = run(Hole(1, 300.0), 2.5, 0.4)
    assert (x[:, 0, 0] > 0.2).all()
    assert any((~m.accepted).any() for m in moves)


def test_exchanges_leave_the_product_of_distributions_alone() -> None:
    """Independent exact energies of harmonic systems before, the same distributions after."""
    beta = torch.tensor([1.0, 0.7, 0.5, 0.3], dtype=torch.float64)
    rng = np.random.default_rng(0)
    u = torch.from_numpy(rng.gamma(3.0, 1.0, size=(20000, 4))) / beta
    for parity in (0, 1):
        source, accepted = exchange(u, beta, parity, stream(parity))
        after = u.gather(1, source)
        assert not accepted[:, 1 - parity :: 2].any()
        assert accepted[:, parity::2].double().mean() > 0.5
        for k in range(4):
            assert stats.kstest((after[:, k] * beta[k]).numpy(), "gamma", args=(3.0,)).pvalue > 1e-3
        # Both members of a pair move together.
        assert (source.sort(1).values == torch.arange(4)).all()


def test_detailed_balance_of_an_exchange() -> None:
    """p(a, b) P(exchange | a, b) = p(b, a) P(exchange | b, a), from frequencies."""
    beta = torch.tensor([1.0, 0.6], dtype=torch.float64)
    a, b, n = 1.3, 2.0, 200_000
    forth = (
        exchange(torch.tensor([[a, b]], dtype=torch.float64).repeat(n, 1), beta, 0, stream(1))[1]
        .double()
        .mean()
    )
    back = (
        exchange(torch.tensor([[b, a]], dtype=torch.float64).repeat(n, 1), beta, 0, stream(2))[1]
        .double()
        .mean()
    )
    expected = math.exp((1.0 - 0.6) * (a - b))
    assert float(back) == 1.0
    assert abs(float(forth) - expected) < 5 * math.sqrt(expected / n)


@pytest.mark.parametrize("n_degrees", [40, 60, 300])
def test_ladder(n_degrees: int) -> None:
    """End points as asked, a constant ratio, and the acceptance of harmonic systems near the predicted
    third.
    """
    t = temperature_ladder(300.0, 1200.0, n_degrees)
    assert t[0] == pytest.approx(300.0) and t[-1] == pytest.approx(1200.0)
    ratio = t[1:] / t[:-1]
    assert torch.allclose(ratio, ratio[0].expand_as(ratio))
    u = torch.from_numpy(np.random.default_rng(1).gamma(n_degrees / 2, 1.0, size=(4000, len(t)))) * t
    accepted = exchange(u, 1.0 / t, 0, stream())[1][:, 0].double().mean()
    d = float(ratio[0]) - 1
    assert abs(float(accepted) - special.erfc(d * math.sqrt(n_degrees) / (2 * math.sqrt(2)))) < 0.08
    assert 0.28 < float(accepted) < 0.65


def test_a_ladder_of_one_and_a_wrong_one() -> None:
    assert temperature_ladder(300.0, 300.0, 60).tolist() == [300.0]
    with pytest.raises(ValueError, match="lowest <= highest"):
        temperature_ladder(300.0, 200.0, 60)


def test_time_steps_are_tuned_to_the_acceptance() -> None:
    sampler = ReplicaExchange(
        Harmonic(4, 300.0),
        Integrator(torch.ones(4, dtype=torch.float64)),
        torch.tensor([300.0, 600.0]),
        n_steps=5,
    )
    state = sampler.start(torch.zeros(128, 4, 3, dtype=torch.float64))
    state.step[:] = 0.1
    sampler.run(state, 0, 1, 100, tune=True)
    tuned = state.step.clone()
    frames = sampler.run(state, 1, 1, 50)
    assert torch.equal(state.step, tuned)
    assert np.allclose(frames.statistics["acceptance"], 0.8, atol=0.05)


def test_round_trips_are_counted() -> None:
    """Two temperatures so close that nearly every attempt succeeds: a round trip each two attempts at that
    pair, which is every second move.
    """
    sampler = ReplicaExchange(
        Harmonic(1, 300.0),
        Integrator(torch.ones(1, dtype=torch.float64)),
        torch.tensor([300.0, 300.001]),
        n_steps=2,
    )
    state = sampler.start(torch.zeros(10, 1, 3, dtype=torch.float64))
    state.step[:] = 0.1
    frames = sampler.run(state, 0, 1, 40)
    # 20 exchanges, the first of which brings the replicas that began at the bottom to the top; those at the
    # top count once they have been below.
    assert frames.statistics["exchange"][0] > 0.99
    assert frames.statistics["round_trips"] == pytest.approx(10 * 19, rel=0.06)


def test_heavy_hydrogens() -> None:
    assert sampling_masses(torch.tensor([1.008, 12.011])).tolist() == pytest.approx([4.0, 12.011])
