"""Distributions with learned accept/reject sampling.

Stimper, Schölkopf and Hernández-Lobato 2022, arXiv:2110.15828.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor, nn
from typing_extensions import override

from boltzgen.flow.accept_reject import accept_reject
from boltzgen.flow.acceptance_rate import AcceptanceRate, FixedRate, MonteCarlo, default_rate
from boltzgen.flow.distribution import Distribution
from boltzgen.flow.truncation import checked_truncation, expected_proposals, log_resampling, log_unforced


class Resampled(Distribution):
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
        super().__init__()
        self.event_shape, self.has_rsample = proposal.event_shape, False
        self.proposal, self.acceptance = proposal, acceptance
        self.truncation = checked_truncation(truncation)
        self.rate = default_rate(proposal) if rate is None else rate
        self.rate.check(proposal)

    def log_acceptance_rate(self) -> Tensor:
        """log Z, a scalar with gradients: the log of the mean acceptance probability over the proposal."""
        return self.rate(self.proposal, self.acceptance)  # type: ignore[no-any-return]

    def acceptance_rate_error(self) -> Tensor:
        """Estimated error of log Z, a scalar."""
        return self.rate.error(self.proposal, self.acceptance)

    def update_rate(self, n: int | None = None, *, generator: torch.Generator | None = None) -> None:
        """Take fresh proposals into account, once a training step.

        The nodes of a quadrature are shifted; `n` fresh proposals replace a Monte Carlo estimate, or, where n
        is None, some are averaged into it.
        """
        self.rate.update(self.proposal, self.acceptance, n=n, generator=generator)

    def expected_proposals(self) -> Tensor:
        """Expected number of proposals for a draw, (1 - (1 - Z)^T) / Z, a scalar."""
        return expected_proposals(self.log_acceptance_rate(), self.truncation)

    def log_unforced(self) -> Tensor:
        """log(1 - alpha), a scalar: the log of the chance that a draw is accepted before its last proposal.

        A training loss may subtract it. With it the loss is one of a bound, log p(z) >= log pi(z) + log a(z)
        - log Z + log(1 - alpha). Without, training may end where Z is about 1/T and a good part of all draws
        is undirected: that is a local optimum, because such draws cover everything. Where Z is several times
        1/T the term is nothing.
        """
        return log_unforced(self.log_acceptance_rate(), self.truncation)

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


class FactorizedResampled(Distribution):
    """k independent blocks of d coordinates, each with an acceptance probability and a Z of its own.

    In many dimensions the acceptance rate of one network for all of them would be tiny; each block's stays
    that of few dimensions. The event shape is (k d,). (The image base of Stimper et al. 2022: a block for
    each channel.)

    Args:
        proposal: event shape (d,), the same for every block.
        acceptance: maps z (..., d) to the log a of all blocks, (..., k), for instance `Acceptance(d,
            n_out=k)`.
        n_factors: k.
        truncation: as in `Resampled`.
        rate: as in `Resampled`.
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
            proposal, acceptance, n_factors, truncation=truncation, rate=rate
        )
        self.n_factors, self.size = n_factors, proposal.event_shape[0]
        self.event_shape, self.has_rsample = torch.Size((n_factors * self.size,)), False

    @override
    def log_prob(self, z: Tensor) -> Tensor:
        blocks = z.unflatten(-1, (self.n_factors, self.size))
        return self.resampled.log_prob(blocks, self._index(z.shape[:-1], z.device)).sum(-1)

    @override
    def draw(
        self, shape: Sequence[int] = (), *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        z, log_prob, surrogate = self.resampled.draw(self._index(shape, None), generator=generator)
        return z.flatten(-2), log_prob.sum(-1), surrogate.sum(-1)

    def _index(self, shape: Sequence[int], device: torch.device | None) -> Tensor:
        return torch.arange(self.n_factors, device=device).expand(*shape, self.n_factors)


class ConditionalResampled(nn.Module):
    """k resampled distributions of one proposal, one for each class c.

        p(z | c) = pi(z) [(1 - alpha_c) a_c(z) / Z_c + alpha_c]

    `given(c)` is the `Distribution` of labelled draws, the base of a class-conditional flow.

    Args:
        proposal: as in `Resampled`.
        acceptance: maps z (..., n) to the log a of all classes, (..., k).
        n_classes: k.
        truncation: as in `Resampled`.
        rate: as in `Resampled`.
    """

    def __init__(
        self,
        proposal: Distribution,
        acceptance: nn.Module,
        n_classes: int,
        *,
        truncation: int = 100,
        rate: AcceptanceRate | None = None,
    ) -> None:
        super().__init__()
        if n_classes < 1:
            raise ValueError(f"expected at least 1 acceptance probability, got {n_classes}")
        self.proposal, self.acceptance, self.n_classes = proposal, acceptance, n_classes
        self.event_shape = proposal.event_shape
        self.truncation = checked_truncation(truncation)
        default = default_rate(proposal)
        self.rate = rate or (MonteCarlo(n_out=n_classes) if isinstance(default, MonteCarlo) else default)
        self.rate.check(proposal)

    def log_acceptance_rate(self) -> Tensor:
        """log Z of every class, (k,), with gradients."""
        return self.rate(self.proposal, self.acceptance)  # type: ignore[no-any-return]

    def update_rate(self, n: int | None = None, *, generator: torch.Generator | None = None) -> None:
        """See `Resampled.update_rate`."""
        self.rate.update(self.proposal, self.acceptance, n=n, generator=generator)

    def expected_proposals(self) -> Tensor:
        """Expected number of proposals for a draw of every class, (k,)."""
        return expected_proposals(self.log_acceptance_rate(), self.truncation)

    def log_prob(self, z: Tensor, label: Tensor) -> Tensor:
        """Log-density (...) at z (..., n) given classes `label` (...), integers in 0 ... k - 1."""
        log_a = self.acceptance(z).gather(-1, label.unsqueeze(-1)).squeeze(-1)
        return self._log_prob(z, log_a, label)

    def draw(
        self, label: Tensor, *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One draw for each label (...); see `Distribution.draw`."""
        classes, counts = (found.tolist() for found in label.unique(return_counts=True))
        drawn = [
            resample(self.proposal, partial(self._log_a, c), n, self.truncation, generator)
            for c, n in zip(classes, counts, strict=True)
        ]
        z, log_a = (torch.cat(parts) for parts in zip(*drawn or [_nothing(self.proposal)], strict=True))
        label = label.to(z.device)
        # Draws come class by class.
        place = label.flatten().argsort(stable=True).argsort()
        z, log_a = z[place].reshape(*label.shape, *self.event_shape), log_a[place].reshape(label.shape)
        surrogate = self.log_prob(z, label) if torch.is_grad_enabled() else self._log_prob(z, log_a, label)
        return z, surrogate.detach(), surrogate

    def given(self, label: Tensor) -> Distribution:
        """The distribution of draws of these classes, whose batch shape is the labels' shape (...)."""
        return _Given(self, label)

    def _log_a(self, c: int, z: Tensor) -> Tensor:
        return self.acceptance(z)[..., c]  # type: ignore[no-any-return]

    def _log_prob(self, z: Tensor, log_a: Tensor, label: Tensor) -> Tensor:
        log_z = self.log_acceptance_rate()[label]
        return self.proposal.log_prob(z) + log_resampling(log_a, log_z, self.truncation)


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


@torch.no_grad()
def resample(
    proposal: Distribution,
    log_acceptance: Callable[[Tensor], Tensor],
    n: int,
    truncation: int,
    generator: torch.Generator | None,
) -> tuple[Tensor, Tensor]:
    """n accept/reject draws (n, *event_shape) and their log a (n,), without gradients."""
    if n == 0:
        return _nothing(proposal)
    z, log_a, _ = accept_reject(
        lambda m: proposal.sample((m,), generator=generator),
        log_acceptance,
        n,
        truncation=truncation,
        generator=generator,
    )
    return z, log_a


def _nothing(proposal: Distribution) -> tuple[Tensor, Tensor]:
    """No draws, and their log a."""
    z = proposal.sample((0,))
    return z, z.new_empty(0)
