"""Normalizing flows as distributions."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from typing_extensions import override

from boltzgen.flow.distribution import Distribution, context_for
from boltzgen.flow.transform import Transform


class Flow(Distribution):
    """The distribution of x = f(z) with z drawn from a base: log q(x) = log p(z) - log|det dx/dz|.

    The transform, and a base that takes one, may depend on a context.
    """

    takes_context = True

    def __init__(self, base: Distribution, transform: Transform) -> None:
        super().__init__()
        self.base, self.transform = base, transform
        self.event_shape, self.has_rsample = base.event_shape, base.has_rsample

    @override
    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        latent, log_det = self.transform.inverse(z, context)
        return self.base.log_prob(latent, **context_for(self.base, context)) + log_det

    @override
    def draw(
        self,
        shape: Sequence[int] = (),
        *,
        generator: torch.Generator | None = None,
        context: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        latent, log_prob, surrogate = self.base.draw(
            shape, generator=generator, **context_for(self.base, context)
        )
        x, log_det = self.transform(latent, context)
        return x, log_prob - log_det, surrogate

    @override
    def draw_with_score(
        self,
        shape: Sequence[int] = (),
        *,
        generator: torch.Generator | None = None,
        context: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        latent, log_prob, surrogate, score = self.base.draw_with_score(
            shape, generator=generator, context=context
        )
        x, log_det, score = self.transform.push_score(latent, score, context)
        return x, log_prob - log_det, surrogate, score

    @override
    def frozen(self) -> "Flow":
        return Flow(self.base.frozen(), self.transform)


class HierarchicalFlow(Distribution):
    """q(t, r) = q(t) q(r | t): a flow for the leading coordinates t and a conditional one for the rest.

    Args:
        leading: flow of t, event shape (n_t,).
        conditional: flow of r whose transform takes a context, event shape (n_r,).
        features: maps t (..., n_t) to that context.
    """

    def __init__(
        self, leading: Distribution, conditional: Flow, features: Callable[[Tensor], Tensor]
    ) -> None:
        super().__init__()
        self.leading, self.conditional, self.features = leading, conditional, features
        self.n_leading = leading.event_shape[0]
        self.event_shape = torch.Size((self.n_leading + conditional.event_shape[0],))
        self.has_rsample = leading.has_rsample and conditional.has_rsample

    @override
    def log_prob(self, z: Tensor) -> Tensor:
        t, r = z[..., : self.n_leading], z[..., self.n_leading :]
        return self.leading.log_prob(t) + self.conditional.log_prob(r, self.features(t))

    @override
    def draw(
        self, shape: Sequence[int] = (), *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        t, log_prob_t, surrogate_t = self.leading.draw(shape, generator=generator)
        r, log_prob_r, surrogate_r = self.conditional.draw(
            shape, generator=generator, context=self.features(t)
        )
        return torch.cat((t, r), dim=-1), log_prob_t + log_prob_r, surrogate_t + surrogate_r

    @override
    def frozen(self) -> "HierarchicalFlow":
        return HierarchicalFlow(self.leading.frozen(), self.conditional.frozen(), self.features)
