"""Positions and pair distances of a batch, computed once and shared by the terms of a force field."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from typing_extensions import override


class Geometry:
    """One batch of configurations, atoms first and batch last.

    Attributes:
        x: positions in nm, shape (3, n_atoms, batch), contiguous.
        pairs: the pair list that `distances` follows.
        casts: where `cast` keeps what it has converted; shared by the chunks of one batch.
    """

    def __init__(self, x: Tensor, pairs: "PairList", casts: "dict[Tensor, Tensor] | None" = None) -> None:
        self.x = x
        self.pairs = pairs
        self._casts = {} if casts is None else casts

    def cast(self, parameter: Tensor) -> Tensor:
        """A float64 parameter in the dtype of the positions."""
        if parameter not in self._casts:
            self._casts[parameter] = parameter.to(self.x.dtype)
        return self._casts[parameter]

    @cached_property
    def distances(self) -> Tensor:
        """Distance of every pair in nm, shape (n_pairs, batch)."""
        result: Tensor = _PairDistances.apply(self.x, self.pairs)
        return result

    @cached_property
    def inverse_distances(self) -> Tensor:
        """1/r of every pair in 1/nm, shape (n_pairs, batch), without a graph."""
        return self.distances.detach().reciprocal()


class Masters(nn.Module):
    """A module whose buffers move between devices but keep their dtype.

    `.float()` on a model that holds an energy leaves the energy exact.
    """

    @override
    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        return super()._apply(lambda tensor: tensor.to(fn(tensor).device), recurse)


class PairList(Masters):
    """Every pair of atoms, once.

    Pairs in `last` come at the end, so that a term which leaves them out works on a leading slice, without a
    copy.

    Attributes:
        n_atoms: number of atoms.
        first, second: atoms of each pair, first < second, int64 (n_pairs,).
    """

    first: Tensor
    second: Tensor
    by_atom: Tensor
    pairs_of_atom: Tensor

    def __init__(self, n_atoms: int, last: frozenset[tuple[int, int]] = frozenset()) -> None:
        super().__init__()
        self.n_atoms = n_atoms
        pairs = sorted(
            ((i, j) for i in range(n_atoms) for j in range(i + 1, n_atoms)),
            key=lambda pair: (pair in last, pair),
        )
        self.position = {pair: k for k, pair in enumerate(pairs)}
        first, second = torch.tensor(pairs, dtype=torch.long).reshape(-1, 2).unbind(1)
        self.register_buffer("first", first.contiguous())
        self.register_buffer("second", second.contiguous())
        # For one atom after the other, the rows of its pairs in a list of all pairs for their first atoms,
        # then all for their second.
        self.register_buffer("by_atom", torch.cat([first, second]).argsort(stable=True))
        self.register_buffer("pairs_of_atom", self.by_atom % max(1, len(pairs)))

    def __len__(self) -> int:
        return len(self.position)

    def atoms(self) -> list[tuple[int, int]]:
        """The pairs in order."""
        return list(self.position)

    def sum_by_atom(self, values: Tensor) -> Tensor:
        """For every atom the sum over its pairs, (..., n_atoms, batch), of values (..., n_pairs, batch).

        Values of shape (..., 2 n_pairs, batch) are those for the first atom of every pair, then for the
        second. Copying rows in order and adding up neighbours is several times faster than adding to
        scattered rows, or than a matrix product.
        """
        rows = self.by_atom if values.shape[-2] == 2 * len(self) else self.pairs_of_atom
        return values.index_select(-2, rows).unflatten(-2, (self.n_atoms, self.n_atoms - 1)).sum(-2)

    def rows(self, pairs: list[tuple[int, int]]) -> Tensor:
        """Rows of the given pairs (in either order of their atoms), int64."""
        return torch.tensor([self.position[min(i, j), max(i, j)] for i, j in pairs], dtype=torch.long)


def differences(first: Tensor, second: Tensor, n_atoms: int) -> Tensor:
    """The matrix, float64 (n, n_atoms), whose product with positions gives ``x[first] - x[second]``.

    A product with it is as exact as the subtraction, and its transpose adds gradients up without a slow
    scatter.
    """
    matrix = torch.zeros(len(first), n_atoms, dtype=torch.float64)
    rows = torch.arange(len(first))
    matrix[rows, first] += 1.0
    matrix[rows, second] -= 1.0
    return matrix


def cross(a: Tensor, b: Tensor) -> Tensor:
    """Cross product of vectors (3, ...), without a graph.

    `torch.linalg.cross` is several times slower when components come first.
    """
    result = torch.empty_like(a)
    (ax, ay, az), (bx, by, bz), (x, y, z) = a.unbind(), b.unbind(), result.unbind()
    torch.mul(ay, bz, out=x).addcmul_(az, by, value=-1.0)
    torch.mul(az, bx, out=y).addcmul_(ax, bz, value=-1.0)
    torch.mul(ax, by, out=z).addcmul_(ay, bx, value=-1.0)
    return result


def dot(a: Tensor, b: Tensor) -> Tensor:
    """Scalar product of vectors (3, ...), shape (...), without a graph."""
    return (a[0] * b[0]).addcmul_(a[1], b[1]).addcmul_(a[2], b[2])


@contextmanager
def full_precision(device_type: str) -> Iterator[None]:
    """Matrix products as exact as their dtype, whatever autocast and matmul precision allow elsewhere.

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
    def forward(ctx: Any, x: Tensor, pairs: PairList) -> Tensor:
        vectors = x.index_select(1, pairs.first).sub_(x.index_select(1, pairs.second))
        distances = dot(vectors, vectors).sqrt_()
        ctx.save_for_backward(vectors, distances)
        ctx.pairs = pairs
        return distances

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_distance: Tensor) -> tuple[Tensor, None]:
        vectors, distances = ctx.saved_tensors
        # dr/dx_first = (x_first - x_second) / r = -dr/dx_second. A derivative by r of exactly zero stays zero
        # where the atoms coincide (0 / 0 otherwise).
        scale = (by_distance / distances).masked_fill_(by_distance == 0, 0.0)
        # One component at a time stays in the cache.
        of_both = scale.new_empty(2, *scale.shape)
        gradient = []
        for component in vectors:
            torch.mul(component, scale, out=of_both[0])
            torch.neg(of_both[0], out=of_both[1])
            gradient.append(ctx.pairs.sum_by_atom(of_both.flatten(0, 1)))
        return torch.stack(gradient), None
