"""Densities in the plane whose topology a bijection of a Gaussian cannot have.

Stimper et al. 2022, arXiv:2110.15828.
"""

import math
from abc import ABC, abstractmethod
from functools import cached_property

import torch
from torch import Tensor
from typing_extensions import override


class PlaneDensity(ABC):
    """p(x) = exp(-u(x)) / Z in the plane, nearly all of it within `reach` of the origin in both coordinates.

    Attributes:
        reach: beyond the square [-reach, reach]^2 lies less than 1e-12 of the probability.
        lowest: a bound, u(x) >= lowest everywhere.
    """

    reach: float = 4.0
    lowest: float

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """u at x (..., 2), shape (...)."""

    def value_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """u (...) and its gradient (..., 2), detached: a target of the training objectives."""
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            u = self(leaf)
            (gradient,) = torch.autograd.grad(u.sum(), leaf)
        return u.detach(), gradient

    @cached_property
    def log_z(self) -> float:
        """log of the integral of exp(-u), by the trapezoidal rule, exact to 1e-6 and better."""
        grid, cell = self.grid(1000)
        return float(torch.logsumexp(-self(grid), 0)) + math.log(cell)

    def log_prob(self, x: Tensor) -> Tensor:
        """log p at x (..., 2), normalised, shape (...)."""
        return -self(x) - self.log_z

    def grid(self, points: int) -> tuple[Tensor, float]:
        """Centres (points^2, 2) of equal cells of the square, float64, and the area of a cell."""
        width = 2 * self.reach / points
        axis = -self.reach + width * (torch.arange(points, dtype=torch.float64) + 0.5)
        return torch.cartesian_prod(axis, axis), width**2

    def sample(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """n independent draws (n, 2), float32, by rejection from the square."""
        found: list[Tensor] = []
        while sum(len(x) for x in found) < n:
            x = self.reach * (2 * torch.rand(16 * n, 2, generator=generator) - 1)
            found.append(x[torch.rand(len(x), generator=generator).log() < self.lowest - self(x)])
        return torch.cat(found)[:n]


class TwoMoons(PlaneDensity):
    """Two crescents.

    u = ((|x| - 2) / 0.2)^2 / 2 - log[exp(-((x_1 - 2) / 0.3)^2 / 2) + exp(-((x_1 + 2) / 0.3)^2 / 2)].
    """

    lowest = -math.log(2)

    @override
    def __call__(self, x: Tensor) -> Tensor:
        side = torch.stack((x[..., 0] - 2, x[..., 0] + 2), dim=-1)
        return 0.5 * ((x.norm(dim=-1) - 2) / 0.2).square() - torch.logsumexp(
            -0.5 * (side / 0.3).square(), dim=-1
        )


class CircleOfGaussians(PlaneDensity):
    """`modes` equal Gaussians of standard deviation 2/3 sin(pi / modes) on a circle of radius 2."""

    def __init__(self, modes: int = 8) -> None:
        self.scale = 2 / 3 * math.sin(math.pi / modes)
        angle = 2 * math.pi / modes * torch.arange(modes, dtype=torch.float64)
        self.centres = 2 * torch.stack((angle.sin(), angle.cos()), dim=1)
        self.lowest = -math.log(modes)
        self.reach = 2 + 8 * self.scale

    @override
    def __call__(self, x: Tensor) -> Tensor:
        square = (x.unsqueeze(-2) - self.centres.to(x)).square().sum(-1)
        return -torch.logsumexp(-0.5 * square / self.scale**2, dim=-1)


class TwoRings(PlaneDensity):
    """Two concentric rings of radius 1 and 2, of equal height: Gaussian profiles of width 1/8."""

    radii, scale = (1.0, 2.0), 0.125
    lowest = -math.log(2)

    @override
    def __call__(self, x: Tensor) -> Tensor:
        distance = x.norm(dim=-1, keepdim=True) - torch.tensor(self.radii).to(x)
        return -torch.logsumexp(-0.5 * (distance / self.scale).square(), dim=-1)
