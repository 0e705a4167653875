"""Resampled distributions of several classes, factorised or not.

Stimper, Schölkopf and Hernández-Lobato 2022, arXiv:2110.15828.
"""

from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn
from typing_extensions import override

from boltzgen.flow.acceptance_rate import AcceptanceRate, FixedRate, MonteCarlo, default_rate
from boltzgen.flow.distribution import Distribution
from boltzgen.flow.resampling import Resampling, resample
from boltzgen.flow.truncation import log_resampling


class ConditionalResampled(Resampling):
    """Resampled distributions of one proposal, one for each of k classes c.

        p(z | c) = pi(z) [(1 - alpha_c) a_c(z) / Z_c + alpha_c]

    With m factors, z is m independent blocks of the proposal's size, and each class has an acceptance for
    each of them: p(z | c) is the product of their densities, event shape (m d,).

    `given(c)` is the `Distribution` of labelled draws, the base of a class-conditional flow.

    Args:
        proposal: event shape (d,), the same for every class and factor.
        acceptance: maps z (..., d) to log a, (..., k m), those of a class after one another: for instance
            `Acceptance(d, n_out=k * m)`.
        n_classes: k.
        n_factors: m.
        truncation: as in `Resampled`.
        rate: as in `Resampled`; a `MonteCarlo` has `n_out=k * m`.
    """

    def __init__(
        self,
        proposal: Distribution,
        acceptance: nn.Module,
        n_classes: int,
        *,
        n_factors: int = 1,
        truncation: int = 100,
        rate: AcceptanceRate | None = None,
    ) -> None:
        if n_classes < 1 or n_factors < 1:
            raise ValueError(
                f"expected at least 1 acceptance probability, got `n_classes` = {n_classes} and `n_factors` "
                f"= {n_factors}"
            )
        if rate is None:
            default = default_rate(proposal)
            many = isinstance(default, MonteCarlo)
            rate = MonteCarlo(n_out=n_classes * n_factors) if many else default
        super().__init__(proposal, acceptance, truncation, rate)
        self.n_classes, self.n_factors, self.size = n_classes, n_factors, proposal.event_shape[0]
        self.event_shape = torch.Size((n_factors * self.size,))

    def log_prob(self, z: Tensor, label: Tensor) -> Tensor:
        """Log-density (...) at z (..., m d) given classes `label` (...), integers in 0 ... k - 1."""
        blocks, index = z.unflatten(-1, (self.n_factors, self.size)), self._index(label)
        return self._log_prob(blocks, self._log_a(blocks, index), index)

    def draw(
        self, label: Tensor, *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One draw for each label (...); see `Distribution.draw`."""
        index = self._index(label)
        which, counts = (found.tolist() for found in index.unique(return_counts=True))
        drawn = [
            resample(self.proposal, partial(self._column, k), n, self.truncation, generator)
            for k, n in zip(which or [0], counts or [0], strict=True)
        ]
        blocks, log_a = (torch.cat(parts) for parts in zip(*drawn, strict=True))
        index = index.to(blocks.device)
        # Draws come acceptance by acceptance.
        place = index.flatten().argsort(stable=True).argsort()
        blocks, log_a = blocks[place].reshape(*index.shape, self.size), log_a[place].reshape(index.shape)
        if torch.is_grad_enabled():
            log_a = self._log_a(blocks, index)
        surrogate = self._log_prob(blocks, log_a, index)
        return blocks.flatten(-2), surrogate.detach(), surrogate

    def given(self, label: Tensor) -> Distribution:
        """The distribution of draws of these classes, whose batch shape is the labels' shape (...)."""
        return _Given(self, label)

    def frozen(self) -> "ConditionalResampled":
        """See `Distribution.frozen`."""
        rate = FixedRate(self.log_acceptance_rate())
        return ConditionalResampled(
            self.proposal.frozen(),
            self.acceptance,
            self.n_classes,
            n_factors=self.n_factors,
            truncation=self.truncation,
            rate=rate,
        )

    @override
    def of_draws(self, each: Tensor) -> Tensor:
        return each.reshape(self.n_classes, self.n_factors).sum(-1)

    def _index(self, label: Tensor) -> Tensor:
        """Which acceptance probability each factor has, (..., m)."""
        return label.unsqueeze(-1) * self.n_factors + torch.arange(self.n_factors, device=label.device)

    def _column(self, k: int, z: Tensor) -> Tensor:
        return self.acceptance(z)[..., k]  # type: ignore[no-any-return]

    def _log_a(self, blocks: Tensor, index: Tensor) -> Tensor:
        """log a of each factor (..., m)."""
        return self.acceptance(blocks).gather(-1, index.unsqueeze(-1)).squeeze(-1)  # type: ignore[no-any-return]

    def _log_prob(self, blocks: Tensor, log_a: Tensor, index: Tensor) -> Tensor:
        log_z = self.log_acceptance_rate()[index]
        return (self.proposal.log_prob(blocks) + log_resampling(log_a, log_z, self.truncation)).sum(-1)


class _Given(Distribution):
    def __init__(self, conditional: ConditionalResampled, label: Tensor) -> None:
        super().__init__()
        self.conditional, self.label = conditional, label
        self.event_shape, self.has_rsample = conditional.event_shape, False

    @override
    def log_prob(self, z: Tensor) -> Tensor:
        return self.conditional.log_prob(z, self.label)

    @override
    def draw(
        self, shape: Sequence[int] = (), *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        if torch.Size(shape) != self.label.shape:
            raise ValueError(
                f"expected the shape {tuple(self.label.shape)} of the labels, got {tuple(shape)}"
            )
        return self.conditional.draw(self.label, generator=generator)

    @override
    def frozen(self) -> "_Given":
        return _Given(self.conditional.frozen(), self.label)
