"""Linear and affine layers with a triangular matrix."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from typing_extensions import override

from boltzgen.flow.networks import LocalMLP, Part
from boltzgen.flow.transform import Transform
from boltzgen.kernels.runtime import ready
from boltzgen.kernels.triangular import Entries, triangular


class TriangularAffine(Transform):
    """x = mean(c) + L(c)^-1 D(c)^-1 z with L unit lower triangular and D diagonal positive.

    All three come from a network of the context c. That is a Gaussian of any mean and covariance for each
    context: a molecule's normal modes given its torsions. D L is a triangular factor of the *precision*, so
    that the density direction (maximum likelihood) is a product and only drawing needs a triangular solve. L
    may be sparse: row i says how x_i depends on the coordinates before it, and in a molecule only near ones
    matter (Vecchia, J. R. Stat. Soc. B 50, 297, 1988).

    Args:
        columns: for each row i the columns j < i in which L has entries; by default all of them.
        parts: networks that see part of the context, whose outputs are rows of L; by default one, see
            `LocalMLP`.
    """

    starts: Tensor
    stops: Tensor
    columns: Tensor

    def __init__(
        self,
        n: int,
        n_context: int,
        *,
        columns: Sequence[Sequence[int]] | None = None,
        parts: Sequence[Part] | None = None,
        hidden: Sequence[int] = (128, 128),
    ) -> None:
        super().__init__()
        self.n = n
        pattern = [list(range(i)) for i in range(n)] if columns is None else [sorted(row) for row in columns]
        if len(pattern) != n or any(row and not 0 <= row[0] <= row[-1] < i for i, row in enumerate(pattern)):
            raise ValueError(
                f"expected for each of {n} rows the columns left of the diagonal where L has entries, got "
                f"{columns}"
            )
        parts = [Part(range(n_context), range(n))] if parts is None else parts
        order = [i for part in parts for i in part.outputs]
        if sorted(order) != list(range(n)):
            raise ValueError(f"expected each of the {n} rows in one part, got {order}")
        # Of each row the network gives the entries, log D and the mean.
        lengths = torch.tensor([len(pattern[i]) + 2 for i in order])
        starts = torch.empty(n, dtype=torch.long).index_copy(
            0, torch.tensor(order), lengths.cumsum(0) - lengths
        )
        self.register_buffer("starts", starts, persistent=False)
        self.register_buffer("stops", starts + torch.tensor([len(row) for row in pattern]), persistent=False)
        self.register_buffer(
            "columns", torch.tensor([j for i in order for j in (*pattern[i], i, i)]), persistent=False
        )
        sizes = [sum(len(pattern[i]) + 2 for i in part.outputs) for part in parts]
        self.net = LocalMLP([part.inputs for part in parts], hidden, sizes)

    def initialize(self, precision: Tensor) -> None:
        """Start from the constant precision matrix (n, n) of x, with zero mean, at every context.

        Where L lacks entries, the precision is the closest that it can have.
        Row i is the regression of x_i on the coordinates of its columns: the least KL divergence from the
        Gaussian of that precision.
        """
        covariance = torch.linalg.inv(precision.double())
        packed = torch.zeros(len(self.columns), dtype=torch.float64)
        for i, (first, last) in enumerate(zip(self.starts.tolist(), self.stops.tolist(), strict=True)):
            before = self.columns[first:last]
            weights = torch.linalg.solve(covariance[before][:, before], covariance[before, i])
            packed[first:last] = -weights
            packed[last] = -0.5 * (covariance[i, i] - covariance[i, before] @ weights).log()
        self.net.set_default(packed)

    def _parts(self, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        if context is None:
            raise ValueError("TriangularAffine needs a context; got None")
        packed = self.net(context)
        log_diagonal, mean = packed[..., self.stops], packed[..., self.stops + 1]
        entries = torch.ones_like(self.columns, dtype=torch.bool)
        entries[self.stops], entries[self.stops + 1] = False, False
        rows = (
            torch.searchsorted(
                self.starts.sort().values,
                torch.arange(len(self.columns), device=self.columns.device),
                right=True,
            )
            - 1
        )
        flat = self.starts.argsort()[rows] * self.n + self.columns
        lower = packed.new_zeros(*packed.shape[:-1], self.n * self.n)
        lower = lower.index_copy(-1, flat[entries], packed[..., entries])
        return lower.unflatten(-1, (self.n, self.n)), log_diagonal, mean

    def _matrices(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, ...]:
        """What `_affine` takes besides x: packed for compiled kernels, where there are any, or `_parts`."""
        if (
            context is None
            or x.shape[:-1] != context.shape[:-1]
            or not ready(x, context, *self.net.parameters())
        ):
            return self._parts(context)
        found = self.net.outputs_first(context.reshape(-1, context.shape[-1]))
        return (found[0] if len(found) == 1 else torch.cat(found),)

    def _affine(self, x: Tensor, matrices: tuple[Tensor, ...], *, solve: bool) -> tuple[Tensor, Tensor]:
        """The map in one direction or, to `solve`, the other, and its log-determinant."""
        if len(matrices) == 1:
            entries = Entries(self.starts, self.stops, self.columns)
            y, log_det = triangular(x.reshape(-1, self.n), *matrices, entries, solve=solve)
            return y.reshape(x.shape), log_det.reshape(x.shape[:-1])
        lower, log_diagonal, mean = matrices
        if solve:
            scaled = (x * torch.exp(-log_diagonal)).unsqueeze(-1)
            solution = torch.linalg.solve_triangular(lower, scaled, upper=False, unitriangular=True)
            return mean + solution.squeeze(-1), -log_diagonal.sum(-1)
        centred = x - mean
        z = (torch.matmul(lower, centred.unsqueeze(-1)).squeeze(-1) + centred) * torch.exp(log_diagonal)
        return z, log_diagonal.sum(-1)

    @override
    def forward(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._affine(z, self._matrices(z, context), solve=True)

    @override
    def inverse(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._affine(x, self._matrices(x, context), solve=False)

    @override
    def push_score(
        self, z: Tensor, score: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        matrices = self._matrices(z, context)
        x, log_det = self._affine(z, matrices, solve=True)
        leaf = x.detach().requires_grad_()
        back = self._affine(leaf, tuple(m.detach() for m in matrices), solve=False)[0]
        # The log-determinant is the same everywhere.
        (pushed,) = torch.autograd.grad(back, leaf, score)
        return x, log_det, pushed


class ConstantTriangular(Transform):
    """x = C z with C lower triangular and its diagonal positive: one covariance, C C^T, whatever the context.

    Its entries are parameters of their own, without a network. It starts as the identity.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n = n
        rows, columns = torch.tril_indices(n, n, -1)
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("columns", columns, persistent=False)
        #: Of C divided by its diagonal, column by column.
        self.lower = nn.Parameter(torch.zeros(len(rows)))
        self.log_diagonal = nn.Parameter(torch.zeros(n))

    def initialize(self, precision: Tensor) -> None:
        """Start from the precision matrix (n, n) of x."""
        factor = torch.linalg.cholesky(torch.linalg.inv(precision.double()))
        diagonal = factor.diagonal()
        with torch.no_grad():
            self.log_diagonal.copy_(diagonal.log())
            self.lower.copy_((factor / diagonal)[self.rows, self.columns])

    @property
    def matrix(self) -> Tensor:
        """C, (n, n)."""
        unit = torch.eye(self.n, dtype=self.lower.dtype, device=self.lower.device)
        return unit.index_put((self.rows, self.columns), self.lower) * self.log_diagonal.exp()

    def _log_det(self, like: Tensor) -> Tensor:
        return self.log_diagonal.sum().to(like).expand(like.shape[:-1])

    @override
    def forward(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return z @ self.matrix.T, self._log_det(z)

    @override
    def inverse(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        rows = x.reshape(-1, self.n)
        z = torch.linalg.solve_triangular(self.matrix.T, rows, upper=True, left=False)
        return z.reshape(x.shape), -self._log_det(x)

    @override
    def push_score(
        self, z: Tensor, score: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        x, log_det = self(z)
        rows = score.reshape(-1, self.n)
        pushed = torch.linalg.solve_triangular(self.matrix.detach(), rows, upper=False, left=False)
        return x, log_det, pushed.reshape(score.shape)
