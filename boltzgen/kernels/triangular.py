"""Affine layers with triangular matrices, one for each sample, and their gradients, by compiled kernels.

A sample has the same bits wherever it is in a batch, and on any number of threads.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor

from boltzgen.kernels.runtime import Results, apply, filled, run


class Entries(NamedTuple):
    """Where packed triangular matrices have what.

    The entries of row i are in starts[i] ... stops[i] - 1; then come log D_i and the mean of x_i.

    Attributes:
        starts: first entry of each row, int64 (n,).
        stops: last entry + 1 of each row, int64 (n,).
        columns: the column of L of each entry, int64 (n_entries + 2 n,); unused where there is none.
    """

    starts: Tensor
    stops: Tensor
    columns: Tensor


def triangular(x: Tensor, packed: Tensor, entries: Entries, *, solve: bool) -> tuple[Tensor, Tensor]:
    """D L (x - mean), or mean + L^-1 D^-1 x, shape (batch, n), and the log-determinant (batch,).

    Both are differentiable once.

    Args:
        x: (batch, n); `runtime.ready`.
        packed: (n_entries + 2 n, batch), in each column the entries of L, log D and the mean;
            `runtime.ready`.
        entries: where they are.
        solve: whether to solve instead of to multiply.
    """
    kernel = _Triangular(entries, solve)
    y, log_det = apply(kernel.evaluate, kernel.gradient, filled(x.T).T.contiguous(), filled(packed))
    return y[: len(x)], log_det[: len(x)]


@cache
def _compiled() -> ModuleType:
    from boltzgen.kernels.compiled import triangular

    return triangular


@dataclass(frozen=True)
class _Triangular:
    """x (batch, n), packed (rows, batch) -> D L (x - mean) or mean + L^-1 D^-1 x, log det."""

    entries: Entries
    solve: bool

    def evaluate(self, x: Tensor, packed: Tensor) -> Results:
        y, log_det, log_d = torch.empty_like(x), x.new_empty(len(x)), packed[self.entries.stops]
        scale = (log_d.neg() if self.solve else log_d).exp()
        if not self.solve:
            self._run(_compiled().multiply, x, packed, scale, y, log_det)
            return (y, log_det), (scale, y)
        solution = torch.empty_like(scale)
        self._run(_compiled().solve, x, packed, scale, y, log_det, solution)
        return (y, log_det), (scale, solution)

    def gradient(
        self, by_y: Tensor, by_log: Tensor, x: Tensor, packed: Tensor, scale: Tensor, kept: Tensor
    ) -> tuple[Tensor, ...]:
        results = torch.empty_like(x), torch.empty_like(packed)
        kernel = _compiled().solve_gradient if self.solve else _compiled().multiply_gradient
        self._run(kernel, x, packed, scale, kept, by_y, by_log, *results)
        return results

    def _run(self, kernel: Callable[..., None], x: Tensor, packed: Tensor, *others: Tensor) -> None:
        arrays = [t.detach().numpy() for t in (x, packed, *self.entries, *others)]
        run(lambda start, stop: kernel(*arrays, start, stop), batch=len(x), numbers=packed.numel())
