"""Elementary base distributions and their products."""

import math
from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from boltzgen.distribution import Distribution


class _Elementary(Distribution):
    """n independent coordinates without parameters, event shape (n,); draws have the dtype and device of the module."""

    anchor: Tensor

    def __init__(self, n: int) -> None:
        super().__init__()
        self.event_shape, self.has_rsample = torch.Size((n,)), True
        self.register_buffer("anchor", torch.zeros(()), persistent=False)

    def draw(self, shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor, Tensor]:
        z = self._fill(self.anchor.new_empty(*shape, *self.event_shape), generator)
        log_prob = self.log_prob(z)
        return z, log_prob, torch.zeros_like(log_prob)

    @abstractmethod
    def _fill(self, z: Tensor, generator: torch.Generator | None) -> Tensor:
        """Overwrite z with draws and return it."""


class StandardNormal(_Elementary):
    """Independent standard normals, event shape (n,)."""

    def log_prob(self, z: Tensor) -> Tensor:
        return -0.5 * z.square().sum(-1) - 0.5 * math.log(2 * math.pi) * self.event_shape[0]

    def _fill(self, z: Tensor, generator: torch.Generator | None) -> Tensor:
        return z.normal_(generator=generator)


class UniformTorus(_Elementary):
    """Uniform density on a product of n circles [-pi, pi), event shape (n,)."""

    def log_prob(self, z: Tensor) -> Tensor:
        return torch.full_like(z[..., 0], -math.log(2 * math.pi) * self.event_shape[0])

    def _fill(self, z: Tensor, generator: torch.Generator | None) -> Tensor:
        return z.uniform_(generator=generator).mul_(2 * math.pi).sub_(math.pi)


class Product(Distribution):
    """Independent factors on consecutive blocks of the last axis.

    Some factors may lack pathwise draws: only those contribute to the score.
    """

    def __init__(self, factors: Sequence[Distribution]) -> None:
        super().__init__()
        if not factors or any(len(f.event_shape) != 1 for f in factors):
            raise ValueError("Product needs at least one factor, each with an event shape (n,)")
        self.factors = nn.ModuleList(factors)
        self.sizes = [f.event_shape[0] for f in factors]
        self.event_shape = torch.Size((sum(self.sizes),))
        self.has_rsample = all(f.has_rsample for f in factors)

    def log_prob(self, z: Tensor) -> Tensor:
        parts = z.split(self.sizes, dim=-1)
        return torch.stack([f.log_prob(part) for f, part in zip(self.factors, parts, strict=True)]).sum(0)  # type: ignore[operator]

    def draw(self, shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor, Tensor]:
        z, log_prob, score = zip(*(f.draw(shape, generator=generator) for f in self.factors), strict=True)  # type: ignore[operator]
        return torch.cat(z, dim=-1), torch.stack(log_prob).sum(0), torch.stack(score).sum(0)
