"""Positions and pair distances of a batch, computed once and shared by the terms of a force field."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class Geometry:
    """One batch of configurations, atoms first and batch last.

    Attributes:
        x: positions in nm, shape (3, n_atoms, batch), contiguous.
        pairs: the pair list that `distances` follows.
    """

    def __init__(self, x: Tensor, pairs: "PairList") -> None:
        self.x = x
        self.pairs = pairs

    @cached_property
    def distances(self) -> Tensor:
        """Distance of every pair in nm, shape (n_pairs, batch)."""
        result: Tensor = _PairDistances.apply(self.x, self.pairs.incidence.to(self.x.dtype))
        return result


class Masters(nn.Module):
    """A module whose buffers move between devices but keep their dtype: `.float()` on a model that holds an energy leaves it exact."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        return super()._apply(lambda tensor: tensor.to(fn(tensor).device), recurse)


class PairList(Masters):
    """Every pair of atoms, once.

    Pairs in `last` come at the end, so that a term which leaves them out works on a leading slice, without a copy.

    Attributes:
        n_atoms: number of atoms.
        first, second: atoms of each pair, first < second, int64 (n_pairs,).
        incidence: (n_pairs, n_atoms), +1 at the first and -1 at the second atom, so that ``incidence @ x`` are the pair vectors.
    """

    first: Tensor
    second: Tensor
    incidence: Tensor

    def __init__(self, n_atoms: int, last: frozenset[tuple[int, int]] = frozenset()) -> None:
        super().__init__()
        self.n_atoms = n_atoms
        pairs = sorted(((i, j) for i in range(n_atoms) for j in range(i + 1, n_atoms)), key=lambda pair: (pair in last, pair))
        self.position = {pair: k for k, pair in enumerate(pairs)}
        first, second = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).unbind(1)
        self.register_buffer("first", first.contiguous())
        self.register_buffer("second", second.contiguous())
        self.register_buffer("incidence", differences(first, second, n_atoms))

    def __len__(self) -> int:
        return len(self.position)

    def atoms(self) -> list[tuple[int, int]]:
        """The pairs in order."""
        return list(self.position)

    def rows(self, pairs: list[tuple[int, int]]) -> Tensor:
        """Rows of the given pairs (in either order of their atoms), int64."""
        return torch.tensor([self.position[min(i, j), max(i, j)] for i, j in pairs], dtype=torch.long)


def differences(first: Tensor, second: Tensor, n_atoms: int) -> Tensor:
    """The matrix, float64 (n, n_atoms), whose product with positions gives ``x[first] - x[second]``.

    A product with it is as exact as the subtraction, and its transpose adds gradients up without a slow scatter.
    """
    matrix = torch.zeros(len(first), n_atoms, dtype=torch.float64)
    rows = torch.arange(len(first))
    matrix[rows, first] += 1.0
    matrix[rows, second] -= 1.0
    return matrix


@contextmanager
def full_precision(device_type: str) -> Iterator[None]:
    """Matrix products as exact as their dtype, whatever autocast or `torch.set_float32_matmul_precision` allow elsewhere.

    Differences of positions are matrix products here: in TF32 or bfloat16 they would be wrong by 1e-3 nm.
    """
    allowed = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast(device_type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(allowed)


class _PairDistances(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, incidence: Tensor) -> Tensor:
        vectors = incidence @ x
        distances = vectors[0].square().addcmul_(vectors[1], vectors[1]).addcmul_(vectors[2], vectors[2]).sqrt_()
        ctx.save_for_backward(vectors, distances, incidence)
        return distances

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        vectors, distances, incidence = ctx.saved_tensors
        # A gradient of exactly zero stays zero where the atoms coincide (0 / 0 otherwise).
        scale = torch.where(gradient == 0, 0.0, gradient / distances)
        return incidence.T @ (vectors * scale), None
