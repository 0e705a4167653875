"""Coupling layers: some coordinates move by a map whose parameters depend on the others and on a context."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from typing_extensions import override

from boltzgen.flow.networks import MLP, LocalMLP, periodic_features
from boltzgen.flow.spline import periodic_spline, spline_with_tails
from boltzgen.flow.transform import Chain, Transform


class _Coupling(Transform):
    """Splits the last axis into `active` coordinates, which move, and passive ones, which condition them."""

    net: MLP | LocalMLP
    moves: Tensor
    stays: Tensor
    restore: Tensor

    def __init__(self, n: int, active: Sequence[int]) -> None:
        super().__init__()
        if not 0 < len(set(active)) == len(active) < n or not set(active) <= set(range(n)):
            raise ValueError(
                f"active must be distinct indices, at least one and fewer than all of 0 ... {n - 1}, got "
                f"{list(active)}"
            )
        self.active = list(active)
        self.passive = [i for i in range(n) if i not in set(active)]
        order = self.active + self.passive
        # Tensors, as indexing with lists takes several times as long.
        self.register_buffer("moves", torch.tensor(self.active), persistent=False)
        self.register_buffer("stays", torch.tensor(self.passive), persistent=False)
        self.register_buffer("restore", torch.tensor(order).argsort(), persistent=False)

    def _apply_coupling(self, x: Tensor, context: Tensor | None, *, inverse: bool) -> tuple[Tensor, Tensor]:
        moving, fixed = self._parts(x)
        moved, log_derivative = self.move(moving, self._conditioned(fixed, context), inverse=inverse)
        return self._joined(moved, fixed, x), log_derivative.sum(0).reshape(x.shape[:-1])

    @override
    def push_score(
        self, z: Tensor, score: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        moving, fixed = self._parts(z)
        fixed = fixed if fixed.requires_grad else fixed.requires_grad_()
        raw = self._conditioned(fixed, context)
        moved, log_derivative = self.move(moving, raw, inverse=False)
        # The inverse at the same place has the same parameters: no network is evaluated again.
        leaves = moved.detach().requires_grad_(), raw.detach().requires_grad_()
        back = self.move(*leaves, inverse=True)
        of_moving, of_fixed = self._parts(score)
        by_moved, by_raw = torch.autograd.grad(back, leaves, (of_moving, torch.ones_like(back[1])))
        (by_fixed,) = torch.autograd.grad(raw, fixed, by_raw, retain_graph=True)
        pushed = self._joined(by_moved, of_fixed + by_fixed, score)
        return self._joined(moved, fixed, z), log_derivative.sum(0).reshape(z.shape[:-1]), pushed

    def _parts(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The active coordinates (n_active, batch) and the passive ones (batch, n_passive)."""
        rows = x.reshape(-1, x.shape[-1])
        return rows.index_select(1, self.moves).T, rows.index_select(1, self.stays)

    def _joined(self, moved: Tensor, fixed: Tensor, like: Tensor) -> Tensor:
        """What `_parts` has taken apart, in the shape of `like`."""
        return torch.cat((moved.T, fixed), dim=-1).index_select(1, self.restore).reshape(like.shape)

    def _conditioned(self, fixed: Tensor, context: Tensor | None) -> Tensor:
        """Of the map, (n_parameters, n_active, batch)."""
        features = self.features(fixed)
        if context is not None:
            features = torch.cat((features, context.reshape(len(fixed), -1)), dim=-1)
        return self._raw(features)

    def _raw(self, features: Tensor) -> Tensor:
        """Parameters (n_parameters, n_active, batch), straight out of the last layers' products."""
        found = self.net.outputs_first(features)
        if isinstance(found, Tensor):
            return found.view(-1, len(self.active), len(features))
        n_parameters = sum(map(len, found)) // len(self.active)
        parts = [part.view(n_parameters, -1, len(features)) for part in found]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def features(self, fixed: Tensor) -> Tensor:
        """What the network sees of the passive coordinates (batch, n_passive)."""
        return fixed

    def move(self, moving: Tensor, raw: Tensor, *, inverse: bool) -> tuple[Tensor, Tensor]:
        """Move the active coordinates (n_active, batch), given raw (n_parameters, n_active, batch).

        Returns the moved coordinates and the logs of their derivatives, each (n_active, batch).
        """
        raise NotImplementedError

    @override
    def forward(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._apply_coupling(z, context, inverse=False)

    @override
    def inverse(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._apply_coupling(x, context, inverse=True)


class PeriodicCoupling(_Coupling):
    """Coupling of periodic coordinates in [-pi, pi) radians: rotations and periodic splines.

    Args:
        n: number of coordinates.
        active: indices of those that move.
        bins: number of bins of each spline.
        hidden: widths of the network's hidden layers.
        harmonics: number of harmonics of each passive coordinate that the network sees.
    """

    def __init__(
        self,
        n: int,
        active: Sequence[int],
        *,
        bins: int = 16,
        hidden: Sequence[int] = (64, 64),
        harmonics: int = 2,
    ) -> None:
        super().__init__(n, active)
        self.harmonics = harmonics
        self.net = MLP(2 * harmonics * len(self.passive), hidden, len(self.active) * (3 * bins + 1))

    @override
    def features(self, fixed: Tensor) -> Tensor:
        return periodic_features(fixed, self.harmonics)

    @override
    def move(self, moving: Tensor, raw: Tensor, *, inverse: bool) -> tuple[Tensor, Tensor]:
        return periodic_spline(moving, raw, inverse=inverse)


class Neighbourhood(NamedTuple):
    """Active coordinates that share a network, and the passive coordinates and context that it sees."""

    active: Sequence[int]
    passive: Sequence[int]
    context: Sequence[int]


class SplineCoupling(_Coupling):
    """Coupling of coordinates on the line, given a context (..., n_context).

    Splines on [-bound, bound], continued by the identity.

    Args:
        n: number of coordinates.
        active: indices of those that move.
        n_context: size of the context.
        bins: number of bins of each spline.
        hidden: widths of the hidden layers of each network.
        bound: half the width of the splines' interval.
        neighbourhoods: parts of the active coordinates with networks of their own; by default one network
            sees everything.
    """

    def __init__(
        self,
        n: int,
        active: Sequence[int],
        n_context: int = 0,
        *,
        neighbourhoods: Sequence[Neighbourhood] | None = None,
        bins: int = 4,
        hidden: Sequence[int] = (256, 256),
        bound: float = 5.0,
    ) -> None:
        super().__init__(
            n, active if neighbourhoods is None else [i for part in neighbourhoods for i in part.active]
        )
        if set(self.active) != set(active):
            raise ValueError(
                f"expected neighbourhoods that share out the active coordinates {sorted(active)}, got "
                f"{sorted(self.active)}"
            )
        parts = (
            [Neighbourhood(self.active, self.passive, range(n_context))]
            if neighbourhoods is None
            else neighbourhoods
        )
        self.bound = bound
        place = {i: k for k, i in enumerate(self.passive)}
        inputs = [
            [place[i] for i in part.passive] + [len(self.passive) + c for c in part.context] for part in parts
        ]
        self.net = LocalMLP(inputs, hidden, [len(part.active) * (3 * bins - 1) for part in parts])

    @override
    def move(self, moving: Tensor, raw: Tensor, *, inverse: bool) -> tuple[Tensor, Tensor]:
        return spline_with_tails(moving, raw, bound=self.bound, inverse=inverse)


class AffineCoupling(_Coupling):
    """Coupling of coordinates on the line: x = s z + m, given a context (..., n_context).

    |log s| stays below 3. The layer of RealNVP (Dinh et al. 2017, arXiv:1605.08803).
    """

    _MOST = 3.0

    def __init__(
        self, n: int, active: Sequence[int], n_context: int = 0, *, hidden: Sequence[int] = (32, 32)
    ) -> None:
        super().__init__(n, active)
        self.net = MLP(len(self.passive) + n_context, hidden, 2 * len(self.active))

    @override
    def move(self, moving: Tensor, raw: Tensor, *, inverse: bool) -> tuple[Tensor, Tensor]:
        shift, log_scale = raw[0], self._MOST * torch.tanh(raw[1] / self._MOST)
        if inverse:
            return (moving - shift) * torch.exp(-log_scale), -log_scale
        return moving * torch.exp(log_scale) + shift, log_scale


def real_nvp(n: int, layers: int = 8, *, hidden: Sequence[int] = (32, 32)) -> Chain:
    """Affine couplings that move the coordinates of even and of odd index in turn."""
    return Chain([AffineCoupling(n, range(k % 2, n, 2), hidden=hidden) for k in range(layers)])
