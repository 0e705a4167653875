"""normflows' flows, bases and targets as ours, and ours as normflows'.

Directions and signs are ours: `forward` goes from latent to configuration, with log|det dx/dz| of shape (B,).
A `normflows.NormalizingFlow` sums log-determinants in float32 whatever they are in; here they are summed in
the dtype of the layers.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor
from typing_extensions import override

from boltzgen.flow.distribution import Distribution
from boltzgen.flow.flow import Flow
from boltzgen.flow.transform import Chain, Transform
from boltzgen.interop.foreign import CallableTarget, ForeignBase, dimensions


def flow_from_normflows(model: Any) -> Flow:
    """Our flow of a `normflows.NormalizingFlow` on vectors, with its parameters.

    Raises:
        ValueError: the draws of its base are no vectors.
    """
    return Flow(base_from_normflows(model.q0), Chain(transform_from_normflows(f) for f in model.flows))


def base_from_normflows(base: Any) -> Distribution:
    """Our distribution of a base of normflows on vectors (B, n)."""
    with torch.no_grad():
        shape = base(1)[0].shape[1:]
    return ForeignBase(base, (dimensions(shape, "a base"),), lambda n: base(n)[0], lambda z: base.log_prob(z))


def transform_from_normflows(flow: Any) -> Transform:
    """Our transform of a layer of normflows on vectors, in the same direction."""
    return _FromLayer(flow)


def target_from_normflows(target: Any) -> CallableTarget:
    """A target of our losses: u = -log p of a target of normflows."""
    return CallableTarget(lambda y: -target.log_prob(y))


def flow_to_normflows(flow: Flow, target: Any = None) -> Any:
    """A `normflows.NormalizingFlow` of ours, whose losses train it.

    Args:
        flow: ours, without a context.
        target: its `p`, for reverse KL: a target of normflows, or any function u(y) of ours.

    Raises:
        ImportError: normflows is not installed.
    """
    classes = _classes()
    if target is not None and not hasattr(target, "log_prob"):
        target = classes["Target"](target)
    return normflows().NormalizingFlow(classes["Base"](flow.base), [classes["Layer"](flow.transform)], target)


def normflows() -> Any:
    """The package `normflows`.

    Raises:
        ImportError: it is not installed.
    """
    try:
        import normflows as package
    except ImportError as error:
        raise ImportError("this adapter needs normflows: `pip install normflows`") from error
    return package


class _FromLayer(Transform):
    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer = layer

    @override
    def forward(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._reshaped(z, *self.layer(z.reshape(-1, z.shape[-1])))

    @override
    def inverse(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self._reshaped(x, *self.layer.inverse(x.reshape(-1, x.shape[-1])))

    @staticmethod
    def _reshaped(like: Tensor, moved: Tensor, log_det: Tensor | float) -> tuple[Tensor, Tensor]:
        # Of a layer that moves all alike, as a permutation does, it may be a number.
        found = torch.as_tensor(log_det, dtype=moved.dtype, device=moved.device).expand(len(moved))
        return moved.reshape(like.shape), found.reshape(like.shape[:-1])


@cache
def _classes() -> dict[str, Any]:
    normflows()
    import normflows as package

    class OurBase(package.distributions.BaseDistribution):
        def __init__(self, base: Distribution) -> None:
            super().__init__()
            self.ours = base

        def forward(self, num_samples: int = 1) -> tuple[Tensor, Tensor]:
            return self.ours.sample_and_log_prob((num_samples,))

        def log_prob(self, z: Tensor) -> Tensor:
            return self.ours.log_prob(z)

    class OurLayer(package.flows.Flow):
        def __init__(self, transform: Transform) -> None:
            super().__init__()
            self.ours = transform

        def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
            return self.ours(z)  # type: ignore[no-any-return]

        def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
            return self.ours.inverse(z)

    class OurTarget(package.distributions.Target):
        def __init__(self, function: Any) -> None:
            super().__init__()
            self.ours = function

        def log_prob(self, z: Tensor) -> Tensor:
            return -self.ours(z)

    return {"Base": OurBase, "Layer": OurLayer, "Target": OurTarget}
