"""The laws of every distribution: it integrates to one, and its draws follow its density."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from unittest.mock import patch

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from boltzgen.flow.acceptance import Acceptance
from boltzgen.flow.acceptance_rate import MonteCarlo, Quadrature
from boltzgen.flow.conditional_resampled import ConditionalResampled
from boltzgen.flow.coupling import PeriodicCoupling, SplineCoupling
from boltzgen.flow.distribution import Distribution
from boltzgen.flow.elementary import Product, StandardNormal, UniformTorus
from boltzgen.flow.factorized_resampled import FactorizedResampled
from boltzgen.flow.flow import Flow, HierarchicalFlow
from boltzgen.flow.gaussian import GaussianMixture
from boltzgen.flow.mixture import DefensiveMixture
from boltzgen.flow.resampled import Resampled
from boltzgen.flow.resampling import update_rates
from boltzgen.flow.transform import Chain
from boltzgen.flow.triangular import TriangularAffine
from tests.helpers.disturbed import disturbed

sharp = partial(disturbed, seed=4)


class Narrow(nn.Module):
    """A log acceptance with a known, small acceptance rate."""

    def forward(self, z: Tensor) -> Tensor:
        return 3 * (torch.cos(z).sum(-1) - z.shape[-1]) - 0.5


def resampled(n: int, truncation: int) -> Distribution:
    return sharp(
        Resampled(UniformTorus(n), Acceptance(n, periodic=range(n), hidden=(8, 8)), truncation=truncation),
        1.5,
    )


def mixture() -> GaussianMixture:
    return GaussianMixture(2, 3, generator=torch.Generator().manual_seed(2))


def over(proposal: Distribution, truncation: int = 20, *, periodic: Sequence[int] = ()) -> Distribution:
    """A proposal in two dimensions, resampled; its own parameters are moved as well."""
    return Resampled(
        sharp(proposal, 0.3),
        sharp(Acceptance(2, periodic=periodic, hidden=(8, 8)), 1.0),
        truncation=truncation,
    )  # type: ignore[arg-type]


def hierarchical() -> HierarchicalFlow:
    leading = Flow(UniformTorus(2), PeriodicCoupling(2, [0], bins=5, hidden=(8,)))
    conditional = Flow(
        StandardNormal(2),
        Chain(
            [SplineCoupling(2, [0], 4, bins=4, hidden=(8,), bound=3.0), TriangularAffine(2, 4, hidden=(8,))]
        ),
    )
    return sharp(
        HierarchicalFlow(leading, conditional, lambda t: torch.cat((torch.cos(t), torch.sin(t)), -1)), 0.3
    )  # type: ignore[return-value]


def defended() -> Distribution:
    """A mixture under a transform, both of which see a context, here a constant one."""
    features = (lambda t: torch.cat((torch.cos(t), torch.sin(t)), -1),)
    main = Flow(StandardNormal(1), TriangularAffine(1, 2, hidden=(8,)))
    conditional = Flow(DefensiveMixture(main, StandardNormal(1), 0.3), TriangularAffine(1, 2, hidden=(8,)))
    return sharp(HierarchicalFlow(UniformTorus(1), conditional, *features), 0.3)


class OfClass(Distribution):
    """The draws of one class."""

    def __init__(self, conditional: ConditionalResampled, c: int) -> None:
        super().__init__()
        self.conditional, self.c = conditional, c
        self.event_shape, self.has_rsample = conditional.event_shape, False

    def log_prob(self, z: Tensor) -> Tensor:
        return self._given(z.shape[:-1]).log_prob(z)

    def draw(
        self, shape: Sequence[int] = (), *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        return self._given(shape).draw(shape, generator=generator)

    def frozen(self) -> "OfClass":
        return OfClass(self.conditional.frozen(), self.c)

    def _given(self, shape: Sequence[int]) -> Distribution:
        return self.conditional.given(torch.full(tuple(shape), self.c))


def factorized_by_monte_carlo() -> Distribution:
    """Its Z have errors below 5e-4."""
    base = FactorizedResampled(
        StandardNormal(1).double(),
        sharp(Acceptance(1, hidden=(8,), n_out=2), 0.3),
        2,
        truncation=6,
        rate=MonteCarlo(n_out=2),
    ).double()
    update_rates(base, 2_000_000, generator=torch.Generator().manual_seed(8))
    return base


#: name -> (two-dimensional distribution, axes: "t" for a circle, "r" for the line)
DISTRIBUTIONS: dict[str, tuple[Callable[[], Distribution], str]] = {
    "normal": (lambda: StandardNormal(2).double(), "rr"),
    "uniform torus": (lambda: UniformTorus(2).double(), "tt"),
    "resampled, T = 1": (lambda: resampled(2, 1), "tt"),
    "resampled, T = 2": (lambda: resampled(2, 2), "tt"),
    "resampled, T = 5": (lambda: resampled(2, 5), "tt"),
    "resampled, T = 100": (lambda: resampled(2, 100), "tt"),
    "resampled, small Z": (lambda: Resampled(UniformTorus(2), Narrow(), truncation=7).double(), "tt"),
    "mixture": (lambda: sharp(mixture(), 0.3), "rr"),
    "resampled normal": (lambda: over(StandardNormal(2)), "rr"),
    "resampled normal, T = 3": (lambda: over(StandardNormal(2), 3), "rr"),
    "resampled mixture": (lambda: over(mixture()), "rr"),
    "resampled product": (lambda: over(Product([StandardNormal(1), UniformTorus(1)]), periodic=[1]), "rt"),
    "factorized": (
        lambda: FactorizedResampled(
            StandardNormal(1).double(), sharp(Acceptance(1, hidden=(8,), n_out=2), 1.5), 2, truncation=6
        ),
        "rr",
    ),
    "of one class, factorized": (
        lambda: OfClass(
            ConditionalResampled(
                StandardNormal(1).double(),
                sharp(Acceptance(1, hidden=(8,), n_out=6), 1.0),
                3,
                n_factors=2,
                truncation=6,
                rate=Quadrature(256),
            ),
            2,
        ),
        "rr",
    ),
    "of one class": (
        lambda: OfClass(
            ConditionalResampled(StandardNormal(2).double(), sharp(Acceptance(2, hidden=(8,), n_out=3)), 3), 1
        ),
        "rr",
    ),
    "factorized, by Monte Carlo": (
        lambda: factorized_by_monte_carlo(),
        "rr",
    ),
    "factorized torus": (
        lambda: sharp(
            FactorizedResampled(UniformTorus(1), Acceptance(1, periodic=[0], hidden=(8,), n_out=2), 2), 1.5
        ),
        "tt",
    ),
    "product": (lambda: Product([resampled(1, 10), StandardNormal(1).double()]), "tr"),
    "periodic flow": (
        lambda: sharp(
            Flow(
                resampled(2, 10), Chain([PeriodicCoupling(2, [0], bins=5), PeriodicCoupling(2, [1], bins=5)])
            )
        ),
        "tt",
    ),
    "defensive mixture": (lambda: DefensiveMixture(resampled(2, 10), UniformTorus(2).double(), 0.2), "tt"),
    "defensive mixture in a conditional flow": (defended, "tr"),
    "spline flow": (
        lambda: sharp(
            Flow(StandardNormal(2), Chain([SplineCoupling(2, [0], bins=5), SplineCoupling(2, [1], bins=5)])),
            0.4,
        ),
        "rr",
    ),
}
REACH = 9.0


def axis_points(kind: str, n: int) -> tuple[Tensor, float]:
    """Midpoints of n equal cells of a circle, or of [-REACH, REACH], and the cell's width."""
    reach = math.pi if kind == "t" else REACH
    width = 2 * reach / n
    return -reach + width * (torch.arange(n, dtype=torch.float64) + 0.5), width


@torch.no_grad()
def cell_masses(distribution: Distribution, axes: str, cells: int, fine: int) -> Tensor:
    """Probability of each of cells x cells equal boxes, by midpoint sums over fine x fine points in each."""
    (a, da), (b, db) = (axis_points(kind, cells * fine) for kind in axes)
    density = distribution.log_prob(torch.cartesian_prod(a, b)).exp().reshape(cells, fine, cells, fine)
    return density.sum((1, 3)) * da * db


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_integrates_to_one(name: str) -> None:
    build, axes = DISTRIBUTIONS[name]
    masses = cell_masses(build(), axes, 20, 25)
    assert abs(float(masses.sum()) - 1) < (1e-3 if "Monte Carlo" in name else 1e-4)


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_draws_follow_the_density(name: str) -> None:
    build, axes = DISTRIBUTIONS[name]
    distribution = build()
    n = 40_000
    z, log_prob, _ = distribution.draw((n,), generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(distribution.log_prob(z), log_prob, atol=1e-9, rtol=0)
    masses = cell_masses(distribution, axes, 12, 40).flatten()
    bins = [
        torch.clamp(
            ((z[:, k].detach() + (r := math.pi if kind == "t" else REACH)) / (2 * r) * 12).long(), 0, 11
        )
        for k, kind in enumerate(axes)
    ]
    counts = torch.bincount(12 * bins[0] + bins[1], minlength=144).double()
    kept = masses * n > 8
    observed = torch.cat((counts[kept], counts[~kept].sum().reshape(1)))
    expected = torch.cat((masses[kept], 1 - masses[kept].sum().reshape(1))) * n
    if expected[-1] < 8:
        observed, expected = observed[:-1], expected[:-1] * observed[:-1].sum() / expected[:-1].sum()
    assert stats.chisquare(observed.numpy(), expected.numpy(), sum_check=False).pvalue > 1e-4


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_contract_of_a_draw(name: str) -> None:
    build, _ = DISTRIBUTIONS[name]
    distribution = build()
    z, log_prob, surrogate = distribution.draw((3, 4), generator=torch.Generator().manual_seed(6))
    assert z.shape == (3, 4, 2)
    assert log_prob.shape == surrogate.shape == (3, 4)
    again, _ = distribution.sample_and_log_prob((3, 4), generator=torch.Generator().manual_seed(6))
    assert torch.equal(z, again)
    if distribution.has_rsample:
        assert not surrogate.any()
    else:
        with pytest.raises(TypeError, match="no pathwise"):
            distribution.rsample((2,))


@pytest.mark.parametrize("name", [*DISTRIBUTIONS, "hierarchical"])
@torch.no_grad()
def test_frozen_and_without_a_graph(name: str) -> None:
    """Without a graph, what the sampler has computed is used again; frozen, log Z too: nothing changes."""
    distribution = hierarchical() if name == "hierarchical" else DISTRIBUTIONS[name][0]()
    frozen = distribution.frozen()

    def draw(q: Distribution) -> tuple[Tensor, Tensor, Tensor]:
        return q.draw((3, 4), generator=torch.Generator().manual_seed(7))

    z, log_prob, surrogate = draw(distribution)
    with torch.enable_grad():
        for found, expected in zip(draw(distribution), (z, log_prob, surrogate), strict=True):
            torch.testing.assert_close(found.detach(), expected, atol=1e-12, rtol=0)
    for found, expected in zip(draw(frozen), (z, log_prob, surrogate), strict=True):
        assert torch.equal(found, expected)
    assert torch.equal(frozen.log_prob(z), distribution.log_prob(z))


@torch.no_grad()
def test_a_frozen_rate_is_computed_once_and_kept() -> None:
    """A copy has it; the distribution itself computes log Z anew, from its parameters as they are."""
    base = resampled(2, 5)
    assert isinstance(base, Resampled)
    flow = Flow(Product([base, StandardNormal(1).double()]), Chain([]))
    with patch.object(Quadrature, "forward", autospec=True, side_effect=Quadrature.forward) as computed:
        frozen = flow.frozen()
        for _ in range(3):
            frozen.draw((2,))
        assert computed.call_count == 1
        flow.draw((2,))
        assert computed.call_count == 2
    z = flow.sample((4,))
    before = frozen.log_prob(z)
    base.acceptance.net.last.bias.add_(1.0)
    assert not torch.equal(flow.log_prob(z), before)
    assert torch.equal(flow.frozen().log_prob(z), flow.log_prob(z))
    (kept, _) = frozen.base.factors
    with pytest.raises(TypeError, match="frozen"):
        kept.update_rate()
    with pytest.raises(TypeError, match="frozen"):
        kept.acceptance_rate_error()


def test_hierarchical_flow_is_normalized_for_each_torsion() -> None:
    flow = hierarchical()
    a, da = axis_points("t", 60)
    t = torch.cartesian_prod(a, a)
    assert abs(float(flow.leading.log_prob(t).exp().sum().detach() * da * da) - 1) < 1e-3
    r, dr = axis_points("r", 400)
    plane = torch.cartesian_prod(r, r)
    for row in t[::1117]:
        density = (
            flow.log_prob(torch.cat((row.expand(len(plane), 2), plane), -1)) - flow.leading.log_prob(row)
        ).exp()
        assert abs(float(density.sum().detach() * dr * dr) - 1) < 1e-3
    z, log_prob, _ = flow.draw((50,))
    torch.testing.assert_close(flow.log_prob(z), log_prob, atol=1e-9, rtol=0)


def test_acceptance_rate_and_proposals() -> None:
    """Z = (e^-3 I0(3))^2 e^-0.5 for Narrow in two dimensions; proposals per draw counted in the sampler."""
    base = Resampled(UniformTorus(2), Narrow(), truncation=7).double()
    exact = 2 * math.log(float(torch.special.i0e(torch.tensor(3.0, dtype=torch.float64)))) - 0.5
    assert abs(float(base.log_acceptance_rate()) - exact) < 1e-9
    z = math.exp(exact)
    assert float(base.expected_proposals()) == pytest.approx((1 - (1 - z) ** 7) / z, rel=1e-9)


def test_grid_is_fine_enough_for_the_molecular_acceptance() -> None:
    """The 64 x 64 quadrature of log Z against 256 x 256, for a network that has moved far from its start."""
    coarse = resampled(2, 100)
    assert isinstance(coarse, Resampled)
    fine = Resampled(UniformTorus(2), coarse.acceptance, rate=Quadrature(256)).double()
    assert abs(float((coarse.log_acceptance_rate() - fine.log_acceptance_rate()).detach())) < 1e-4


def test_log_acceptance_rate_stays_in_the_graph() -> None:
    """d log p / d theta must include d log Z / d theta: its mean over the density is zero."""
    base = resampled(1, 4)
    a, da = axis_points("t", 2000)
    log_p = base.log_prob(a.unsqueeze(-1))
    (log_p.exp().detach() * log_p).sum().mul(da).backward()
    gradient = torch.cat([p.grad.flatten() for p in base.parameters() if p.grad is not None])
    assert gradient.abs().max() < 1e-6  # leaving log Z out gives 0.1


def test_truncation_must_be_positive() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Resampled(UniformTorus(2), Narrow(), truncation=0)
