"""Elementary base distributions and their products."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from typing_extensions import override

from boltzgen.flow.distribution import Distribution
from boltzgen.flow.gaussian import normal_nodes
from boltzgen.flow.nodes import HasQuadrature, HasQuantiles, Nodes, lattice, product_nodes


class _Elementary(Distribution):
    """n independent coordinates without parameters, event shape (n,).

    Draws have the dtype and device of the module.
    """

    anchor: Tensor

    def __init__(self, n: int) -> None:
        super().__init__()
        self.event_shape, self.has_rsample = torch.Size((n,)), True
        self.register_buffer("anchor", torch.zeros(()), persistent=False)

    @override
    def draw(
        self, shape: Sequence[int] = (), *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        z = self._fill(self.anchor.new_empty(*shape, *self.event_shape), generator)
        log_prob = self.log_prob(z)
        return z, log_prob, torch.zeros_like(log_prob)

    @abstractmethod
    def _fill(self, z: Tensor, generator: torch.Generator | None) -> Tensor:
        """Overwrite z with draws and return it."""


class StandardNormal(_Elementary):
    """Independent standard normals, event shape (n,)."""

    @override
    def log_prob(self, z: Tensor) -> Tensor:
        return -0.5 * z.square().sum(-1) - 0.5 * math.log(2 * math.pi) * self.event_shape[0]

    @override
    def _fill(self, z: Tensor, generator: torch.Generator | None) -> Tensor:
        return z.normal_(generator=generator)

    def quadrature(self, points: int, shift: Tensor) -> Nodes:
        """See `HasQuadrature`."""
        return normal_nodes(points, shift, like=self.anchor)

    def from_uniform(self, u: Tensor) -> Tensor:
        """See `HasQuantiles`."""
        return torch.special.ndtri(u)


class UniformTorus(_Elementary):
    """Uniform density of n independent angles in [-pi, pi) radians, event shape (n,)."""

    @override
    def log_prob(self, z: Tensor) -> Tensor:
        return z.new_full(z.shape[:-1], -math.log(2 * math.pi) * self.event_shape[0])

    @override
    def _fill(self, z: Tensor, generator: torch.Generator | None) -> Tensor:
        return z.uniform_(generator=generator).mul_(2 * math.pi).sub_(math.pi)

    def quadrature(self, points: int, shift: Tensor) -> Nodes:
        """See `HasQuadrature`."""
        axis = torch.arange(points, dtype=torch.float64)
        grid = (lattice([axis + s for s in shift.tolist()]) * (2 * math.pi / points) - math.pi).to(
            self.anchor
        )
        return grid, grid.new_full((len(grid),), -math.log(len(grid)))

    def from_uniform(self, u: Tensor) -> Tensor:
        """See `HasQuantiles`."""
        return 2 * math.pi * u - math.pi


class Product(Distribution):
    """Independent factors on consecutive blocks of the last axis.

    Some factors may lack pathwise draws: only those contribute to the score-function surrogate.
    """

    def __init__(self, factors: Sequence[Distribution]) -> None:
        super().__init__()
        if not factors or any(len(f.event_shape) != 1 for f in factors):
            raise ValueError("Product needs at least one factor, each with an event shape (n,)")
        self.factors = nn.ModuleList(factors)
        self.sizes = [f.event_shape[0] for f in factors]
        self.event_shape = torch.Size((sum(self.sizes),))
        self.has_rsample = all(f.has_rsample for f in factors)

    @override
    def log_prob(self, z: Tensor) -> Tensor:
        parts = z.split(self.sizes, dim=-1)
        return torch.stack([f.log_prob(part) for f, part in zip(self.factors, parts, strict=True)]).sum(0)  # type: ignore[operator]

    @override
    def draw(
        self, shape: Sequence[int] = (), *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        z, log_prob, surrogate = zip(*(f.draw(shape, generator=generator) for f in self.factors), strict=True)  # type: ignore[operator]
        return torch.cat(z, dim=-1), torch.stack(log_prob).sum(0), torch.stack(surrogate).sum(0)

    def quadrature(self, points: int, shift: Tensor) -> Nodes:
        """See `HasQuadrature`."""
        parts = zip(self._all(HasQuadrature), shift.split(self.sizes), strict=True)
        return product_nodes([factor.quadrature(points, part) for factor, part in parts])

    def from_uniform(self, u: Tensor) -> Tensor:
        """See `HasQuantiles`."""
        parts = u.split(self.sizes, dim=-1)
        return torch.cat(
            [f.from_uniform(part) for f, part in zip(self._all(HasQuantiles), parts, strict=True)], dim=-1
        )

    @override
    def frozen(self) -> "Product":
        return Product([factor.frozen() for factor in self.factors])  # type: ignore[operator]

    def _all(self, protocol: type) -> list[Any]:
        """The factors, if all of them can what the protocol says."""
        for factor in self.factors:
            if not isinstance(factor, protocol):
                raise TypeError(
                    f"the factor {type(factor).__name__} of this product lacks what {protocol.__name__} "
                    "asks for"
                )
        return list(self.factors)
