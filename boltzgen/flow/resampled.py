"""Base distributions with learned accept/reject sampling (Stimper, Schölkopf and Hernández-Lobato 2022, arXiv:2110.15828)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from boltzgen.distribution import Distribution
from boltzgen.flow.base import UniformTorus
from boltzgen.flow.nets import MLP, circular_features


class PeriodicAcceptance(nn.Module):
    """Log acceptance probability log a(z) = log sigmoid(net(cos k z, sin k z)) of angles z (..., n), shape (...)."""

    def __init__(self, n: int, *, hidden: Sequence[int] = (64, 64), harmonics: int = 2) -> None:
        super().__init__()
        self.harmonics = harmonics
        self.net = MLP(2 * harmonics * n, hidden, 1)

    def forward(self, z: Tensor) -> Tensor:
        return functional.logsigmoid(self.net(circular_features(z, self.harmonics)).squeeze(-1))


class ResampledTorus(Distribution):
    """A uniform proposal on a torus, resampled by a learned acceptance probability a(z) and truncated after T proposals.

    With Z = E_pi[a] and alpha = (1 - Z)^(T - 1), the exact density of the sampler whose T-th proposal is always accepted is

        p(z) = pi(z) [(1 - alpha) a(z) / Z + alpha].

    Z is a periodic trapezoidal sum on a grid, which converges faster than any power for a smooth a: there is no Monte Carlo noise in the
    likelihood, and Z stays inside the graph of `log_prob`. Draws have no pathwise gradient (`has_rsample` is False).

    Attributes:
        truncation: T, the largest number of proposals for one draw.
    """

    grid: Tensor

    def __init__(self, n: int, acceptance: nn.Module, *, truncation: int = 100, grid_points: int = 64) -> None:
        super().__init__()
        if truncation < 1:
            raise ValueError(f"truncation must be at least 1 proposal, got {truncation}")
        self.event_shape, self.has_rsample = torch.Size((n,)), False
        self.proposal = UniformTorus(n)
        self.acceptance = acceptance
        self.truncation = truncation
        axis = torch.arange(grid_points, dtype=torch.float64) * (2 * math.pi / grid_points) - math.pi
        grid = torch.cartesian_prod(*[axis] * n).reshape(-1, n)
        self.register_buffer("grid", grid, persistent=False)

    def log_acceptance_rate(self) -> Tensor:
        """log Z, a scalar with gradients: the mean acceptance probability over the proposal."""
        grid = self.grid.to(self.proposal.anchor.dtype)
        return torch.logsumexp(self.acceptance(grid), dim=0) - math.log(len(grid))

    def expected_proposals(self) -> Tensor:
        """Expected number of proposals per draw, (1 - (1 - Z)^T) / Z."""
        log_z = self.log_acceptance_rate()
        return -torch.expm1(self.truncation * _log1m_exp(log_z)) / log_z.exp()

    def log_prob(self, z: Tensor) -> Tensor:
        log_z = self.log_acceptance_rate()
        log_alpha = (self.truncation - 1) * _log1m_exp(log_z)
        resampled = _log1m_exp(log_alpha) + self.acceptance(z) - log_z if self.truncation > 1 else torch.full_like(z[..., 0], -math.inf)
        return self.proposal.log_prob(z) + torch.logaddexp(resampled, log_alpha.expand_as(resampled))

    def draw(self, shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor, Tensor]:
        with torch.no_grad():
            z = self._accept_reject(math.prod(shape), generator).reshape(*shape, *self.event_shape)
        score = self.log_prob(z)
        return z, score.detach(), score

    def _accept_reject(self, n: int, generator: torch.Generator | None) -> Tensor:
        """n draws (n, n_dims): proposals for all rows not yet accepted at once, several for each, keeping the first accepted one."""
        z = self.proposal.anchor.new_empty(n, *self.event_shape)
        waiting = torch.arange(n, device=z.device)
        used = 0
        while len(waiting):
            tries = min(4, self.truncation - used)
            proposals = self.proposal.sample((len(waiting), tries), generator=generator)
            chance = torch.rand(len(waiting), tries, generator=generator, dtype=z.dtype, device=z.device)
            accepted = chance.log() < self.acceptance(proposals)
            used += tries
            if used == self.truncation:
                accepted[:, -1] = True
            done = accepted.any(dim=1)
            first = accepted.to(torch.uint8).argmax(dim=1)
            z[waiting[done]] = proposals[done, first[done]]
            waiting = waiting[~done]
        return z


def _log1m_exp(log_x: Tensor) -> Tensor:
    """log(1 - exp(log_x)) for log_x < 0, accurate at both ends."""
    return torch.where(log_x > -math.log(2.0), (-torch.expm1(log_x)).log(), torch.log1p(-torch.exp(log_x)))
