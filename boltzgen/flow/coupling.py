"""Coupling layers: part of the coordinates is transformed by a map whose parameters depend on the rest and on a context."""

from collections.abc import Sequence

import torch
from torch import Tensor

from boltzgen.flow.nets import MLP, circular_features
from boltzgen.flow.spline import circular_spline, spline_with_tails
from boltzgen.transform import Chain, Transform


class _Coupling(Transform):
    """Splits the last axis into `active` coordinates, which move, and passive ones, which condition them."""

    net: MLP
    moves: Tensor
    stays: Tensor
    restore: Tensor

    def __init__(self, n: int, active: Sequence[int]) -> None:
        super().__init__()
        if not 0 < len(set(active)) == len(active) < n or not set(active) <= set(range(n)):
            raise ValueError(f"active must be distinct indices, at least one and fewer than all of 0 ... {n - 1}, got {list(active)}")
        self.active = list(active)
        self.passive = [i for i in range(n) if i not in set(active)]
        order = self.active + self.passive
        # Tensors, as indexing with lists takes several times as long.
        self.register_buffer("moves", torch.tensor(self.active), persistent=False)
        self.register_buffer("stays", torch.tensor(self.passive), persistent=False)
        self.register_buffer("restore", torch.tensor(order).argsort(), persistent=False)

    def _apply_coupling(self, x: Tensor, context: Tensor | None, inverse: bool) -> tuple[Tensor, Tensor]:
        batch = x.shape[:-1]
        rows = x.reshape(-1, x.shape[-1])
        moving, fixed = rows.index_select(1, self.moves), rows.index_select(1, self.stays)
        features = self.features(fixed)
        if context is not None:
            features = torch.cat((features, context.reshape(len(rows), -1)), dim=-1)
        # Parameters come first, batch last: (parameters, active, batch), straight out of the last layer's product.
        hidden, last = self.net.trunk(features), self.net.last
        raw = torch.addmm(last.bias.unsqueeze(1), last.weight, hidden.T).view(-1, len(self.active), len(rows))
        moved, log_derivative = self.move(moving.T, raw, inverse)
        joined = torch.cat((moved.T, fixed), dim=-1).index_select(1, self.restore)
        return joined.reshape(x.shape), log_derivative.sum(0).reshape(batch)

    def features(self, fixed: Tensor) -> Tensor:
        """What the network sees of the passive coordinates (batch, n_passive)."""
        return fixed

    def move(self, moving: Tensor, raw: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        """Move the active coordinates (n_active, batch) with parameters raw (n_parameters, n_active, batch)."""
        raise NotImplementedError

    def forward(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._apply_coupling(z, context, inverse=False)

    def inverse(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._apply_coupling(x, context, inverse=True)


class CircularCoupling(_Coupling):
    """Coupling of coordinates on circles [-pi, pi): rotations and periodic splines."""

    def __init__(self, n: int, active: Sequence[int], *, bins: int = 16, hidden: Sequence[int] = (64, 64), harmonics: int = 2) -> None:
        super().__init__(n, active)
        self.harmonics = harmonics
        self.net = MLP(2 * harmonics * len(self.passive), hidden, len(self.active) * (3 * bins + 1))

    def features(self, fixed: Tensor) -> Tensor:
        return circular_features(fixed, self.harmonics)

    def move(self, moving: Tensor, raw: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        return circular_spline(moving, raw, inverse=inverse)


class SplineCoupling(_Coupling):
    """Coupling of coordinates on the line: splines on [-bound, bound] with identity tails, given a context (..., n_context)."""

    def __init__(
        self, n: int, active: Sequence[int], n_context: int = 0, *, bins: int = 4, hidden: Sequence[int] = (256, 256), bound: float = 5.0
    ) -> None:
        super().__init__(n, active)
        self.bound = bound
        self.net = MLP(len(self.passive) + n_context, hidden, len(self.active) * (3 * bins - 1))

    def move(self, moving: Tensor, raw: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        return spline_with_tails(moving, raw, bound=self.bound, inverse=inverse)


class AffineCoupling(_Coupling):
    """Coupling of coordinates on the line: x = s z + m, given a context (..., n_context); |log s| stays below 3.

    The layer of RealNVP (Dinh et al. 2017, arXiv:1605.08803).
    """

    _MOST = 3.0

    def __init__(self, n: int, active: Sequence[int], n_context: int = 0, *, hidden: Sequence[int] = (32, 32)) -> None:
        super().__init__(n, active)
        self.net = MLP(len(self.passive) + n_context, hidden, 2 * len(self.active))

    def move(self, moving: Tensor, raw: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        shift, log_scale = raw[0], self._MOST * torch.tanh(raw[1] / self._MOST)
        if inverse:
            return (moving - shift) * torch.exp(-log_scale), -log_scale
        return moving * torch.exp(log_scale) + shift, log_scale


def real_nvp(n: int, layers: int = 8, *, hidden: Sequence[int] = (32, 32)) -> Chain:
    """Affine couplings that move the coordinates of even and of odd index in turn."""
    return Chain([AffineCoupling(n, range(k % 2, n, 2), hidden=hidden) for k in range(layers)])
