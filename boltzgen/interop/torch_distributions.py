"""Distributions and transforms of `torch.distributions` as ours, and ours as torch's.

Of a transform the direction stays: ours goes from latent to configuration, and so should torch's (zuko's goes
the other way, see `boltzgen.interop.zuko`). A shape of torch's is split into batch and event; ours have an
event shape of whole vectors: wrap torch's in `Independent` where its coordinates are batches.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributions import Distribution as TorchDistribution
from torch.distributions import Transform as TorchTransform
from torch.distributions import constraints
from typing_extensions import override

from boltzgen.flow.distribution import Distribution, context_for
from boltzgen.flow.transform import Transform
from boltzgen.interop.foreign import CallableTarget, dimensions, seeded


def distribution_from_torch(distribution: TorchDistribution | nn.Module) -> Distribution:
    """Our distribution of one of torch's on vectors.

    Args:
        distribution: of event shape (n,) and no batch shape; or a module that returns one when it is called,
            with or without a context, whose parameters are then those of the result.

    Raises:
        ValueError: it has a batch shape, or its draws are no vectors.
    """
    return _FromTorch(distribution)


def distribution_to_torch(distribution: Distribution, context: Tensor | None = None) -> TorchDistribution:
    """One of torch's distributions that draws and evaluates ours; `rsample` where ours has pathwise draws."""
    return _ToTorch(distribution, context)


def transform_from_torch(transform: TorchTransform | Callable[..., TorchTransform]) -> Transform:
    """Our transform of one of torch's on vectors, or of a module that returns one, given a context or not."""
    return _FromTorchTransform(transform)


def transform_to_torch(transform: Transform, context: Tensor | None = None) -> TorchTransform:
    """One of torch's transforms of ours, of vectors to vectors, in the same direction."""
    return _ToTorchTransform(transform, context)


def target_from_torch(distribution: TorchDistribution) -> CallableTarget:
    """A target of our losses: u = -log p of a distribution on vectors."""
    return CallableTarget(lambda y: -distribution.log_prob(y))


class _FromTorch(Distribution):
    def __init__(self, source: TorchDistribution | nn.Module) -> None:
        super().__init__()
        self.source = source
        self.takes_context = isinstance(source, nn.Module)
        now = self._given(None, ())
        if now.batch_shape:
            raise ValueError(
                f"expected a distribution without a batch shape, got {tuple(now.batch_shape)}; make it one "
                "of vectors by `torch.distributions.Independent`"
            )
        self.event_shape = torch.Size((dimensions(now.event_shape, "a distribution"),))
        self.has_rsample = now.has_rsample

    @override
    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return self._given(context, z.shape[:-1]).log_prob(z)

    @override
    def draw(
        self,
        shape: Sequence[int] = (),
        *,
        generator: torch.Generator | None = None,
        context: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        found = self._given(context, shape)
        count = torch.Size(shape)[: len(shape) - len(found.batch_shape)]
        with seeded(generator):
            z = found.rsample(count) if self.has_rsample else found.sample(count)
        log_prob = found.log_prob(z)
        if self.has_rsample:
            return z, log_prob, torch.zeros_like(log_prob)
        return z, log_prob.detach(), log_prob

    def _given(self, context: Tensor | None, batch: Sequence[int]) -> TorchDistribution:
        """The distribution, of the batch shape of a context."""
        if not isinstance(self.source, nn.Module):
            return self.source
        found: TorchDistribution = self.source() if context is None else self.source(context)
        return found if context is None else found.expand(torch.Size(batch))


class _ToTorch(TorchDistribution):
    arg_constraints: dict[str, Any] = {}

    def __init__(self, distribution: Distribution, context: Tensor | None) -> None:
        self.ours, self.context = distribution, context
        batch = torch.Size() if context is None else context.shape[:-1]
        super().__init__(batch, distribution.event_shape, validate_args=False)

    @property
    def has_rsample(self) -> bool:  # type: ignore[override]
        return self.ours.has_rsample

    @property
    def support(self) -> Any:
        return constraints.independent(constraints.real, len(self.event_shape))

    def expand(self, batch_shape: Any, _instance: Any = None) -> "_ToTorch":
        if self.context is None:
            found = _ToTorch(self.ours, None)
            found._batch_shape = torch.Size(batch_shape)
            return found
        return _ToTorch(self.ours, self.context.expand(*batch_shape, self.context.shape[-1]))

    def log_prob(self, value: Tensor) -> Tensor:
        return self.ours.log_prob(value, **self._context(value.shape[: value.dim() - len(self.event_shape)]))

    def sample(self, sample_shape: Any = ()) -> Tensor:
        with torch.no_grad():
            return self._draw(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Tensor:
        if not self.has_rsample:
            raise NotImplementedError(
                f"{type(self.ours).__name__} has no pathwise draws: `sample`, and train by `draw` and its "
                "score-function surrogate"
            )
        return self._draw(sample_shape)

    def _draw(self, sample_shape: Any) -> Tensor:
        shape = (*sample_shape, *self.batch_shape)
        return self.ours.draw(shape, **self._context(shape))[0]

    def _context(self, shape: Sequence[int]) -> dict[str, Any]:
        if self.context is None:
            return {}
        return context_for(self.ours, self.context.expand(*shape, self.context.shape[-1]))


class _FromTorchTransform(Transform):
    def __init__(self, transform: TorchTransform | Callable[..., TorchTransform]) -> None:
        super().__init__()
        self.source = transform

    @override
    def forward(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._call(z, context, inverse=False)

    @override
    def inverse(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._call(x, context, inverse=True)

    def _call(self, x: Tensor, context: Tensor | None, *, inverse: bool) -> tuple[Tensor, Tensor]:
        found = self.source
        if not isinstance(found, TorchTransform):
            found = found() if context is None else found(context)
        if inverse:
            found = found.inv
        # zuko's transforms give both at once, for the price of one.
        if hasattr(found, "call_and_ladj"):
            y, log_det = found.call_and_ladj(x)
        else:
            y = found(x)
            log_det = found.log_abs_det_jacobian(x, y)
        # Of an elementwise transform there is a log-derivative for each coordinate.
        return y, log_det if log_det.dim() < x.dim() else log_det.sum(-1)


class _ToTorchTransform(TorchTransform):
    bijective = True
    domain = constraints.real_vector
    codomain = constraints.real_vector

    def __init__(self, transform: Transform, context: Tensor | None) -> None:
        super().__init__()
        self.ours, self.context = transform, context

    def _call(self, x: Tensor) -> Tensor:
        return self.call_and_ladj(x)[0]

    def _inverse(self, y: Tensor) -> Tensor:
        return self.ours.inverse(y, self._expanded(y))[0]

    def log_abs_det_jacobian(self, x: Tensor, y: Tensor) -> Tensor:
        return self.call_and_ladj(x)[1]

    def call_and_ladj(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What zuko asks a transform for: its value and log-determinant at once."""
        return self.ours(x, self._expanded(x))  # type: ignore[no-any-return]

    def _expanded(self, x: Tensor) -> Tensor | None:
        return None if self.context is None else self.context.expand(*x.shape[:-1], self.context.shape[-1])
