"""Splines and triangular layers in one pass of compiled loops, and their gradients in another: many times faster than operation by operation.

An element of the batch has the same bits wherever it is in a batch, and on any number of threads. All is for tensors that the loops are `ready` for.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType

import torch
from torch import Tensor
from torch.nn import functional

from boltzgen.flow.compiled import LANES, Results, apply, kernels, run


def spline(x: Tensor, raw: Tensor, *, bound: float, circular: bool, inverse: bool) -> tuple[Tensor, Tensor]:
    """(y, log|dy/dx|), shaped as x, of a `circular_spline` or a `spline_with_tails`; differentiable once.

    Args:
        x: values (...), of which the last axis is the batch.
        raw: parameters (n_parameters, ...).
    """
    batch = x.shape[-1] if x.ndim else 1
    rows, parameters = _filled(x.reshape(-1, batch)), _filled(raw.reshape(len(raw), -1, batch))
    loops = _Spline(bound, circular, inverse)
    y, log_derivative = apply(loops.evaluate, loops.gradient, rows, parameters)
    return y[:, :batch].reshape(x.shape), log_derivative[:, :batch].reshape(x.shape)


def triangular(x: Tensor, packed: Tensor, *, solve: bool) -> tuple[Tensor, Tensor]:
    """D L (x - mean), or mean + L^-1 D^-1 x, shape (batch, n), and the log-determinant (batch,); differentiable once.

    Args:
        x: (batch, n).
        packed: (n (n + 1) / 2 + n, batch), in each column the rows of L with log D on the diagonal, and the mean.
    """
    loops = (_solve, _solve_gradient) if solve else (_multiply, _multiply_gradient)
    y, log_det = apply(*loops, _filled(x.T).T.contiguous(), _filled(packed))
    return y[: len(x)], log_det[: len(x)]


def _filled(values: Tensor) -> Tensor:
    """Contiguous values with as many elements of the batch, their last axis, as the loops need."""
    missing = LANES - values.shape[-1]
    return functional.pad(values, (0, missing)) if missing > 0 else values.contiguous()


def _loops() -> tuple[ModuleType, ModuleType]:
    loops = kernels()
    assert loops is not None
    return loops


@dataclass(frozen=True)
class _Spline:
    """x (n_active, batch), raw (n_parameters, n_active, batch) -> y, log_derivative."""

    bound: float
    circular: bool
    inverse: bool

    def evaluate(self, x: Tensor, raw: Tensor) -> Results:
        results = torch.empty_like(x), torch.empty_like(x)
        self._run(_loops()[0].transform, x, raw, *results)
        return results, ()

    def gradient(self, by_y: Tensor, by_log: Tensor, x: Tensor, raw: Tensor) -> tuple[Tensor, ...]:
        results = torch.empty_like(x), torch.empty_like(raw)
        self._run(_loops()[0].gradient, x, raw, by_y, by_log, *results)
        return results

    def _run(self, loop: Callable[..., None], x: Tensor, raw: Tensor, *others: Tensor) -> None:
        run(loop, (x, raw, *others), self.bound, self.circular, self.inverse, batch=x.shape[-1], numbers=raw.numel())


def _multiply(x: Tensor, packed: Tensor) -> Results:
    """x (batch, n), packed (rows, batch) -> D L (x - mean), log det."""
    z, log_det, scale = torch.empty_like(x), x.new_empty(len(x)), _diagonal(packed, x.shape[1]).exp()
    run(_loops()[1].multiply, (x, packed, scale, z, log_det), batch=len(x), numbers=packed.numel())
    return (z, log_det), (scale, z)


def _multiply_gradient(by_z: Tensor, by_log: Tensor, x: Tensor, packed: Tensor, scale: Tensor, z: Tensor) -> tuple[Tensor, ...]:
    results = torch.empty_like(x), torch.empty_like(packed)
    run(_loops()[1].multiply_gradient, (x, packed, scale, z, by_z, by_log, *results), batch=len(x), numbers=packed.numel())
    return results


def _solve(z: Tensor, packed: Tensor) -> Results:
    """z (batch, n), packed (rows, batch) -> mean + L^-1 D^-1 z, log det."""
    x, log_det, scale = torch.empty_like(z), z.new_empty(len(z)), _diagonal(packed, z.shape[1]).neg().exp()
    solution = torch.empty_like(scale)
    run(_loops()[1].solve, (z, packed, scale, x, log_det, solution), batch=len(z), numbers=packed.numel())
    return (x, log_det), (scale, solution)


def _solve_gradient(by_x: Tensor, by_log: Tensor, z: Tensor, packed: Tensor, scale: Tensor, solution: Tensor) -> tuple[Tensor, ...]:
    results = torch.empty_like(z), torch.empty_like(packed)
    run(_loops()[1].solve_gradient, (z, packed, scale, solution, by_x, by_log, *results), batch=len(z), numbers=packed.numel())
    return results


def _diagonal(packed: Tensor, n: int) -> Tensor:
    """log D, shape (n, batch)."""
    return packed[torch.arange(n) * torch.arange(3, n + 3) // 2]
