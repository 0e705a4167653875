"""The target density in flow coordinates."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from boltzgen import units
from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.energy.base import Energy


class PullbackEnergy(nn.Module):
    """The reduced energy of flow coordinates, u_y(y) = u(x(y)) - log|det dx/dy|, in kT.

    exp(-u_y) is the unnormalised target density in y. Outside the domain of `coordinates` u_y is +inf.
    """

    def __init__(self, energy: Energy, coordinates: MolecularCoordinates) -> None:
        super().__init__()
        self.energy, self.coordinates = energy, coordinates

    def forward(self, y: Tensor) -> Tensor:
        """u_y in kT, shape (...), of y (..., 3n - 6)."""
        potential, log_det = self.evaluate(y)
        return potential / units.kt(self.energy.temperature) - log_det

    def evaluate(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """Potential energy [kJ/mol] and log|det dx/dy|, each (...), for the target at any temperature."""
        x, log_det, inside = self.coordinates.forward_in_domain(y)
        return torch.where(inside, self.energy.potential(x), math.inf), log_det

    def value_and_gradient(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """u_y (...) and its gradient (..., 3n - 6), both detached.

        Where one of them is not finite, the gradient is zero.
        """
        return value_and_gradient(self, y)


def value_and_gradient(target: Callable[[Tensor], Tensor], y: Tensor) -> tuple[Tensor, Tensor]:
    """u (...) of y (..., n_dims) and its gradient, both detached; zero where one of them is not finite."""
    with torch.enable_grad():
        leaf = y.detach().requires_grad_()
        u = target(leaf)
        (gradient,) = torch.autograd.grad(torch.where(u.isfinite(), u, 0.0).sum(), leaf)
    u = u.detach()
    good = u.isfinite() & gradient.isfinite().all(-1)
    return u, torch.where(good.unsqueeze(-1), gradient, 0.0)
