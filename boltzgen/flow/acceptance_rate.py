"""Acceptance rates Z = E_pi[a] of resampled distributions, and ways to compute them."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from boltzgen.flow.distribution import Distribution
from boltzgen.flow.nodes import HasQuadrature, HasQuantiles, Nodes

#: Points of `QuasiMonteCarlo` are kept this far from the faces of the unit cube, whose quantiles are
#: infinite.
_EDGE = 1e-7


class AcceptanceRate(nn.Module, ABC):
    """A way to compute log Z = log E_pi[a] inside the graph of the log-density.

    Calling it never changes it: only `update` does, where there is something to update.
    """

    def check(self, proposal: Distribution) -> None:
        """Raise TypeError if this way does not work for the proposal."""

    @abstractmethod
    def forward(self, proposal: Distribution, acceptance: nn.Module) -> Tensor:
        """log Z, shape () or (k,) as the acceptance's last axis.

        It is differentiable in the proposal's and the acceptance's parameters.
        """

    def estimate(self, proposal: Distribution, acceptance: nn.Module, generator: torch.Generator) -> Tensor:
        """log Z for one training step, with gradients: where `forward` takes long, cheaper and at random."""
        return self(proposal, acceptance)  # type: ignore[no-any-return]

    def update(
        self,
        proposal: Distribution,
        acceptance: nn.Module,
        *,
        n: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        """Take fresh proposals into account, once a training step.

        Nothing to do where there is no randomness.
        """

    @abstractmethod
    def error(self, proposal: Distribution, acceptance: nn.Module) -> Tensor:
        """Estimated error of log Z, shape () or (k,), without gradients."""


class Quadrature(AcceptanceRate):
    """A product rule: a grid on periodic axes, the trapezoidal rule on others.

    Both converge faster than any power for a smooth acceptance. For few dimensions: the acceptance is
    evaluated at all nodes in every call.

    Training can make the acceptance rough between fixed nodes, where nothing sees it, and log Z then comes
    out too low: maximum likelihood even seeks this. Each `update` shifts the lattice by random parts of its
    spacing, so that nothing is gained by it.

    Args:
        points: number of points to an axis.
    """

    def __init__(self, points: int = 64) -> None:
        super().__init__()
        self._shift: Tensor | None = None
        if points < 2:
            raise ValueError(f"a quadrature needs at least 2 points to an axis, got {points}")
        self.points = points

    @override
    def check(self, proposal: Distribution) -> None:
        if not isinstance(proposal, HasQuadrature):
            raise TypeError(
                f"{type(proposal).__name__} has no quadrature; use QuasiMonteCarlo() or MonteCarlo() for "
                "its acceptance rate"
            )
        self._with(2, None, proposal, _everything)

    @override
    def forward(self, proposal: Distribution, acceptance: nn.Module) -> Tensor:
        return self._with(self.points, self._shift, proposal, acceptance)

    @override
    def estimate(self, proposal: Distribution, acceptance: nn.Module, generator: torch.Generator) -> Tensor:
        """By half as many points to an axis, at a random place: on periodic axes Z has no bias."""
        return self._with(max(self.points // 2, 2), _anywhere(proposal, generator), proposal, acceptance)

    def update(
        self,
        proposal: Distribution,
        acceptance: nn.Module,
        *,
        n: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        """Shift the lattice at random."""
        self._shift = _anywhere(proposal, generator)

    def error(self, proposal: Distribution, acceptance: nn.Module) -> Tensor:
        """Difference to a rule with 1.5 times as many points to each axis."""
        with torch.no_grad():
            more = self._with(self.points + self.points // 2, self._shift, proposal, acceptance)
            return (more - self(proposal, acceptance)).abs()

    def _with(
        self,
        points: int,
        shift: Tensor | None,
        proposal: Distribution,
        acceptance: Callable[[Tensor], Tensor],
    ) -> Tensor:
        assert isinstance(proposal, HasQuadrature)
        if shift is None:
            shift = torch.zeros(proposal.event_shape, dtype=torch.float64)
        return log_mean(acceptance, proposal.quadrature(points, shift))


class QuasiMonteCarlo(AcceptanceRate):
    """A fixed set of 2^m scrambled Sobol points, mapped to the proposal: for three to some ten dimensions.

    Owen 1998, J. Complexity 14, 466.

    Args:
        log2_points: m.
        seed: of the scrambling.
    """

    def __init__(self, log2_points: int = 13, *, seed: int = 0) -> None:
        super().__init__()
        self.log2_points, self.seed = log2_points, seed

    @override
    def check(self, proposal: Distribution) -> None:
        if not isinstance(proposal, HasQuantiles):
            raise TypeError(
                f"{type(proposal).__name__} has no quantile function; use MonteCarlo() for its acceptance "
                "rate"
            )
        proposal.from_uniform(torch.full((1, proposal.event_shape[0]), 0.5).to(_dtype_and_device(proposal)))

    @override
    def forward(self, proposal: Distribution, acceptance: nn.Module) -> Tensor:
        return self._with(self.seed, proposal, acceptance)

    def error(self, proposal: Distribution, acceptance: nn.Module) -> Tensor:
        """Standard deviation over 8 other scramblings."""
        with torch.no_grad():
            return torch.stack([self._with(self.seed + 1 + k, proposal, acceptance) for k in range(8)]).std(0)

    def _with(self, seed: int, proposal: Distribution, acceptance: nn.Module) -> Tensor:
        assert isinstance(proposal, HasQuantiles)
        engine = torch.quasirandom.SobolEngine(proposal.event_shape[0], scramble=True, seed=seed)
        u = engine.draw(2**self.log2_points, dtype=torch.float64).clamp(_EDGE, 1 - _EDGE)
        z = proposal.from_uniform(u.to(_dtype_and_device(proposal)))
        return log_mean(acceptance, (z, z.new_full((len(z),), -math.log(len(z)))))


class MonteCarlo(AcceptanceRate):
    """A running average over fresh proposals, for many dimensions.

    The value of log Z is that of the average; its gradient is that of `n` proposals, others after each
    update:

        log Z = log Z_batch - stop_gradient(log Z_batch) + log Z_average

    (Stimper et al. 2022, arXiv:2110.15828, who update inside log_prob). Before a density is relied on, an
    update with a large `n` should replace the average: 1e6 proposals at Z = 0.1 give log Z to at best 0.003.

    Args:
        n: proposals in every update.
        decay: share of the old average that an update keeps.
        n_out: k, if the acceptance has a last axis.
    """

    log_rate: Tensor
    relative_error: Tensor
    seed: Tensor

    def __init__(self, n: int = 1024, *, decay: float = 0.9, n_out: int | None = None) -> None:
        super().__init__()
        if not (n >= 2 and 0 <= decay < 1):
            raise ValueError(f"expected n >= 2 proposals and 0 <= decay < 1, got {n} and {decay}")
        self.n, self.decay = n, decay
        shape = () if n_out is None else (n_out,)
        self.register_buffer("log_rate", torch.full(shape, math.nan))
        self.register_buffer("relative_error", torch.full(shape, math.nan))
        self.register_buffer("seed", torch.zeros((), dtype=torch.int64))

    @override
    def forward(self, proposal: Distribution, acceptance: nn.Module) -> Tensor:
        if self.log_rate.isnan().any():
            raise RuntimeError(
                "the acceptance rate has not been estimated yet; call update_rate() first, and after every "
                "optimizer step"
            )
        if not torch.is_grad_enabled():
            return self.log_rate.clone()
        stream = torch.Generator(self.seed.device).manual_seed(int(self.seed))
        z = proposal.sample((self.n,), generator=stream)
        # At fixed nodes, whose probability depends on the proposal's parameters.
        log_pi = proposal.log_prob(z)
        log_batch = log_mean(acceptance, (z, log_pi - log_pi.detach() - math.log(self.n)))
        return log_batch - log_batch.detach() + self.log_rate

    @torch.no_grad()
    def update(
        self,
        proposal: Distribution,
        acceptance: nn.Module,
        *,
        n: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        """Draw proposals: `n` of them replace the average; where n is None, the module's `n` join it."""
        count = left = n or self.n
        total = square = torch.zeros((), dtype=torch.float64, device=self.log_rate.device)
        while left:
            z = proposal.sample((min(left, 65536),), generator=generator)
            a = acceptance(z).exp().double()
            total, square, left = total + a.sum(0), square + a.square().sum(0), left - len(z)
        mean = total / count
        error = ((square / count - mean**2).clamp(min=0) / (count - 1)).sqrt() / mean
        if n is None and not self.log_rate.isnan().any():
            keep = self.decay
            mean = keep * self.log_rate.double().exp() + (1 - keep) * mean
            error = (keep**2 * self.relative_error.double() ** 2 + (1 - keep) ** 2 * error**2).sqrt()
        self.log_rate.copy_(mean.log())
        self.relative_error.copy_(error)
        self.seed += 1

    def error(self, proposal: Distribution, acceptance: nn.Module) -> Tensor:
        """Standard error of the proposals drawn so far, as if the parameters had not changed since."""
        return self.relative_error.clone()


class FixedRate(AcceptanceRate):
    """log Z as it was when a distribution was frozen, without gradients; see `Distribution.frozen`.

    Args:
        log_z: log Z, shape () or (k,).
    """

    log_z: Tensor

    def __init__(self, log_z: Tensor) -> None:
        super().__init__()
        self.register_buffer("log_z", log_z.detach(), persistent=False)

    @override
    def forward(self, proposal: Distribution, acceptance: nn.Module) -> Tensor:
        return self.log_z

    def update(self, *arguments: Any, **options: Any) -> None:
        """Raise TypeError: the distribution that this was frozen from can be updated."""
        raise TypeError("the acceptance rate is frozen; update that of the distribution it was frozen from")

    def error(self, proposal: Distribution, acceptance: nn.Module) -> Tensor:
        """Raise TypeError: the distribution that this was frozen from knows its error."""
        raise TypeError("the acceptance rate is frozen; the distribution it was frozen from has its error")


def log_mean(acceptance: Callable[[Tensor], Tensor], nodes: Nodes) -> Tensor:
    """log sum_i w_i a(z_i), shape () or (k,)."""
    z, log_w = nodes
    log_a = acceptance(z)
    return torch.logsumexp(log_a + log_w.reshape(-1, *[1] * (log_a.dim() - 1)), dim=0)


def default_rate(proposal: Distribution) -> AcceptanceRate:
    """Quadrature up to two dimensions, Sobol points up to eight, else Monte Carlo.

    The first two only where the proposal has what they need.
    """
    n = proposal.event_shape.numel()
    for rate, most in ((Quadrature(), 2), (QuasiMonteCarlo(), 8)):
        if n <= most:
            try:
                rate.check(proposal)
            except TypeError:
                continue
            return rate
    return MonteCarlo()


def _anywhere(proposal: Distribution, generator: torch.Generator | None) -> Tensor:
    """A shift of a lattice at random, in units of its spacing."""
    device = None if generator is None else generator.device
    return torch.rand(proposal.event_shape, generator=generator, dtype=torch.float64, device=device)


def _everything(z: Tensor) -> Tensor:
    """An acceptance of one."""
    return torch.zeros_like(z[..., 0])


def _dtype_and_device(proposal: Distribution) -> Tensor:
    """Any of its tensors."""
    return next(tensor for tensors in (proposal.parameters(), proposal.buffers()) for tensor in tensors)
