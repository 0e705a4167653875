"""What resampled distributions have in common, and what a model that contains some does with all of them.

Stimper, Schölkopf and Hernández-Lobato 2022, arXiv:2110.15828.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from boltzgen.flow.accept_reject import accept_reject
from boltzgen.flow.acceptance_rate import AcceptanceRate
from boltzgen.flow.distribution import Distribution
from boltzgen.flow.truncation import checked_truncation, expected_proposals, log_unforced


class Resampling(nn.Module):
    """A proposal, one or k acceptance probabilities, and their acceptance rates Z.

    All figures have shape () where the acceptance's log a have shape (...), and (k,) where they have shape
    (..., k).
    """

    def __init__(
        self, proposal: Distribution, acceptance: nn.Module, truncation: int, rate: AcceptanceRate
    ) -> None:
        super().__init__()
        self.proposal, self.acceptance = proposal, acceptance
        self.truncation = checked_truncation(truncation)
        rate.check(proposal)
        self.rate = rate
        #: log Z with its graph, or nothing yet, within `rates_once`; else None.
        self._once: list[Tensor] | None = None
        self._stream: torch.Generator | None = None

    def log_acceptance_rate(self) -> Tensor:
        """log Z with gradients: the log of the mean acceptance probability over the proposal."""
        if self._once is None:
            return self.rate(self.proposal, self.acceptance)  # type: ignore[no-any-return]
        if not self._once:
            with torch.enable_grad():
                found = (
                    self.rate(self.proposal, self.acceptance)
                    if self._stream is None
                    else self.rate.estimate(self.proposal, self.acceptance, self._stream)
                )
                self._once.append(found)
        return self._once[0] if torch.is_grad_enabled() else self._once[0].detach()

    def acceptance_rate_error(self) -> Tensor:
        """Estimated error of log Z."""
        return self.rate.error(self.proposal, self.acceptance)

    def update_rate(self, n: int | None = None, *, generator: torch.Generator | None = None) -> None:
        """Take fresh proposals into account, once a training step.

        The nodes of a quadrature are shifted; `n` fresh proposals replace a Monte Carlo estimate, or, where n
        is None, some are averaged into it.
        """
        self.rate.update(self.proposal, self.acceptance, n=n, generator=generator)

    def expected_proposals(self) -> Tensor:
        """Expected number of proposals for an accepted one, (1 - (1 - Z)^T) / Z."""
        return expected_proposals(self.log_acceptance_rate(), self.truncation)

    def log_unforced(self) -> Tensor:
        """log(1 - alpha): the log of the chance that a proposal is accepted before the last one.

        A training loss may subtract it. With it the loss is one of a bound, log p(z) >= log pi(z) + log a(z)
        - log Z + log(1 - alpha). Without, training may end where Z is about 1/T and a good part of all draws
        is undirected: that is a local optimum, because such draws cover everything. Where Z is several times
        1/T the term is nothing.
        """
        return log_unforced(self.log_acceptance_rate(), self.truncation)

    def of_draws(self, each: Tensor) -> Tensor:
        """A figure of every acceptance probability, added up over those that one draw needs.

        Shape (), or (n_classes,) where there are classes.
        """
        return each


def update_rates(model: nn.Module, n: int | None = None, *, generator: torch.Generator | None = None) -> None:
    """`update_rate` of every resampled distribution in a model."""
    for part in _parts(model):
        part.update_rate(n, generator=generator)


@contextmanager
def rates_once(model: nn.Module, *, estimated: torch.Generator | None = None) -> Iterator[None]:
    """Compute every acceptance rate in a model once, in a block that does not change its parameters.

    For a loss of several parts that draws and evaluates densities with the same parameters. A training step
    needs no more than estimates: with `estimated`, a source of random numbers, the rates are those of
    `AcceptanceRate.estimate`.
    """
    parts = list(_parts(model))
    try:
        for part in parts:
            part._once, part._stream = [], estimated
        yield
    finally:
        for part in parts:
            part._once = part._stream = None


def log_unforced_draws(model: nn.Module) -> Tensor:
    """log(1 - alpha) of a draw, a scalar: of everything in a model that is resampled; classes count alike."""
    return sum((part.of_draws(part.log_unforced()).mean() for part in _parts(model)), torch.zeros(()))


@torch.no_grad()
def log_prob_error(model: nn.Module) -> float:
    """A bound on the standard error that the acceptance rates bring into a model's log-densities, in nats.

    A density is 1/Z times something, but where draws are forced: the error of log p is that of log Z, the
    same for all points, so that it does not average out over data. Factors share their proposals: their
    errors add up. Of several classes the largest counts. Zero where nothing is resampled.
    """
    return sum(float(part.of_draws(part.acceptance_rate_error()).max()) for part in _parts(model))


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
        z = proposal.sample((0,))
        return z, z.new_empty(0)
    z, log_a, _ = accept_reject(
        lambda m: proposal.sample((m,), generator=generator),
        log_acceptance,
        n,
        truncation=truncation,
        generator=generator,
    )
    return z, log_a


def _parts(model: nn.Module) -> Iterator[Resampling]:
    return (part for part in model.modules() if isinstance(part, Resampling))
