"""Splines and triangular layers in one pass of compiled loops, and their gradients in another: many times
faster than operation by operation.

An element of the batch has the same bits wherever it is in a batch, and on any number of threads. All is for
tensors that the loops are `ready` for.
"""

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from boltzgen.kernels.runtime import LANES, Results, apply, kernels, run


class Entries(NamedTuple):
    """Where packed triangular matrices have what: the entries of row i in starts[i] ... stops[i] - 1, then
    log D_i, then the mean of x_i.

    Attributes:
        starts, stops: int64 (n,).
        columns: int64 (n_entries + 2 n,), the column of L of each entry; elsewhere unused.
    """

    starts: Tensor
    stops: Tensor
    columns: Tensor


def spline(x: Tensor, raw: Tensor, *, bound: float, circular: bool, inverse: bool) -> tuple[Tensor, Tensor]:
    """(y, log|dy/dx|), shaped as x, of a `periodic_spline` or a `spline_with_tails`; differentiable once.

    Args:
        x: values (...), of which the last axis is the batch.
        raw: parameters (n_parameters, ...).
    """
    batch = x.shape[-1] if x.ndim else 1
    rows, parameters = _filled(x.reshape(-1, batch)), _filled(raw.reshape(len(raw), -1, batch))
    loops = _Spline(bound, circular, inverse)
    y, log_derivative = apply(loops.evaluate, loops.gradient, rows, parameters)
    return y[:, :batch].reshape(x.shape), log_derivative[:, :batch].reshape(x.shape)


def triangular(x: Tensor, packed: Tensor, entries: Entries, *, solve: bool) -> tuple[Tensor, Tensor]:
    """D L (x - mean), or mean + L^-1 D^-1 x, shape (batch, n), and the log-determinant (batch,);
    differentiable once.

    Args:
        x: (batch, n).
        packed: (n_entries + 2 n, batch), in each column the entries of L, log D and the mean.
        entries: where they are.
    """
    loops = _Triangular(entries, solve)
    y, log_det = apply(loops.evaluate, loops.gradient, _filled(x.T).T.contiguous(), _filled(packed))
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
        run(
            loop,
            (x, raw, *others),
            self.bound,
            self.circular,
            self.inverse,
            batch=x.shape[-1],
            numbers=raw.numel(),
        )


@dataclass(frozen=True)
class _Triangular:
    """x (batch, n), packed (rows, batch) -> D L (x - mean) or mean + L^-1 D^-1 x, log det."""

    entries: Entries
    solve: bool

    def evaluate(self, x: Tensor, packed: Tensor) -> Results:
        loops = _loops()[1]
        y, log_det, log_d = torch.empty_like(x), x.new_empty(len(x)), packed[self.entries.stops]
        scale = (log_d.neg() if self.solve else log_d).exp()
        if not self.solve:
            self._run(loops.multiply, x, packed, scale, y, log_det)
            return (y, log_det), (scale, y)
        solution = torch.empty_like(scale)
        self._run(loops.solve, x, packed, scale, y, log_det, solution)
        return (y, log_det), (scale, solution)

    def gradient(
        self, by_y: Tensor, by_log: Tensor, x: Tensor, packed: Tensor, scale: Tensor, kept: Tensor
    ) -> tuple[Tensor, ...]:
        results = torch.empty_like(x), torch.empty_like(packed)
        loop = _loops()[1].solve_gradient if self.solve else _loops()[1].multiply_gradient
        self._run(loop, x, packed, scale, kept, by_y, by_log, *results)
        return results

    def _run(self, loop: Callable[..., None], x: Tensor, packed: Tensor, *others: Tensor) -> None:
        run(loop, (x, packed, *self.entries, *others), batch=len(x), numbers=packed.numel())
