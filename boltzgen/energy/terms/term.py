"""What a kind of force contributes to `ForceFieldEnergy`: a module that maps shared geometry to an energy."""

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from boltzgen.energy.geometry import Geometry, Masters


class UnsupportedForceError(ValueError):
    """A force, or a feature of one, that `ForceFieldEnergy` does not compute."""

    def __init__(self, force: str, reason: str) -> None:
        super().__init__(
            f"ForceFieldEnergy cannot compute {force}: {reason}; use OpenMMEnergy(system), which computes "
            "every OpenMM force"
        )
        self.force = force


class Term(Masters, ABC):
    """The potential of one OpenMM force, batched.

    `geometry` is laid out atoms first, batch last, so that every operation runs over contiguous rows.
    Parameters are float64 buffers; a term casts them to the geometry's dtype as it uses them.
    """

    @abstractmethod
    def forward(self, geometry: Geometry) -> Tensor:
        """Potential energy in kJ/mol, shape (batch,)."""

    def parameter_column(self, name: str, values: Any) -> None:
        """Register `values` as a float64 buffer (n, 1), which broadcasts against rows (n, batch)."""
        self.register_buffer(name, torch.as_tensor(values, dtype=torch.float64).reshape(-1, 1))


def row_sum(values: Tensor) -> Tensor:
    """Sum over rows (n, batch), shape (batch,), added up in float64.

    Tens of thousands of pairs in float32 would lose 1e-3 kT.
    """
    return values.sum(0, dtype=torch.float64).to(values.dtype)


def with_gradient(value: Tensor, variable: Tensor, gradient: Tensor) -> Tensor:
    """A value that was computed without a graph, with its gradient.

    Args:
        value: (batch,).
        variable: what it is a function of, (..., batch).
        gradient: its gradient, shaped as the variable.
    """
    result: Tensor = _WithGradient.apply(value, variable, gradient)
    return result


class _WithGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, variable: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        return value.clone()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_value: Tensor) -> tuple[None, Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return None, by_value * gradient, None
