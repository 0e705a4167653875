"""Acceptance rates of resampled bases, against exact integrals and one another."""

import math

import pytest
import torch
from torch import Tensor, nn

from boltzgen.flow.acceptance_rate import AcceptanceRate, MonteCarlo, Quadrature, QuasiMonteCarlo
from boltzgen.flow.distribution import Distribution
from boltzgen.flow.elementary import Product, StandardNormal, UniformTorus
from boltzgen.flow.flow import Flow
from boltzgen.flow.gaussian import GaussianMixture
from boltzgen.flow.resampled import Resampled
from boltzgen.flow.resampling import rates_once
from tests.helpers.resampled import Bell, DiagonalNormal, moved_normal


class Peaks(nn.Module):
    """log a = sum_i k (cos z_i - 1): E[a] over the uniform torus is (I0(k) e^-k)^n."""

    def __init__(self, k: float = 1.5) -> None:
        super().__init__()
        self.k = nn.Parameter(torch.tensor(k, dtype=torch.float64))

    def forward(self, z: Tensor) -> Tensor:
        return self.k * (torch.cos(z) - 1).sum(-1)


@pytest.mark.parametrize(
    ("n", "rate", "most"),
    [
        (1, Quadrature(32), 1e-8),
        (2, Quadrature(32), 1e-7),
        (5, QuasiMonteCarlo(), 2e-3),
        (5, MonteCarlo(), 0.02),
    ],
)
def test_rate_against_the_exact_integral(n: int, rate: AcceptanceRate, most: float) -> None:
    """log Z and its gradient in the acceptance's and in the proposal's parameters; the error estimate is no
    fairy tale.
    """
    base = Resampled(moved_normal(n), Bell(), rate=rate).double()
    base.update_rate(1_000_000, generator=torch.Generator().manual_seed(1))
    assert isinstance(base.proposal, DiagonalNormal) and isinstance(base.acceptance, Bell)
    parameters = list(base.parameters())
    found = base.log_acceptance_rate()
    exact = base.acceptance.exact(base.proposal.loc, base.proposal.log_scale.exp())
    difference = abs(float((found - exact).detach()))
    assert difference < most
    error = float(base.acceptance_rate_error())
    assert difference < 5 * error + 1e-10
    assert error < 2 * most
    exact_slopes = torch.autograd.grad(exact, parameters)
    if isinstance(rate, MonteCarlo):
        # The gradient comes from 1024 proposals, others after each update.
        runs = []
        for seed in range(300):
            base.update_rate(generator=torch.Generator().manual_seed(seed))
            runs.append(
                torch.cat([g.flatten() for g in torch.autograd.grad(base.log_acceptance_rate(), parameters)])
            )
        all_runs = torch.stack(runs)
        spread = all_runs.std(0) / math.sqrt(len(runs))
        found_slope, slack = all_runs.mean(0), 4.5 * spread + 2e-3
    else:
        found_slope = torch.cat([g.flatten() for g in torch.autograd.grad(found, parameters)])
        slack = torch.tensor(10 * most)
    assert ((found_slope - torch.cat([g.flatten() for g in exact_slopes])).abs() < slack).all()


def test_rate_on_a_torus_and_over_a_mixture() -> None:
    exact = math.log(float(torch.special.i0e(torch.tensor(1.5, dtype=torch.float64))))
    for n, rate, most in ((2, Quadrature(24), 1e-9), (5, QuasiMonteCarlo(), 6e-3)):
        base = Resampled(UniformTorus(n), Peaks(), rate=rate).double()
        assert float(base.log_acceptance_rate().detach()) == pytest.approx(n * exact, abs=most)
    mixture = GaussianMixture(2, 3, generator=torch.Generator().manual_seed(0)).double()
    by_grid = Resampled(mixture, Bell(), rate=Quadrature(40))
    by_draws = Resampled(mixture, by_grid.acceptance, rate=MonteCarlo()).double()
    by_draws.update_rate(1_000_000, generator=torch.Generator().manual_seed(1))
    difference = float((by_grid.log_acceptance_rate() - by_draws.log_acceptance_rate()).detach())
    assert abs(difference) < 5 * float(by_draws.acceptance_rate_error()) < 0.02


def test_default_rates_and_what_proposals_lack() -> None:
    def kind(proposal: Distribution) -> type:
        return type(Resampled(proposal, Bell()).rate)

    assert kind(DiagonalNormal(2)) is Quadrature
    assert kind(Product([UniformTorus(1), StandardNormal(1)])) is Quadrature
    assert kind(StandardNormal(5)) is QuasiMonteCarlo
    assert kind(GaussianMixture(5, 2)) is MonteCarlo
    assert kind(Product([GaussianMixture(2, 2), StandardNormal(1)])) is MonteCarlo
    assert kind(StandardNormal(40)) is MonteCarlo
    with pytest.raises(TypeError, match="no quantile function; use MonteCarlo"):
        Resampled(GaussianMixture(3, 2), Bell(), rate=QuasiMonteCarlo())
    with pytest.raises(TypeError, match="Quadrature"):
        Resampled(
            Product([Flow(StandardNormal(1), nn.Identity()), StandardNormal(1)]), Bell(), rate=Quadrature()
        )  # type: ignore[arg-type]


def test_monte_carlo_rate_is_updated_by_hand_alone() -> None:
    base = Resampled(StandardNormal(20), Bell(0.1), rate=MonteCarlo(256, decay=0.5)).double()
    z = torch.randn(5, 20, dtype=torch.float64)
    with pytest.raises(RuntimeError, match="call update_rate"):
        base.log_prob(z)
    generator = torch.Generator().manual_seed(0)
    base.update_rate(generator=generator)
    before = {name: value.clone() for name, value in base.state_dict().items()}
    state = torch.random.get_rng_state()
    first = base.log_prob(z)
    assert torch.equal(first, base.log_prob(z))
    with torch.no_grad():
        torch.testing.assert_close(base.log_prob(z), first, atol=1e-12, rtol=0)
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(value, before[name]) for name, value in base.state_dict().items())
    old = float(before["rate.log_rate"].exp())
    base.update_rate(generator=torch.Generator().manual_seed(7))
    fresh = Resampled(StandardNormal(20), Bell(0.1), rate=MonteCarlo(256)).double()
    fresh.update_rate(generator=torch.Generator().manual_seed(7))
    assert float(base.log_acceptance_rate().exp().detach()) == pytest.approx(
        0.5 * old + 0.5 * float(fresh.log_acceptance_rate().exp().detach()), rel=1e-12
    )
    copy = Resampled(StandardNormal(20), Bell(), rate=MonteCarlo(256)).double()
    copy.load_state_dict(base.state_dict())
    assert torch.equal(copy.log_prob(z), base.log_prob(z))


class Rough(nn.Module):
    """a = sin^2(8 z), zero at the 16 nodes of an unshifted lattice: what training would learn if nothing else
    were looked at.
    """

    def forward(self, z: Tensor) -> Tensor:
        return torch.log(torch.sin(8 * z[..., 0]).square() + 1e-12)


def test_a_shifted_lattice_is_not_exploited() -> None:
    """Fixed nodes see a tiny Z where it is 1/2; shifted ones see it on average."""
    base = Resampled(UniformTorus(1), Rough(), rate=Quadrature(16)).double()
    assert float(base.log_acceptance_rate().exp()) < 1e-6
    assert float(base.acceptance_rate_error()) > 1  # and the error estimate tells
    generator, found = torch.Generator().manual_seed(0), []
    for _ in range(400):
        base.update_rate(generator=generator)
        found.append(float(base.log_acceptance_rate().exp()))
    assert sum(found) / len(found) == pytest.approx(0.5, abs=0.08)


class CountedRate(AcceptanceRate):
    """A quadrature that counts how often it is computed."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.count = Quadrature(32), 0

    def forward(self, proposal: Distribution, acceptance: nn.Module) -> Tensor:
        self.count += 1
        return self.inner(proposal, acceptance)

    def error(self, proposal: Distribution, acceptance: nn.Module) -> Tensor:
        return self.inner.error(proposal, acceptance)


def test_rates_once_changes_nothing_but_the_cost() -> None:
    """Draws without gradients come first; densities after them have the gradient in full, and in `rates_once`
    log Z is computed once for all. The block forgets it, so that changed parameters have their own.
    """
    rate = CountedRate()
    base = Resampled(moved_normal(2), Bell(), rate=rate).double()
    parameters = list(base.parameters())

    def gradients() -> list[Tensor]:
        with torch.no_grad():
            z = base.sample((50,), generator=torch.Generator().manual_seed(0))
        loss = -base.log_prob(z).mean() + base.log_prob(z + 0.5).square().mean()
        return [loss.detach(), *torch.autograd.grad(loss, parameters)]

    expected, n_apart = gradients(), rate.count
    with rates_once(nn.ModuleList([base])):
        found = gradients()
    assert n_apart == 3
    assert rate.count == n_apart + 1
    for a, b in zip(found, expected, strict=True):
        assert torch.allclose(a, b, rtol=1e-12, atol=0)
    before = base.log_acceptance_rate().detach()
    with torch.no_grad():
        for parameter in parameters:
            parameter.add_(0.1)
    assert not torch.allclose(base.log_acceptance_rate(), before)
    with pytest.raises(KeyError), rates_once(base):
        base.log_acceptance_rate()
        raise KeyError
    assert base._once is None


def test_an_estimate_has_fewer_points_at_a_random_place_and_no_bias() -> None:
    """On average over places Z is right also where so few points are too few for the acceptance."""
    sizes: list[int] = []
    acceptance = Peaks(k=10.0)
    acceptance.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    rate, torus, generator = Quadrature(8), UniformTorus(2).double(), torch.Generator().manual_seed(0)
    with torch.no_grad():
        exact = Quadrature(64)(torus, acceptance)
        found = torch.stack([rate.estimate(torus, acceptance, generator) for _ in range(4000)])
    assert sizes[0] == 64**2 and set(sizes[1:]) == {4**2}
    ratio = (found - exact).exp()
    assert float(ratio.std()) > 0.5
    assert float(ratio.mean()) == pytest.approx(1, abs=5 * float(ratio.std()) / 4000**0.5)


def test_rates_once_can_be_estimates() -> None:
    """One in a block, with its gradient, another in the next; after it they are exact again."""
    rate, generator = Quadrature(8), torch.Generator().manual_seed(0)
    base = Resampled(UniformTorus(2), Peaks(k=10.0), rate=rate).double()
    exact = base.log_acceptance_rate().detach()
    estimates = []
    for _ in range(2):
        with rates_once(base, estimated=generator):
            once = base.log_acceptance_rate()
            assert base.log_acceptance_rate() is once and once.requires_grad
        estimates.append(once.detach())
    assert len({float(z) for z in (exact, *estimates)}) == 3
    assert torch.equal(base.log_acceptance_rate(), exact)
