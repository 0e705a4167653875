"""The gradient of an energy as a value: usable once, and loud about it."""

from typing import Any, NoReturn

import torch
from torch import Tensor


def first_order(by_energy: Tensor, gradient: Tensor, x: Tensor) -> Tensor:
    """What comes back to x: the derivative by the energy (...) times the energy's gradient (..., n_atoms, 3).

    Differentiating it again raises RuntimeError. torch's own `once_differentiable` lets a precomputed
    gradient pass as a constant where the incoming one has no graph: second derivatives would then be
    silently zero.
    """
    result: Tensor = _FirstOrder.apply(by_energy, gradient, x)
    return result


class _FirstOrder(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, by_energy: Tensor, gradient: Tensor, x: Tensor) -> Tensor:
        return by_energy[..., None, None] * gradient

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> NoReturn:
        raise RuntimeError(
            "energies have first derivatives only; take finite differences of the gradient for a Hessian"
        )
