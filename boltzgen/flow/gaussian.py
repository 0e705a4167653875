"""Mixtures of normals, with parameters that can be learned."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from typing_extensions import override

from boltzgen.flow.distribution import Distribution
from boltzgen.flow.nodes import Nodes, lattice

#: Nodes of a quadrature lie within this many standard deviations; beyond lie 3e-12 of the probability.
_CUTOFF = 7.0


class GaussianMixture(Distribution):
    """A mixture of diagonal normals, event shape (n,).

    Its weights are softmax(`logits`), its means `loc`, and its standard deviations exp(`log_scale`). The
    choice of a component has no pathwise gradient, so that all parameters learn by the score function. The
    baseline of Stimper et al. 2022 (arXiv:2110.15828).

    Args:
        n: number of coordinates.
        components: number of normals.
        spread: the means start uniform in [-spread, spread].
        scale: the start of every standard deviation.
        trainable: whether all parameters are learned.
        generator: of the random numbers of the start.
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
        log_scale = torch.full((components, n), math.log(scale))
        start = {"logits": torch.zeros(components), "loc": loc, "log_scale": log_scale}
        for name, value in start.items():
            if trainable:
                self.register_parameter(name, nn.Parameter(value))
            else:
                self.register_buffer(name, value)

    @override
    def log_prob(self, z: Tensor) -> Tensor:
        each = _log_normal((z.unsqueeze(-2) - self.loc) * torch.exp(-self.log_scale)) - self.log_scale.sum(-1)
        return torch.logsumexp(torch.log_softmax(self.logits, 0) + each, dim=-1)

    @override
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
        surrogate = self.log_prob(z)
        return z, surrogate.detach(), surrogate

    def quadrature(self, points: int, shift: Tensor) -> Nodes:
        """See `HasQuadrature`."""
        z, log_w = normal_nodes(points, shift, like=self.loc)
        nodes = self.loc.unsqueeze(1) + self.log_scale.exp().unsqueeze(1) * z
        return nodes.flatten(0, 1), (torch.log_softmax(self.logits, 0).unsqueeze(1) + log_w).flatten()


def normal_nodes(points: int, shift: Tensor, *, like: Tensor) -> Nodes:
    """The trapezoidal rule for the standard normal in n dimensions, `points` to an axis.

    It converges faster than any power for smooth integrands. The lattice is moved by the shift (n,), in units
    of its spacing. Nodes outside the ball of radius 7 are left out, and the weights sum to one.
    """
    spacing = 2 * _CUTOFF / points
    axis = torch.arange(points, dtype=torch.float64) - points / 2
    z = spacing * lattice([axis + s for s in shift.tolist()])
    z = z[z.square().sum(1) <= _CUTOFF**2 + 1e-9]
    return z.to(like), torch.log_softmax(-0.5 * z.square().sum(1), 0).to(like)


def _log_normal(noise: Tensor) -> Tensor:
    return -0.5 * noise.square().sum(-1) - 0.5 * math.log(2 * math.pi) * noise.shape[-1]
