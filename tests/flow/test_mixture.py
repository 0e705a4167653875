"""Defensive mixtures: strata, the floor of the density, gradients of draws, and wrong arguments."""

import math

import pytest
import torch

from boltzgen.flow.acceptance import Acceptance
from boltzgen.flow.distribution import Distribution
from boltzgen.flow.elementary import StandardNormal, UniformTorus
from boltzgen.flow.flow import Flow
from boltzgen.flow.mixture import DefensiveMixture
from boltzgen.flow.resampled import Resampled
from boltzgen.flow.triangular import TriangularAffine


class Marked(StandardNormal):
    """Draws that can be told from all others: far out."""

    def _fill(self, z: torch.Tensor, generator: torch.Generator | None) -> torch.Tensor:
        return super()._fill(z, generator) + 100.0


def test_draws_come_from_the_broad_component_in_proportion() -> None:
    """Up to one draw in each call, on average exactly, and anywhere among the draws."""
    mixture = DefensiveMixture(StandardNormal(1), Marked(1), 0.15)
    generator = torch.Generator().manual_seed(1)
    drawn = torch.stack([mixture.sample((50,), generator=generator).squeeze(-1) for _ in range(2000)]) > 50
    counts = drawn.sum(1)
    assert set(counts.tolist()) == {7, 8}
    assert abs(float(counts.double().mean()) - 7.5) < 5 * 0.5 / math.sqrt(2000)
    places = drawn.double().mean(0)
    assert float((places - 0.15).abs().max()) < 5 * math.sqrt(0.15 * 0.85 / 2000)


def test_a_few_draws_may_all_be_of_one_component() -> None:
    mixture = DefensiveMixture(StandardNormal(1), Marked(1), 0.01)
    generator = torch.Generator().manual_seed(3)
    drawn = [mixture.sample((2,), generator=generator) for _ in range(300)]
    assert {tuple(z.shape) for z in drawn} == {(2, 1)}
    assert 0 < sum(int((z > 50).sum()) for z in drawn) < 30
    assert mixture.sample((0,)).shape == (0, 1)


def test_the_density_of_a_draw_is_that_of_its_place() -> None:
    torch.manual_seed(0)
    main = Flow(StandardNormal(3), TriangularAffine(3, 2, hidden=(4,)))
    mixture = DefensiveMixture(main, StandardNormal(3), 0.3)
    context = torch.randn(4, 25, 2)
    z, log_prob, _ = mixture.draw((4, 25), context=context)
    assert z.shape == (4, 25, 3)
    assert torch.allclose(log_prob, mixture.log_prob(z, context), atol=1e-5)
    shuffled = mixture.log_prob(z, context.flip(0))
    assert not torch.allclose(log_prob, shuffled, atol=1e-2)  # it is that of the draw's own context
    assert (mixture.log_prob(z, context) >= math.log(0.3) + StandardNormal(3).log_prob(z) - 1e-6).all()
    assert torch.allclose(mixture.frozen().log_prob(z, context), log_prob, atol=1e-5)


def test_a_density_can_be_learned_by_the_main_component_alone() -> None:
    """Given what the other has; the gradient in it is that of the density, and the other has none."""
    proposal = UniformTorus(2)
    parts = [Resampled(proposal, Acceptance(2, periodic=range(2))) for _ in range(2)]
    mixture = DefensiveMixture(*parts, 0.2)
    z = proposal.sample((30,))
    of_broad = mixture.broad.log_prob(z).detach()
    own, all_of_it = mixture.log_prob_by_main(z, of_broad), mixture.log_prob(z)
    assert torch.allclose(own, all_of_it, atol=1e-6)
    main = list(mixture.main.parameters())
    for a, b in zip(*(torch.autograd.grad(v.square().sum(), main) for v in (own, all_of_it)), strict=True):
        assert torch.allclose(a, b, atol=1e-6)
    mixture.log_prob_by_main(z, of_broad).sum().backward()
    assert all(p.grad is None for p in mixture.broad.parameters())


def test_pathwise_gradients_are_those_of_the_expectation() -> None:
    """Of E[|z|^2] under (1 - s) N(m, 1) + s N(0, 1): 2 (1 - s) m, the shares being no parameters."""

    class Shifted(StandardNormal):
        def __init__(self) -> None:
            super().__init__(1)
            self.mean = torch.nn.Parameter(torch.tensor([0.7]))

        def log_prob(self, z: torch.Tensor) -> torch.Tensor:
            return super().log_prob(z - self.mean)

        def draw(self, shape=(), *, generator=None):  # type: ignore[no-untyped-def]
            z, log_prob, none = StandardNormal(1).draw(shape, generator=generator)
            return z + self.mean, log_prob, none

    main = Shifted()
    mixture = DefensiveMixture(main, StandardNormal(1), 0.4)
    assert mixture.has_rsample
    z, log_prob, surrogate = mixture.draw((200_000,), generator=torch.Generator().manual_seed(2))
    (gradient,) = torch.autograd.grad(z.square().mean(), main.mean, retain_graph=True)
    assert float(gradient) == pytest.approx(2 * 0.6 * 0.7, abs=0.02)
    assert not surrogate.any()
    # That of the entropy, by quadrature.
    (found,) = torch.autograd.grad(log_prob.mean(), main.mean)
    grid = torch.linspace(-8, 8, 4001).unsqueeze(-1)
    log_q = mixture.log_prob(grid)
    (exact,) = torch.autograd.grad((log_q.exp() * log_q).sum() * (16 / 4000), main.mean)
    assert float(found) == pytest.approx(float(exact), abs=0.01)


@pytest.mark.parametrize(
    ("broad", "share", "message"),
    [
        (StandardNormal(2), 0.1, r"one event shape, got \(3,\) and \(2,\)"),
        (UniformTorus(3), 0.0, "between 0 and 1"),
        (UniformTorus(3), 1.0, "between 0 and 1"),
    ],
)
def test_what_is_no_mixture(broad: Distribution, share: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DefensiveMixture(StandardNormal(3), broad, share)
