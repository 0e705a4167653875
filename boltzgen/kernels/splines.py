"""Monotone rational-quadratic splines and their gradients by compiled kernels.

An element of the batch has the same bits wherever it is in a batch, and on any number of threads.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import ModuleType

import torch
from torch import Tensor

from boltzgen.kernels.runtime import Results, apply, filled, run


def spline(x: Tensor, raw: Tensor, *, bound: float, periodic: bool, inverse: bool) -> tuple[Tensor, Tensor]:
    """(y, log|dy/dx|), shaped as x, of a spline of x on [-bound, bound]; differentiable once.

    Args:
        x: values (...), of which the last axis is the batch; `runtime.ready`.
        raw: parameters (n_parameters, ...), as `flow.spline` defines them; `runtime.ready`.
        bound: where the spline ends.
        periodic: whether x is an angle, turned before the spline (the last parameter, in rad), or else left
            as it is outside the bounds.
        inverse: evaluate the inverse.
    """
    batch = x.shape[-1] if x.ndim else 1
    rows, parameters = filled(x.reshape(-1, batch)), filled(raw.reshape(len(raw), -1, batch))
    kernel = _Spline(bound, periodic, inverse)
    y, log_derivative = apply(kernel.evaluate, kernel.gradient, rows, parameters)
    return y[:, :batch].reshape(x.shape), log_derivative[:, :batch].reshape(x.shape)


@cache
def _compiled() -> ModuleType:
    from boltzgen.kernels.compiled import splines

    return splines


@dataclass(frozen=True)
class _Spline:
    """x (n_active, batch), raw (n_parameters, n_active, batch) -> y, log_derivative."""

    bound: float
    periodic: bool
    inverse: bool

    def evaluate(self, x: Tensor, raw: Tensor) -> Results:
        results = torch.empty_like(x), torch.empty_like(x)
        self._run(_compiled().transform, x, raw, *results)
        return results, ()

    def gradient(self, by_y: Tensor, by_log: Tensor, x: Tensor, raw: Tensor) -> tuple[Tensor, ...]:
        results = torch.empty_like(x), torch.empty_like(raw)
        self._run(_compiled().gradient, x, raw, by_y, by_log, *results)
        return results

    def _run(self, kernel: Callable[..., None], x: Tensor, raw: Tensor, *others: Tensor) -> None:
        arrays = [t.detach().numpy() for t in (x, raw, *others)]

        def work(start: int, stop: int) -> None:
            kernel(*arrays, start, stop, self.bound, self.periodic, self.inverse)

        run(work, batch=x.shape[-1], numbers=raw.numel())
