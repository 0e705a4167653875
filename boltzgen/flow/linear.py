"""Affine layers with a triangular matrix."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from boltzgen.flow import fused
from boltzgen.flow.compiled import ready
from boltzgen.flow.nets import MLP
from boltzgen.transform import Transform


class TriangularAffine(Transform):
    """x = mean(c) + L(c)^-1 D(c)^-1 z with L unit lower triangular and D diagonal positive, all from one network of the context c.

    That is a Gaussian of any mean and covariance for each context: a molecule's normal modes given its torsions. D L is a triangular factor
    of the *precision*, so that the density direction (maximum likelihood) is a product and only drawing needs a triangular solve.
    """

    lower: Tensor

    def __init__(self, n: int, n_context: int, *, hidden: Sequence[int] = (128, 128)) -> None:
        super().__init__()
        self.n = n
        self.n_lower = n * (n + 1) // 2
        self.net = MLP(n_context, hidden, self.n_lower + n)
        # The network's outputs fill one matrix's lower triangle, L_ij below the diagonal and log D_i on it, then the mean.
        self.register_buffer("lower", torch.tensor([i * n + j for i in range(n) for j in range(i + 1)]), persistent=False)

    def initialize(self, precision: Tensor) -> None:
        """Start from the constant precision matrix (n, n) of x, with zero mean, at every context."""
        # precision = F^T F with F = D L lower triangular: the Cholesky factor of the matrix read backwards, read backwards.
        factor = torch.linalg.cholesky(precision.flip(0, 1)).flip(0, 1).T
        diagonal = factor.diagonal()
        unit = factor / diagonal.unsqueeze(-1)
        packed = unit.tril(-1) + torch.diag(diagonal.log())
        bias = self.net.last.bias
        with torch.no_grad():
            bias[: self.n_lower] = packed.flatten()[self.lower].to(bias)
            bias[self.n_lower :] = 0.0

    def _parts(self, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        if context is None:
            raise ValueError("TriangularAffine needs a context; got None")
        hidden, last = self.net.trunk(context), self.net.last
        # Spreading the last layer's rows over a full matrix costs nothing beside spreading its outputs, one matrix for each sample.
        weight = last.weight.new_zeros(self.n * self.n, last.in_features).index_copy(0, self.lower, last.weight[: self.n_lower])
        bias = last.bias.new_zeros(self.n * self.n).index_copy(0, self.lower, last.bias[: self.n_lower])
        packed = functional.linear(hidden, weight, bias).unflatten(-1, (self.n, self.n))
        mean = functional.linear(hidden, last.weight[self.n_lower :], last.bias[self.n_lower :])
        return packed, packed.diagonal(dim1=-2, dim2=-1), mean

    def _fused(self, x: Tensor, context: Tensor | None, solve: bool) -> tuple[Tensor, Tensor] | None:
        """The result of compiled loops, or None where there are none for these tensors."""
        if context is None or x.shape[:-1] != context.shape[:-1] or not ready(x, context, self.net.last.weight):
            return None
        hidden, last = self.net.trunk(context.reshape(-1, context.shape[-1])), self.net.last
        # The triangle alone, batch last, straight out of the last layer's product.
        packed = torch.addmm(last.bias.unsqueeze(1), last.weight, hidden.T)
        y, log_det = fused.triangular(x.reshape(-1, self.n), packed, solve=solve)
        return y.reshape(x.shape), log_det.reshape(x.shape[:-1])

    def forward(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        found = self._fused(z, context, solve=True)
        if found is not None:
            return found
        packed, log_diagonal, mean = self._parts(context)
        scaled = z * torch.exp(-log_diagonal)
        x = torch.linalg.solve_triangular(packed, scaled.unsqueeze(-1), upper=False, unitriangular=True).squeeze(-1)
        return mean + x, -log_diagonal.sum(-1)

    def inverse(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        found = self._fused(x, context, solve=False)
        if found is not None:
            return found
        packed, log_diagonal, mean = self._parts(context)
        centred = (x - mean).unsqueeze(-1)
        # The product with the packed matrix counts log D on the diagonal, where L has ones.
        product = torch.matmul(packed, centred).squeeze(-1)
        centred = centred.squeeze(-1)
        z = (product + centred * (1 - log_diagonal)) * torch.exp(log_diagonal)
        return z, log_diagonal.sum(-1)
