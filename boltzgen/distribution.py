"""Probability densities that can be evaluated and drawn from."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Distribution(nn.Module, ABC):
    """A normalised density p(z) with a sampler.

    Attributes:
        event_shape: shape of one draw.
        has_rsample: whether draws are differentiable functions of the parameters (pathwise, "reparametrised").

    `sample_and_log_prob` returns ``(z, log_prob)`` with z of shape ``(*shape, *event_shape)``. Where `has_rsample` is true both carry
    gradients. Where it is false (for a product: in the factors where it is false) z and log_prob are detached from the
    parameters, and `score_log_prob(z)` is the term a score-function estimator must differentiate instead: log p of just those factors, at fixed z.
    Random numbers come from `generator`, or torch's default one.
    """

    event_shape: torch.Size
    has_rsample: bool

    @abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density at z, shape ``(...)`` for z of shape ``(..., *event_shape)``."""

    @abstractmethod
    def sample_and_log_prob(self, shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Draw z of shape ``(*shape, *event_shape)`` and return it with its log-density of shape ``shape``."""

    def score_log_prob(self, z: Tensor) -> Tensor:
        """Log-density, at fixed z, of the factors without pathwise draws; shape ``(...)``, zero where there are none."""
        if self.has_rsample:
            return z.new_zeros(z.shape[: z.dim() - len(self.event_shape)])
        return self.log_prob(z.detach())

    def sample(self, shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Draw z of shape ``(*shape, *event_shape)`` without gradients."""
        with torch.no_grad():
            return self.sample_and_log_prob(shape, generator=generator)[0]

    def rsample(self, shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Draw z with pathwise gradients; raises TypeError where there are none."""
        if not self.has_rsample:
            raise TypeError(f"{type(self).__name__} has no pathwise (reparametrised) draws; use sample() and score_log_prob()")
        return self.sample_and_log_prob(shape, generator=generator)[0]
