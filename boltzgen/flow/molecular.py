"""The flow of a molecule: which layers go where, given its coordinates."""

import torch
from torch import Tensor, nn

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.distribution import Distribution
from boltzgen.flow.acceptance import Acceptance
from boltzgen.flow.base import Product, StandardNormal, UniformTorus
from boltzgen.flow.coupling import CircularCoupling, SplineCoupling
from boltzgen.flow.flow import Flow, HierarchicalFlow
from boltzgen.flow.linear import TriangularAffine
from boltzgen.flow.nets import circular_features
from boltzgen.flow.resampled import Resampled
from boltzgen.transform import Chain, Transform


class TorsionFeatures(nn.Module):
    """What the narrow coordinates see of the circles t (..., n_circles): shape (..., n_out).

    Full torsions show their first four harmonics, and each neighbouring pair of them (phi and psi) the harmonics of j phi +- k psi up to j, k = 2, so
    that the networks need not build products of sines first. A methyl's circle coordinate is 3 (tau - tau_ref): cos and sin of it are blind to which
    hydrogen is which; cos and sin of a third of it are not, which that methyl's own bonds, angles and offsets need.
    """

    HARMONICS, PAIR_HARMONICS = 4, 2

    def __init__(self, n_full: int, n_rotors: int) -> None:
        super().__init__()
        self.n_full = n_full
        self.n_out = 2 * self.HARMONICS * n_full + 4 * n_rotors + 4 * self.PAIR_HARMONICS**2 * max(0, n_full - 1)

    def forward(self, t: Tensor) -> Tensor:
        full, methyl = t[..., : self.n_full], t[..., self.n_full :]
        first, second = full[..., :-1], full[..., 1:]
        orders = range(1, self.PAIR_HARMONICS + 1)
        features = [circular_features(full, self.HARMONICS), circular_features(methyl, 1), circular_features(methyl / 3, 1)]
        features += [circular_features(j * first + sign * k * second, 1) for j in orders for k in orders for sign in (1, -1)]
        return torch.cat(features, dim=-1)


def alternating(n: int, layer: int) -> list[int]:
    """Half of the coordinates 0 ... n - 1: those whose index has bit `layer // 2` (mod 3) equal to `layer % 2`.

    Consecutive layers take complementary halves, and later pairs split the coordinates another way.
    """
    bit = 1 << (layer // 2 % 3)
    chosen = [i for i in range(n) if bool(i & bit) == bool(layer % 2)]
    return chosen if 0 < len(chosen) < n else [i for i in range(n) if i % 2 == layer % 2]


def molecular_flow(
    coordinates: MolecularCoordinates,
    *,
    precision: Tensor | None = None,
    resampled: bool = True,
    torsion_layers: int = 6,
    narrow_layers: int = 6,
) -> HierarchicalFlow:
    """The untrained flow of a molecule in its flow coordinates y (..., 3n - 6).

    Torsions live on circles: a resampled base on the full torsions (a uniform one on methyls), then circular couplings. Everything else is a
    standard normal moved by spline couplings and a triangular affine layer, both conditional on the torsions.

    Args:
        precision: (n_narrow, n_narrow) precision of the narrow coordinates at the reference (its Hessian in kT), where the triangular layer starts.
        resampled: whether the full torsions' base has a learned acceptance; at most the first two are resampled, so that Z is a quadrature.
    """
    n_circles, n_narrow, n_full = coordinates.n_circles, coordinates.n_narrow, coordinates.n_full
    n_resampled = min(2, n_full) if resampled else 0
    factors: list[Distribution] = []
    if n_resampled:
        factors.append(Resampled(UniformTorus(n_resampled), Acceptance(n_resampled, circles=range(n_resampled))))
    if n_circles > n_resampled:
        factors.append(UniformTorus(n_circles - n_resampled))
    torsion_base = Product(factors)
    circles: list[Transform] = [CircularCoupling(n_circles, alternating(n_circles, k)) for k in range(torsion_layers)]
    features = TorsionFeatures(n_full, coordinates.n_rotors)
    affine = TriangularAffine(n_narrow, features.n_out)
    if precision is not None:
        affine.initialize(precision)
    narrow: list[Transform] = [SplineCoupling(n_narrow, alternating(n_narrow, k), features.n_out) for k in range(narrow_layers)]
    return HierarchicalFlow(Flow(torsion_base, Chain(circles)), Flow(StandardNormal(n_narrow), Chain([*narrow, affine])), features)
