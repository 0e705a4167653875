"""Distributions with learned accept/reject sampling.

Stimper, Schölkopf and Hernández-Lobato 2022, arXiv:2110.15828.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from typing_extensions import override

from boltzgen.flow.acceptance_rate import AcceptanceRate, FixedRate, default_rate
from boltzgen.flow.distribution import Distribution
from boltzgen.flow.resampling import Resampling, resample
from boltzgen.flow.truncation import log_resampling


class Resampled(Resampling, Distribution):
    """A proposal pi, resampled by a learned acceptance probability a(z) and truncated after T proposals.

    With Z = E_pi[a] and alpha = (1 - Z)^(T - 1), the exact density of the sampler whose T-th proposal is
    always accepted is

        p(z) = pi(z) [(1 - alpha) a(z) / Z + alpha].

    log Z is computed by `rate`, inside the graph of `log_prob`. Draws have no pathwise gradient
    (`has_rsample` is False), not even of the proposal's own parameters: these learn by the score-function
    surrogate of `draw`, as the acceptance's do.

    Args:
        proposal: any distribution with event shape (n,).
        acceptance: maps z (..., n) to log a(z) <= 0, shape (...); see `boltzgen.flow.acceptance`.
        truncation: T, the largest number of proposals for one draw.
        rate: how Z is found; by default a quadrature in one or two dimensions, Sobol points in up to eight,
            else Monte Carlo, which needs calls of `update_rate`.
    """

    def __init__(
        self,
        proposal: Distribution,
        acceptance: nn.Module,
        *,
        truncation: int = 100,
        rate: AcceptanceRate | None = None,
    ) -> None:
        super().__init__(proposal, acceptance, truncation, default_rate(proposal) if rate is None else rate)
        self.event_shape, self.has_rsample = proposal.event_shape, False

    @override
    def log_prob(self, z: Tensor) -> Tensor:
        return self._log_prob(z, self.acceptance(z))

    @override
    def draw(
        self, shape: Sequence[int] = (), *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        z, log_a = resample(self.proposal, self.acceptance, math.prod(shape), self.truncation, generator)
        z, log_a = z.reshape(*shape, *self.event_shape), log_a.reshape(shape)
        # The sampler's log a have no graph.
        surrogate = self.log_prob(z) if torch.is_grad_enabled() else self._log_prob(z, log_a)
        return z, surrogate.detach(), surrogate

    @override
    def frozen(self) -> "Resampled":
        rate = FixedRate(self.log_acceptance_rate())
        return Resampled(self.proposal.frozen(), self.acceptance, truncation=self.truncation, rate=rate)

    def _log_prob(self, z: Tensor, log_a: Tensor) -> Tensor:
        return self.proposal.log_prob(z) + log_resampling(log_a, self.log_acceptance_rate(), self.truncation)
