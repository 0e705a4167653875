"""Resampled distributions of many coordinates, in independent blocks of few.

Stimper, Schölkopf and Hernández-Lobato 2022, arXiv:2110.15828.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from typing_extensions import override

from boltzgen.flow.acceptance_rate import AcceptanceRate
from boltzgen.flow.conditional_resampled import ConditionalResampled
from boltzgen.flow.distribution import Distribution


class FactorizedResampled(Distribution):
    """m independent blocks of d coordinates, each with an acceptance probability and a Z of its own.

    In many dimensions the acceptance rate of one network for all of them would be tiny; each block's stays
    that of few dimensions. The event shape is (m d,). (The image base of Stimper et al. 2022: a block for
    each channel.) With classes: `ConditionalResampled`.

    Args:
        proposal: event shape (d,), the same for every block.
        acceptance: maps z (..., d) to the log a of all blocks, (..., m), for instance `Acceptance(d,
            n_out=m)`.
        n_factors: m.
        truncation: as in `Resampled`.
        rate: as in `Resampled`; a `MonteCarlo` has `n_out=m`.
    """

    def __init__(
        self,
        proposal: Distribution,
        acceptance: nn.Module,
        n_factors: int,
        *,
        truncation: int = 100,
        rate: AcceptanceRate | None = None,
    ) -> None:
        super().__init__()
        self.resampled = ConditionalResampled(
            proposal, acceptance, 1, n_factors=n_factors, truncation=truncation, rate=rate
        )
        self.event_shape, self.has_rsample = self.resampled.event_shape, False

    @override
    def log_prob(self, z: Tensor) -> Tensor:
        return self.resampled.log_prob(z, torch.zeros(z.shape[:-1], dtype=torch.long, device=z.device))

    @override
    def draw(
        self, shape: Sequence[int] = (), *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        return self.resampled.draw(torch.zeros(*shape, dtype=torch.long), generator=generator)

    @override
    def frozen(self) -> "FactorizedResampled":
        found = self.resampled.frozen()
        return FactorizedResampled(
            found.proposal,
            found.acceptance,
            found.n_factors,
            truncation=found.truncation,
            rate=found.rate,
        )
