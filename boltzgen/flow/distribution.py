"""Probability densities that can be evaluated and drawn from."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn


class Distribution(nn.Module, ABC):
    """A normalised density p(z) with a sampler.

    Random numbers come from `generator`, or torch's default one. `log_prob` never changes any state.

    Attributes:
        event_shape: shape of one draw.
        has_rsample: whether draws are differentiable functions of the parameters (pathwise,
            "reparametrised").
        takes_context: whether `log_prob` and `draw` take a `context` too, of the batch shape.
    """

    event_shape: torch.Size
    has_rsample: bool
    takes_context: bool = False

    @abstractmethod
    def log_prob(self, z: Tensor) -> Tensor:
        """Log-density at z, shape ``(...)`` for z of shape ``(..., *event_shape)``."""

    @abstractmethod
    def draw(
        self, shape: Sequence[int] = (), *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draw z and return ``(z, log_prob, surrogate)``.

        z has shape ``(*shape, *event_shape)``, the other two have shape ``shape``. `surrogate` is the
        score-function surrogate: a log-density at fixed z whose gradient a score-function estimator needs
        (`boltzgen.training.objectives.reverse_kl` is one).

        Where `has_rsample` is true, z and log_prob are differentiable functions of the parameters, and the
        surrogate is zero. Where it is false (in a product: in the factors where it is false), z and log_prob
        carry no gradient of those factors' parameters, and the surrogate is the log-density of those factors.
        """

    def log_prob_and_score(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """`log_prob` at z, and its score: d log p/dz at fixed parameters, detached, shaped as z."""
        at = z if z.requires_grad else z.detach().requires_grad_()
        with torch.enable_grad():
            log_prob = self.log_prob(at, **context_for(self, context))
        if not log_prob.requires_grad:  # a uniform density
            return log_prob, torch.zeros_like(z)
        (score,) = torch.autograd.grad(log_prob.sum(), at, retain_graph=True, materialize_grads=True)
        return log_prob, score

    def draw_with_score(
        self,
        shape: Sequence[int] = (),
        *,
        generator: torch.Generator | None = None,
        context: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """``(z, log_prob, surrogate)`` of `draw`, and the score at z, see `log_prob_and_score`.

        Flows push their base's score on with the draw, at less cost than by a pass back (Vaitl et al. 2024,
        arXiv:2403.15881). Gradients must be enabled.
        """
        z, log_prob, surrogate = self.draw(shape, generator=generator, **context_for(self, context))
        return z, log_prob, surrogate, self.log_prob_and_score(z.detach(), context)[1]

    def frozen(self) -> "Distribution":
        """The same density, for many draws with the same parameters and no gradients.

        What depends on the parameters alone, as the acceptance rate of a resampled base does, is computed
        once, here. Parameters are shared: where they change, freeze again. By default the distribution
        itself, of which nothing can be computed beforehand.
        """
        return self

    def sample_and_log_prob(
        self, shape: Sequence[int] = (), *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw z and return it with its log-density of shape ``shape``."""
        z, log_prob, _ = self.draw(shape, generator=generator)
        return z, log_prob

    def sample(self, shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Draw z of shape ``(*shape, *event_shape)`` without gradients."""
        with torch.no_grad():
            return self.sample_and_log_prob(shape, generator=generator)[0]

    def rsample(self, shape: Sequence[int] = (), *, generator: torch.Generator | None = None) -> Tensor:
        """Draw z with pathwise gradients; raises TypeError where there are none."""
        if not self.has_rsample:
            raise TypeError(
                f"{type(self).__name__} has no pathwise (reparametrised) draws; use draw() and its "
                "score-function surrogate"
            )
        return self.sample_and_log_prob(shape, generator=generator)[0]


def context_for(distribution: Distribution, context: Tensor | None) -> dict[str, Any]:
    """Keyword arguments that hand a context on to a distribution, if it takes one."""
    return {"context": context} if distribution.takes_context else {}
