"""Normals and their mixtures, with parameters that can be learned."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from boltzgen.flow.distribution import Distribution
from boltzgen.flow.nodes import Nodes, lattice

#: Nodes of quadrature reach this many standard deviations; beyond lie 3e-12 of the probability.
_REACH = 7.0


class DiagonalNormal(Distribution):
    """Independent normals of mean `loc` and standard deviation exp(`log_scale`), event shape (n,); both are
    learned if `trainable`.
    """

    loc: Tensor
    log_scale: Tensor

    def __init__(self, n: int, *, trainable: bool = True) -> None:
        super().__init__()
        self.event_shape, self.has_rsample = torch.Size((n,)), True
        _hold(self, trainable, loc=torch.zeros(n), log_scale=torch.zeros(n))

    def log_prob(self, z: Tensor) -> Tensor:
        return _log_normal((z - self.loc) * torch.exp(-self.log_scale)) - self.log_scale.sum()

    def draw(
        self, shape: Sequence[int] = (), *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        noise = torch.randn(
            *shape, *self.event_shape, generator=generator, dtype=self.loc.dtype, device=self.loc.device
        )
        log_prob = _log_normal(noise) - self.log_scale.sum()
        return self.loc + self.log_scale.exp() * noise, log_prob, torch.zeros_like(log_prob.detach())

    def quadrature(self, points: int, shift: Tensor) -> Nodes:
        z, log_w = normal_nodes(points, shift, like=self.loc)
        return self.loc + self.log_scale.exp() * z, log_w

    def from_uniform(self, u: Tensor) -> Tensor:
        return self.loc + self.log_scale.exp() * torch.special.ndtri(u)


class GaussianMixture(Distribution):
    """A mixture of diagonal normals, event shape (n,): weights softmax(`logits`), means `loc`, deviations
    exp(`log_scale`).

    The baseline of Stimper et al. 2022 (arXiv:2110.15828). The choice of a component has no pathwise
    gradient, so that all parameters learn by the score function.

    Args:
        components: their number.
        trainable: whether all parameters are learned.
        spread: the means start uniform in [-spread, spread].
        scale: every deviation's start.
        generator: for the start.
    """

    logits: Tensor
    loc: Tensor
    log_scale: Tensor

    def __init__(
        self,
        n: int,
        components: int,
        *,
        spread: float = 2.5,
        scale: float = 0.5,
        trainable: bool = True,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if components < 1:
            raise ValueError(f"a mixture needs at least 1 component, got {components}")
        self.event_shape, self.has_rsample = torch.Size((n,)), False
        loc = spread * (2 * torch.rand(components, n, generator=generator) - 1)
        _hold(
            self,
            trainable,
            logits=torch.zeros(components),
            loc=loc,
            log_scale=torch.full((components, n), math.log(scale)),
        )

    def log_prob(self, z: Tensor) -> Tensor:
        each = _log_normal((z.unsqueeze(-2) - self.loc) * torch.exp(-self.log_scale)) - self.log_scale.sum(-1)
        return torch.logsumexp(torch.log_softmax(self.logits, 0) + each, dim=-1)

    def draw(
        self, shape: Sequence[int] = (), *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        with torch.no_grad():
            chosen = torch.multinomial(
                self.logits.softmax(0), math.prod(shape), replacement=True, generator=generator
            )
            noise = torch.randn(
                len(chosen),
                *self.event_shape,
                generator=generator,
                dtype=self.loc.dtype,
                device=self.loc.device,
            )
            z = (self.loc[chosen] + self.log_scale[chosen].exp() * noise).reshape(*shape, *self.event_shape)
        score = self.log_prob(z)
        return z, score.detach(), score

    def quadrature(self, points: int, shift: Tensor) -> Nodes:
        z, log_w = normal_nodes(points, shift, like=self.loc)
        nodes = self.loc.unsqueeze(1) + self.log_scale.exp().unsqueeze(1) * z
        return nodes.flatten(0, 1), (torch.log_softmax(self.logits, 0).unsqueeze(1) + log_w).flatten()


def normal_nodes(points: int, shift: Tensor, *, like: Tensor) -> Nodes:
    """The trapezoidal rule for the standard normal in n dimensions, `points` to an axis: it converges faster
    than any power for smooth integrands.

    The lattice is moved by the shift (n,), in units of its spacing.

    Nodes outside the ball of radius 7 are left out, and the weights sum to one.
    """
    spacing = 2 * _REACH / points
    axis = torch.arange(points, dtype=torch.float64) - points / 2
    z = spacing * lattice([axis + s for s in shift.tolist()])
    z = z[z.square().sum(1) <= _REACH**2 + 1e-9]
    return z.to(like), torch.log_softmax(-0.5 * z.square().sum(1), 0).to(like)


def _log_normal(noise: Tensor) -> Tensor:
    return -0.5 * noise.square().sum(-1) - 0.5 * math.log(2 * math.pi) * noise.shape[-1]


def _hold(module: nn.Module, trainable: bool, **values: Tensor) -> None:
    """As parameters, or else as buffers."""
    for name, value in values.items():
        if trainable:
            module.register_parameter(name, nn.Parameter(value))
        else:
            module.register_buffer(name, value)
