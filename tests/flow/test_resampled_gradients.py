"""Gradients of both KL divergences of resampled bases, against integrals on a grid."""

from collections.abc import Callable
from unittest.mock import patch

import pytest
import torch
from torch import Tensor

from boltzgen.flow import resampled
from boltzgen.flow.acceptance_rate import MonteCarlo
from boltzgen.flow.distribution import Distribution
from boltzgen.flow.gaussian import GaussianMixture
from boltzgen.flow.resampled import Resampled
from boltzgen.training import losses
from boltzgen.training.losses import forward_kl, reverse_kl
from tests.helpers.resampled import moved_normal, small_acceptance


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
    with patch.object(
        losses, "_score_function_term", lambda values, log_p, ranks: -score(values, log_p, ranks)
    ):
        assert reverse_error(base, 2) > 0.5
    for mutant in (other_z, no_z):
        assert forward_error(base, 1, mutant) > 0.2
