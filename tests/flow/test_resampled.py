"""The resampled base: its sampler on discrete proposals, its acceptance rates, and the gradients of both KL
divergences.
"""

import math
from collections.abc import Callable, Sequence
from unittest.mock import patch

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from boltzgen.flow import resampled
from boltzgen.flow.accept_reject import accept_reject
from boltzgen.flow.acceptance import Acceptance
from boltzgen.flow.acceptance_rate import AcceptanceRate, MonteCarlo, Quadrature, QuasiMonteCarlo
from boltzgen.flow.distribution import Distribution
from boltzgen.flow.elementary import Product, StandardNormal, UniformTorus
from boltzgen.flow.flow import Flow
from boltzgen.flow.gaussian import GaussianMixture, normal_nodes
from boltzgen.flow.nodes import Nodes
from boltzgen.flow.resampled import ConditionalResampled, FactorizedResampled, Resampled
from boltzgen.training import losses
from boltzgen.training.losses import forward_kl, reverse_kl

CHANCE = torch.tensor([0.02, 0.5, 0.1, 0.9, 0.0], dtype=torch.float64)
WEIGHT = torch.tensor([0.5, 0.1, 0.25, 0.05, 0.1], dtype=torch.float64)


def discrete_density(truncation: int) -> Tensor:
    z = float((CHANCE * WEIGHT).sum())
    alpha = (1 - z) ** (truncation - 1)
    return WEIGHT * ((1 - alpha) * CHANCE / z + alpha)


@pytest.mark.parametrize("truncation", [1, 2, 3, 17, 1000])
@pytest.mark.parametrize("block", [1, 7, 4096])
def test_sampler_of_a_discrete_proposal(truncation: int, block: int) -> None:
    """Frequencies, independence of consecutive draws, and the number of proposals, whatever the blocks: runs
    go on from one to the next.
    """
    generator = torch.Generator().manual_seed(3)
    n = 4000 if block == 1 else 60_000
    z, log_a, used = accept_reject(
        lambda m: torch.multinomial(WEIGHT, m, replacement=True, generator=generator).double(),
        lambda z: CHANCE[z.long()].log(),
        n,
        truncation=truncation,
        generator=generator,
        block=block,
    )
    assert z.shape == (n,)
    assert torch.equal(log_a, CHANCE[z.long()].log())
    density = discrete_density(truncation)
    counts = torch.bincount(z.long(), minlength=5).double()
    seen = density > 0
    assert not counts[~seen].any()
    assert stats.chisquare(counts[seen], n * density[seen]).pvalue > 1e-4
    pairs = torch.bincount(5 * z[:-1:2].long() + z[1::2].long(), minlength=25).double()
    expected = torch.outer(density, density).flatten() * (n // 2)
    kept = expected > 5
    assert (
        stats.chisquare(pairs[kept], expected[kept] * pairs[kept].sum() / expected[kept].sum()).pvalue > 1e-4
    )
    acceptance_rate = float((CHANCE * WEIGHT).sum())
    proposals = n * (1 - (1 - acceptance_rate) ** truncation) / acceptance_rate
    # The last block's surplus: two standard deviations, and the first block where one is enough.
    assert proposals * 0.95 - 10 < used < proposals * 1.05 + 4096


class Peaks(nn.Module):
    """log a = sum_i k (cos z_i - 1): E[a] over the uniform torus is (I0(k) e^-k)^n."""

    def __init__(self, k: float = 1.5) -> None:
        super().__init__()
        self.k = nn.Parameter(torch.tensor(k, dtype=torch.float64))

    def forward(self, z: Tensor) -> Tensor:
        return self.k * (torch.cos(z) - 1).sum(-1)


class Bell(nn.Module):
    """log a = -k |z|^2 / 2: E[a] over independent N(m, s^2) is known."""

    def __init__(self, k: float = 0.8) -> None:
        super().__init__()
        self.k = nn.Parameter(torch.tensor(k, dtype=torch.float64))

    def forward(self, z: Tensor) -> Tensor:
        return -0.5 * self.k * z.square().sum(-1)

    def exact(self, loc: Tensor, scale: Tensor) -> Tensor:
        widened = 1 + self.k * scale**2
        return (-0.5 * widened.log() - 0.5 * self.k * loc**2 / widened).sum()


class DiagonalNormal(Distribution):
    """Independent normals of mean `loc` and standard deviation exp(`log_scale`), both learned."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.event_shape, self.has_rsample = torch.Size((n,)), True
        self.loc, self.log_scale = nn.Parameter(torch.zeros(n)), nn.Parameter(torch.zeros(n))

    def log_prob(self, z: Tensor) -> Tensor:
        normal = torch.distributions.Normal(self.loc, self.log_scale.exp())
        return normal.log_prob(z).sum(-1)

    def draw(
        self, shape: Sequence[int] = (), *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        noise = torch.randn(*shape, *self.event_shape, generator=generator, dtype=self.loc.dtype)
        z = self.loc + self.log_scale.exp() * noise
        return z, self.log_prob(z), torch.zeros(shape, dtype=z.dtype)

    def quadrature(self, points: int, shift: Tensor) -> Nodes:
        z, log_w = normal_nodes(points, shift, like=self.loc)
        return self.loc + self.log_scale.exp() * z, log_w

    def from_uniform(self, u: Tensor) -> Tensor:
        return self.loc + self.log_scale.exp() * torch.special.ndtri(u)


def moved_normal(n: int) -> DiagonalNormal:
    normal = DiagonalNormal(n).double()
    with torch.no_grad():
        normal.loc.copy_(torch.linspace(-0.5, 0.7, n, dtype=torch.float64))
        normal.log_scale.copy_(torch.linspace(0.2, -0.3, n, dtype=torch.float64))
    return normal


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


def test_certain_acceptance_changes_nothing() -> None:
    """Z = 1 to the last bit: the proposal's density, with finite gradients."""

    class Certain(Bell):
        def forward(self, z: Tensor) -> Tensor:
            return 0 * super().forward(z)

    base = Resampled(StandardNormal(1), Certain()).double()
    z = torch.randn(9, 1, dtype=torch.float64)
    log_p = base.log_prob(z)
    torch.testing.assert_close(log_p, StandardNormal(1).log_prob(z))
    log_p.sum().backward()
    assert base.acceptance.k.grad.isfinite()  # type: ignore[union-attr]
    assert float(base.expected_proposals().detach()) == pytest.approx(1)


@pytest.mark.parametrize("form", ["given", "factorized"])
def test_classes_and_factors_have_their_own_acceptance(form: str) -> None:
    """Against one `Resampled` for each class."""
    torch.manual_seed(0)
    net = Acceptance(1, hidden=(8,), n_out=3).double()
    with torch.no_grad():
        net.net.last.weight.mul_(200)
        net.net.last.bias.copy_(torch.tensor([1.0, -1.0, -2.0]))

    class Alone(nn.Module):
        def __init__(self, c: int) -> None:
            super().__init__()
            self.c = c

        def forward(self, z: Tensor) -> Tensor:
            return net(z)[..., self.c]  # type: ignore[no-any-return]

    alone = [Resampled(StandardNormal(1).double(), Alone(c), truncation=9) for c in range(3)]
    z = torch.randn(50, 3, 1, dtype=torch.float64)
    by_class = torch.stack([alone[c].log_prob(z[:, c]) for c in range(3)], dim=1)
    generator = torch.Generator().manual_seed(1)
    n = 20_000
    if form == "given":
        conditional = ConditionalResampled(StandardNormal(1).double(), net, 3, truncation=9)
        label = torch.arange(3).expand(50, 3)
        torch.testing.assert_close(conditional.given(label).log_prob(z), by_class)
        drawn, _, _ = conditional.given(torch.arange(3).expand(n, 3)).draw((n, 3), generator=generator)
        rate = torch.stack([each.log_acceptance_rate() for each in alone])
        torch.testing.assert_close(conditional.log_acceptance_rate(), rate)
        torch.testing.assert_close(
            conditional.expected_proposals(), torch.stack([each.expected_proposals() for each in alone])
        )
        assert conditional.draw(torch.empty(0, dtype=torch.long))[0].shape == (0, 1)
        with pytest.raises(ValueError, match="shape"):
            conditional.given(label).draw((4,))
    else:
        factorized = FactorizedResampled(StandardNormal(1).double(), net, 3, truncation=9)
        torch.testing.assert_close(factorized.log_prob(z.squeeze(-1)), by_class.sum(1))
        drawn = factorized.sample((n,), generator=generator).unsqueeze(-1)
    for c in range(3):
        direct = alone[c].sample((n,), generator=generator)
        assert stats.ks_2samp(drawn[:, c, 0], direct[:, 0]).pvalue > 1e-3


# Gradients


class Wells:
    """u(x) of two unlike wells on the line or in the plane."""

    def __call__(self, x: Tensor) -> Tensor:
        first = x[..., 0]
        return (
            0.3 * (first**2 - 2) ** 2
            + 0.4 * first
            + 0.5 * (x[..., 1:] - 0.3 * first.unsqueeze(-1)).square().sum(-1)
        )

    def value_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            u = self(leaf)
            return u.detach(), torch.autograd.grad(u.sum(), leaf)[0]


def small_acceptance(n: int) -> Acceptance:
    torch.manual_seed(5)
    acceptance = Acceptance(n, hidden=(3,), waves=0).double()
    with torch.no_grad():
        for p in acceptance.parameters():
            p.copy_(torch.randn_like(p))
    return acceptance


BASES: dict[str, Callable[[], Resampled]] = {
    "normal, 1-D": lambda: Resampled(moved_normal(1), small_acceptance(1), truncation=5),
    "normal, 2-D": lambda: Resampled(moved_normal(2), small_acceptance(2), truncation=5),
    "mixture, 2-D": lambda: Resampled(
        GaussianMixture(2, 2, generator=torch.Generator().manual_seed(0)).double(),
        small_acceptance(2),
        truncation=5,
    ),
}


def by_grid(base: Distribution, loss: Callable[[Tensor, Tensor, float], Tensor]) -> Tensor:
    """Gradient of loss(grid, log q on it, cell), an integral by midpoints."""
    n = base.event_shape[0]
    points, reach = (4000, 10.0) if n == 1 else (300, 9.0)
    axis = (torch.arange(points, dtype=torch.float64) + 0.5) * 2 * reach / points - reach
    grid = torch.cartesian_prod(*[axis] * n).reshape(-1, n)
    base.zero_grad()
    loss(grid, base.log_prob(grid), (2 * reach / points) ** n).backward()
    return gradient_of(base)


def gradient_of(base: Distribution) -> Tensor:
    return torch.cat([p.grad.flatten() for p in base.parameters() if p.grad is not None])


def reverse_error(base: Resampled, batches: int = 8) -> float:
    """Largest difference of `reverse_kl`'s gradient to the exact one, relative to the largest component."""
    target = Wells()
    exact = by_grid(base, lambda x, log_q, cell: (log_q.exp() * (log_q + target(x))).sum() * cell)
    base.zero_grad()
    generator = torch.Generator().manual_seed(2)
    for _ in range(batches):
        (reverse_kl(base, target, 200_000, generator=generator)[0] / batches).backward()
    return float((gradient_of(base) - exact).abs().max() / exact.abs().max())


def forward_error(
    base: Resampled, batches: int = 10, mutant: Callable[..., Tensor] = resampled.log_resampling
) -> float:
    """The same of maximum likelihood on draws of the target (from a fine grid), with Z by Monte Carlo, its
    proposals fresh in each batch.

    The gradient, not the exact one, is computed with `mutant` in the place of `log_resampling`.
    """
    target, n = Wells(), base.event_shape[0]
    exact = by_grid(base, lambda x, log_q, cell: -(torch.softmax(-target(x), 0) * log_q).sum())
    points = 4000 if n == 1 else 1200
    axis = torch.linspace(-5, 5, points, dtype=torch.float64)
    grid = torch.cartesian_prod(*[axis] * n).reshape(-1, n)
    drawn = Resampled(
        base.proposal, base.acceptance, truncation=base.truncation, rate=MonteCarlo(200_000, decay=0.0)
    ).double()
    base.zero_grad()
    generator = torch.Generator().manual_seed(3)
    cumulative = torch.softmax(-target(grid), 0).cumsum(0)
    for _ in range(batches):
        drawn.update_rate(generator=generator)
        chosen = torch.searchsorted(
            cumulative, torch.rand(200_000, generator=generator, dtype=torch.float64)
        ).clamp(max=len(grid) - 1)
        with patch.object(resampled, "log_resampling", mutant):
            (forward_kl(drawn.log_prob(grid[chosen])) / batches).backward()
    return float((gradient_of(base) - exact).abs().max() / exact.abs().max())


@pytest.mark.parametrize("name", BASES)
def test_gradient_of_reverse_kl(name: str) -> None:
    """Of the acceptance's and of the proposal's own parameters."""
    assert reverse_error(BASES[name]()) < 0.01


@pytest.mark.parametrize("name", BASES)
def test_gradient_of_maximum_likelihood(name: str) -> None:
    assert forward_error(BASES[name]()) < 0.01


def test_wrong_signs_are_found_out() -> None:
    """The two tests above can fail: a covariance or a log Z of the wrong sign, or a log Z outside the graph,
    is far off.
    """
    right, score = resampled.log_resampling, losses._score_function_term

    def other_z(log_a: Tensor, log_z: Tensor, truncation: int) -> Tensor:
        return right(log_a, 2 * log_z.detach() - log_z, truncation)

    def no_z(log_a: Tensor, log_z: Tensor, truncation: int) -> Tensor:
        return right(log_a, log_z.detach(), truncation)

    base = BASES["normal, 1-D"]()
    with patch.object(losses, "_score_function_term", lambda values, log_p: -score(values, log_p)):
        assert reverse_error(base, 2) > 0.5
    for mutant in (other_z, no_z):
        assert forward_error(base, 1, mutant) > 0.2


def test_acceptance_starts_where_it_is_told() -> None:
    z = StandardNormal(3).sample((50,))
    assert (Acceptance(3, start=0.9)(z).exp() - 0.9).abs().max() < 0.02
    assert Acceptance(3, start=0.2, n_out=4)(z).shape == (50, 4)
    with pytest.raises(ValueError, match="between 0 and 1"):
        Acceptance(3, start=1.0)
    with pytest.raises(ValueError, match="indices of the 3 coordinates"):
        Acceptance(3, periodic=[3])
    turn = torch.tensor([2 * math.pi, 0.0, 0.0])
    partly = Acceptance(3, periodic=[0])
    torch.testing.assert_close(partly(z), partly(z + turn), atol=1e-5, rtol=0)


def test_chance_of_an_unforced_draw() -> None:
    """By counting, and as a bound: log p >= log pi + log a - log Z + log(1 - alpha)."""
    base = Resampled(moved_normal(1), Bell(30.0), truncation=6)
    generator = torch.Generator().manual_seed(3)
    tries = base.proposal.sample((100_000, 5), generator=generator)
    accepted = torch.rand(100_000, 5, generator=generator, dtype=torch.float64).log() < base.acceptance(tries)
    counted = float(accepted.any(1).double().mean())
    chance = float(base.log_unforced().detach().exp())
    assert 0.2 < chance < 0.8
    assert counted == pytest.approx(chance, abs=4.5 * math.sqrt(chance * (1 - chance) / 100_000))
    z = tries[:100, 0]
    bound = base.proposal.log_prob(z) + base.acceptance(z) - base.log_acceptance_rate() + base.log_unforced()
    assert (base.log_prob(z) > bound).all()


@pytest.mark.parametrize("truncation", [1, 3, 50])
def test_in_one_dimension(truncation: int) -> None:
    """The density integrates to one, and draws follow it."""
    base = Resampled(moved_normal(1), small_acceptance(1), truncation=truncation)
    edges = torch.linspace(-7, 7, 2801, dtype=torch.float64)
    middle = (edges[1:] + edges[:-1]) / 2
    with torch.no_grad():
        masses = (base.log_prob(middle.unsqueeze(-1)).exp() * 0.005).reshape(40, 70).sum(1)
    assert float(masses.sum()) == pytest.approx(1, abs=1e-5)
    n = 50_000
    z = base.sample((n,), generator=torch.Generator().manual_seed(6)).flatten()
    counts = torch.histc(z, 40, -7, 7)
    kept = masses * n > 8
    expected = masses[kept] * n
    assert stats.chisquare(counts[kept], expected * counts[kept].sum() / expected.sum()).pvalue > 1e-4


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
