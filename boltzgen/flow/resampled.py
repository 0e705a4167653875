"""Distributions with learned accept/reject sampling (Stimper, Schölkopf and Hernández-Lobato 2022,
arXiv:2110.15828).
"""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from boltzgen.flow.accept_reject import accept_reject
from boltzgen.flow.acceptance_rate import AcceptanceRate, MonteCarlo, default_rate
from boltzgen.flow.distribution import Distribution


class Resampled(Distribution):
    """A proposal pi, resampled by a learned acceptance probability a(z) and truncated after T proposals.

    With Z = E_pi[a] and alpha = (1 - Z)^(T - 1), the exact density of the sampler whose T-th proposal is
    always accepted is

        p(z) = pi(z) [(1 - alpha) a(z) / Z + alpha].

    log Z is computed by `rate`, inside the graph of `log_prob`. Draws have no pathwise gradient
    (`has_rsample` is False), not even of the proposal's own parameters: they learn by the score, as the
    acceptance's do.

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
        """Once a training step: shift the nodes of a quadrature, average fresh proposals into a Monte Carlo
        estimate, or replace it by one of `n`.
        """
        self.rate.update(self.proposal, self.acceptance, n=n, generator=generator)

    def expected_proposals(self) -> Tensor:
        """Expected number of proposals per draw, (1 - (1 - Z)^T) / Z."""
        return expected_proposals(self.log_acceptance_rate(), self.truncation)

    def log_unforced(self) -> Tensor:
        """log(1 - alpha), the log of the chance that a draw is accepted before its last proposal: a training
        loss may subtract it.

        With it the loss is one of a bound, log p(z) >= log pi(z) + log a(z) - log Z + log(1 - alpha).
        Without, training may end where Z is about 1/T and a good part of all draws is undirected: that is a
        local optimum, because such draws cover everything. Where Z is several times 1/T the term is nothing.
        """
        return _log1m_exp((self.truncation - 1) * _log1m_exp(self.log_acceptance_rate()))

    def log_prob(self, z: Tensor) -> Tensor:
        return self.proposal.log_prob(z) + log_resampling(
            self.acceptance(z), self.log_acceptance_rate(), self.truncation
        )

    def draw(
        self, shape: Sequence[int] = (), *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        z = resample(self.proposal, self.acceptance, math.prod(shape), self.truncation, generator).reshape(
            *shape, *self.event_shape
        )
        score = self.log_prob(z)
        return z, score.detach(), score


class FactorizedResampled(Distribution):
    """k independent blocks, each a proposal of event shape (d,) with an acceptance probability and a Z of its
    own; event shape (k d,).

    In many dimensions the rate of one acceptance for all of them would be tiny; each block's stays that of
    few dimensions. (The image base of Stimper et al. 2022: a block for each channel.)

    Args:
        proposal: event shape (d,), the same for every block.
        acceptance: maps z (..., d) to the log a of all blocks, (..., k), for instance `Acceptance(d,
            n_out=k)`.
        n_factors: k.
        truncation, rate: as in `Resampled`.
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

    def log_prob(self, z: Tensor) -> Tensor:
        blocks = z.unflatten(-1, (self.n_factors, self.size))
        return self.resampled.log_prob(blocks, self._index(z.shape[:-1], z.device)).sum(-1)

    def draw(
        self, shape: Sequence[int] = (), *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        z, log_prob, score = self.resampled.draw(self._index(shape, None), generator=generator)
        return z.flatten(-2), log_prob.sum(-1), score.sum(-1)

    def _index(self, shape: Sequence[int], device: torch.device | None) -> Tensor:
        return torch.arange(self.n_factors, device=device).expand(*shape, self.n_factors)


class ConditionalResampled(nn.Module):
    """k resampled distributions of one proposal, one for each class: p(z | c) = pi(z) [(1 - alpha_c) a_c(z) /
    Z_c + alpha_c].

    `given(c)` is the `Distribution` of labelled draws, the base of a class-conditional flow.

    Args:
        acceptance: maps z (..., n) to the log a of all classes, (..., k).
        n_classes: k.
        proposal, truncation, rate: as in `Resampled`.
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
        """Expected number of proposals per draw of every class, (k,)."""
        return expected_proposals(self.log_acceptance_rate(), self.truncation)

    def log_prob(self, z: Tensor, label: Tensor) -> Tensor:
        """Log-density (...) at z (..., n) given classes `label` (...), integers in 0 ... k - 1."""
        log_a = self.acceptance(z).gather(-1, label.unsqueeze(-1)).squeeze(-1)
        return self.proposal.log_prob(z) + log_resampling(
            log_a, self.log_acceptance_rate()[label], self.truncation
        )

    def draw(
        self, label: Tensor, *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One draw for each label (...); see `Distribution.draw`."""
        flat = label.flatten()
        z: Tensor | None = None
        for c in flat.unique().tolist():
            rows = flat == c
            drawn = resample(
                self.proposal,
                lambda x, c=c: self.acceptance(x)[..., c],
                int(rows.sum()),
                self.truncation,
                generator,
            )  # type: ignore[misc]
            z = drawn.new_empty(len(flat), *self.event_shape) if z is None else z
            z[rows.to(z.device)] = drawn
        if z is None:
            z = self.proposal.sample((0,))
        z = z.reshape(*label.shape, *self.event_shape)
        score = self.log_prob(z, label.to(z.device))
        return z, score.detach(), score

    def given(self, label: Tensor) -> Distribution:
        """The distribution of draws of these classes: `log_prob` and `draw` then have the labels' shape (...)
        as batch shape.
        """
        return _Given(self, label)


class _Given(Distribution):
    def __init__(self, conditional: ConditionalResampled, label: Tensor) -> None:
        super().__init__()
        self.conditional, self.label = conditional, label
        self.event_shape, self.has_rsample = conditional.event_shape, False

    def log_prob(self, z: Tensor) -> Tensor:
        return self.conditional.log_prob(z, self.label)

    def draw(
        self, shape: Sequence[int] = (), *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        if torch.Size(shape) != self.label.shape:
            raise ValueError(
                f"expected the shape {tuple(self.label.shape)} of the labels, got {tuple(shape)}"
            )
        return self.conditional.draw(self.label, generator=generator)


def log_resampling(log_a: Tensor, log_z: Tensor, truncation: int) -> Tensor:
    """log of (1 - alpha) a / Z + alpha, alpha = (1 - Z)^(T - 1), in log space; shape of log_a."""
    if truncation == 1:
        return torch.zeros_like(log_a)
    log_alpha = (truncation - 1) * _log1m_exp(log_z)
    return torch.logaddexp(_log1m_exp(log_alpha) + log_a - log_z, log_alpha.expand_as(log_a))


def expected_proposals(log_z: Tensor, truncation: int) -> Tensor:
    """(1 - (1 - Z)^T) / Z."""
    return -torch.expm1(truncation * _log1m_exp(log_z)) / log_z.exp()


@torch.no_grad()
def resample(
    proposal: Distribution,
    log_acceptance: Callable[[Tensor], Tensor],
    n: int,
    truncation: int,
    generator: torch.Generator | None,
) -> Tensor:
    """n accept/reject draws (n, *event_shape), without gradients."""
    if n == 0:
        return proposal.sample((0,))
    z, _ = accept_reject(
        lambda m: proposal.sample((m,), generator=generator),
        log_acceptance,
        n,
        truncation=truncation,
        generator=generator,
    )
    return z


def checked_truncation(truncation: int) -> int:
    if truncation < 1:
        raise ValueError(f"truncation must be at least 1 proposal, got {truncation}")
    return truncation


def _log1m_exp(log_x: Tensor) -> Tensor:
    """log(1 - exp(log_x)) for log_x <= 0, accurate at both ends; zero counts as the next smaller number, so
    that gradients stay finite.
    """
    log_x = log_x.clamp(max=-torch.finfo(log_x.dtype).tiny)
    return torch.where(log_x > -math.log(2.0), (-torch.expm1(log_x)).log(), torch.log1p(-torch.exp(log_x)))
