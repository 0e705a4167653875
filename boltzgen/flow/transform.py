"""Invertible maps with log-determinants."""

from abc import ABC, abstractmethod
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from typing_extensions import override


class Transform(nn.Module, ABC):
    """An invertible map x = f(z | context) with its log-determinant.

    The direction is latent -> configuration: `forward(z)` returns ``(x, log_det)`` with ``log_det = log|det
    dx/dz|`` and `inverse(x)` returns ``(z, log_det)`` with ``log_det = log|det dz/dx|``. Arrays have shape
    ``(..., n)`` for any leading batch shape (a map to Cartesian coordinates returns ``(..., n_atoms, 3)``);
    log-determinants have the batch shape ``(...)``. `context` of shape ``(..., n_context)`` conditions the
    map where a transform says it accepts one. Neither method mutates state.
    """

    @abstractmethod
    def forward(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map latent z to (x, log|det dx/dz|)."""

    @abstractmethod
    def inverse(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Map configuration x to (z, log|det dz/dx|)."""

    def push_score(
        self, z: Tensor, score: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """`forward`, and the score of what comes out: the gradient of its log-density at fixed parameters.

        Args:
            z: latent (..., n).
            score: d log p/dz there of a density p of z, detached, (..., n).
            context: of the map.

        Returns:
            (x, log|det dx/dz|) as `forward` gives them, and d log q/dx of the density q of x, detached.
        """
        x, log_det = self(z, context)
        leaf = x.detach().requires_grad_()
        back = self.inverse(leaf, context)
        (pushed,) = torch.autograd.grad(back, leaf, (score, torch.ones_like(back[1])))
        return x, log_det, pushed


class Chain(Transform):
    """Composition of transforms; of none, the identity.

    `forward` applies them in the order given, each with the same context.
    """

    def __init__(self, transforms: Iterable[Transform]) -> None:
        super().__init__()
        self.transforms = nn.ModuleList(transforms)

    @override
    def forward(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        total = z.new_zeros(z.shape[:-1])
        for transform in self.transforms:
            z, log_det = transform(z, context)
            total = total + log_det
        return z, total

    @override
    def push_score(
        self, z: Tensor, score: Tensor, context: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        total = z.new_zeros(z.shape[:-1])
        for transform in self.transforms:
            assert isinstance(transform, Transform)
            z, log_det, score = transform.push_score(z, score, context)
            total = total + log_det
        return z, total, score

    @override
    def inverse(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        total = x.new_zeros(x.shape[:-1])
        for transform in reversed(self.transforms):
            assert isinstance(transform, Transform)
            x, log_det = transform.inverse(x, context)
            total = total + log_det
        return x, total
