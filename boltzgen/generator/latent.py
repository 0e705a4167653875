"""The bijection inside a generator's flow: latent coordinates to flow coordinates."""

import torch
from torch import Tensor
from typing_extensions import override

from boltzgen.flow.distribution import Distribution
from boltzgen.flow.flow import Flow, HierarchicalFlow
from boltzgen.flow.mixture import DefensiveMixture
from boltzgen.flow.transform import Chain, Transform


class LatentTransform(Transform):
    """z -> y by the transforms of a flow, whatever its bases are.

    Of a mixture's components it is the main one's. z has periodic torsions and then stiff coordinates, of
    order one, like y.

    Args:
        flow: of a generator.

    Raises:
        TypeError: the flow is built in another way.
    """

    def __init__(self, flow: HierarchicalFlow) -> None:
        super().__init__()
        self.flow, self.n_leading = flow, flow.n_leading
        self.leading, self.conditional = _transform(flow.leading), _transform(flow.conditional)

    @override
    def forward(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        t, log_det = self.leading(z[..., : self.n_leading])
        r, of_rest = self.conditional(z[..., self.n_leading :], self.flow.features(t))
        return torch.cat((t, r), dim=-1), log_det + of_rest

    @override
    def inverse(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        t = x[..., : self.n_leading]
        leading, log_det = self.leading.inverse(t)
        rest, of_rest = self.conditional.inverse(x[..., self.n_leading :], self.flow.features(t))
        return torch.cat((leading, rest), dim=-1), log_det + of_rest


def _transform(distribution: Distribution) -> Transform:
    """All transforms on the way from the innermost base of main components."""
    found: list[Transform] = []
    while True:
        if isinstance(distribution, Flow):
            found.insert(0, distribution.transform)
            distribution = distribution.base
        elif isinstance(distribution, DefensiveMixture):
            distribution = distribution.main
        elif found:
            return Chain(found)
        else:
            raise TypeError(f"expected a flow with a transform, got {type(distribution).__name__}")
