"""Weighted points that stand for a distribution in integrals."""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

#: Points z (m, n) and log-weights (m,) that sum to one: sum_i w_i f(z_i) stands for E[f]. Differentiable in
#: the distribution's parameters.
Nodes = tuple[Tensor, Tensor]


@runtime_checkable
class HasQuadrature(Protocol):
    """A distribution with a quadrature rule."""

    def quadrature(self, points: int, shift: Tensor) -> Nodes:
        """Nodes of a product rule with `points` points to each axis.

        They are moved along each axis by the shift (n,), in units of their distance.
        """
        ...


@runtime_checkable
class HasQuantiles(Protocol):
    """A distribution that is the image of the uniform one on the unit cube."""

    def from_uniform(self, u: Tensor) -> Tensor:
        """Map points u (..., n) of the open unit cube to z (..., n).

        It is differentiable in the distribution's parameters.
        """
        ...


def lattice(axes: Sequence[Tensor]) -> Tensor:
    """All combinations of the axes' values, (product of their lengths, number of axes)."""
    return torch.cartesian_prod(*axes).reshape(-1, len(axes))


def product_nodes(factors: Sequence[Nodes]) -> Nodes:
    """Nodes of a product distribution: all combinations of the factors' nodes."""
    z, log_w = factors[0]
    for other, log_other in factors[1:]:
        z = torch.cat((z.repeat_interleave(len(other), 0), other.repeat(len(z), 1)), dim=-1)
        log_w = (log_w.unsqueeze(1) + log_other).flatten()
    return z, log_w
