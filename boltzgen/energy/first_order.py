"""The gradient of an energy as a value: usable once, and loud about it."""

from typing import Any, NoReturn

import torch
from torch import Tensor


def first_order(gradient: Tensor, slope: Tensor, x: Tensor) -> Tensor:
    """``gradient`` (...) times the precomputed ``slope`` (..., n_atoms, 3) at x; differentiating it again
    raises RuntimeError.

    torch's own `once_differentiable` lets a precomputed gradient pass as a constant where the incoming one
    has no graph: second derivatives would then be silently zero.
    """
    result: Tensor = _FirstOrder.apply(gradient, slope, x)
    return result


class _FirstOrder(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gradient: Tensor, slope: Tensor, x: Tensor) -> Tensor:
        return gradient[..., None, None] * slope

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> NoReturn:
        raise RuntimeError(
            "energies have first derivatives only; take finite differences of the gradient for a Hessian"
        )
