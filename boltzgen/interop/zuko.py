"""zuko's flows as ours, and ours as zuko's.

A zuko flow is a module that returns a `torch.distributions` object, given a context. Its transform goes from
configuration to latent, the other way than ours. A zuko flow says that its draws are pathwise even if its
base has none, and reverse KL then gives the base no gradient; here `has_rsample` is the base's.
"""

from functools import cache
from typing import Any

from torch import Tensor
from torch.distributions import Distribution as TorchDistribution
from torch.distributions import Transform as TorchTransform

from boltzgen.flow.flow import Flow
from boltzgen.interop.torch_distributions import (
    distribution_from_torch,
    distribution_to_torch,
    transform_from_torch,
    transform_to_torch,
)


def flow_from_zuko(flow: Any) -> Flow:
    """Our flow of a `zuko.lazy.Flow` (every flow of `zuko.flows`), with its parameters and its context."""
    return Flow(distribution_from_torch(flow.base), transform_from_torch(flow.transform.inv))


def flow_to_zuko(flow: Flow) -> Any:
    """A `zuko.lazy.Flow` of ours: call it, with a context or not, for a distribution.

    Raises:
        ImportError: zuko is not installed.
    """
    classes = _classes()
    return classes["Flow"](classes["Transform"](flow.transform), classes["Base"](flow.base))


def zuko() -> Any:
    """The package `zuko`.

    Raises:
        ImportError: it is not installed.
    """
    try:
        import zuko as package
    except ImportError as error:
        raise ImportError("this adapter needs zuko: `pip install zuko`") from error
    return package


@cache
def _classes() -> dict[str, Any]:
    zuko()
    from zuko import lazy

    class OurTransform(lazy.LazyTransform):
        def __init__(self, transform: Any) -> None:
            super().__init__()
            self.ours = transform

        def forward(self, c: Tensor | None = None) -> TorchTransform:
            return transform_to_torch(self.ours, c).inv

    class OurBase(lazy.LazyDistribution):
        def __init__(self, base: Any) -> None:
            super().__init__()
            self.ours = base

        def forward(self, c: Tensor | None = None) -> TorchDistribution:
            return distribution_to_torch(self.ours, c if self.ours.takes_context else None)

    return {"Flow": lazy.Flow, "Transform": OurTransform, "Base": OurBase}
