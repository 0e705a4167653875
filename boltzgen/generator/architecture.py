"""The flow of a molecule: which layers go where, given its coordinates."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.flow.acceptance import Acceptance
from boltzgen.flow.coupling import PeriodicCoupling, SplineCoupling
from boltzgen.flow.distribution import Distribution
from boltzgen.flow.elementary import Product, StandardNormal, UniformTorus
from boltzgen.flow.flow import Flow, HierarchicalFlow
from boltzgen.flow.networks import periodic_features
from boltzgen.flow.resampled import Resampled
from boltzgen.flow.transform import Chain, Transform
from boltzgen.flow.triangular import TriangularAffine
from boltzgen.generator.locality import Locality


class TorsionFeatures(nn.Module):
    """What the narrow coordinates see of the circles t (..., n_periodic): shape (..., n_out).

    Full torsions show their first four harmonics, and each pair of neighbours (phi and psi, psi and the next
    phi) the harmonics of j phi +- k psi up to j, k = 2, so that the networks need not build products of sines
    first. A symmetric rotor's circle coordinate is fold (tau - tau_ref): cos and sin of it are blind to which
    atom is which; cos and sin of tau - tau_ref are not, which that rotor's own bonds, angles and offsets
    need.

    Args:
        n_full: number of full torsions, the first circles.
        folds: fold of each rotor, the remaining circles.
        pairs: neighbouring full torsions.

    Attributes:
        owners: the circles that each feature is of.
    """

    HARMONICS, PAIR_HARMONICS = 4, 2
    fold: Tensor

    def __init__(self, n_full: int, folds: Sequence[int], pairs: Sequence[tuple[int, int]]) -> None:
        super().__init__()
        self.n_full = n_full
        self.register_buffer("fold", torch.tensor(folds, dtype=torch.float32), persistent=False)
        self.first, self.second = [i for i, _ in pairs], [j for _, j in pairs]
        rotors = range(n_full, n_full + len(folds))
        self.owners: list[tuple[int, ...]] = []
        self.owners.extend([(i,) for i in range(n_full)] * (2 * self.HARMONICS))
        self.owners.extend([(i,) for i in rotors] * 4)
        self.owners.extend(list(pairs) * (4 * self.PAIR_HARMONICS**2))
        self.n_out = len(self.owners)

    def forward(self, t: Tensor) -> Tensor:
        full, rotors = t[..., : self.n_full], t[..., self.n_full :]
        first, second = full[..., self.first], full[..., self.second]
        orders = range(1, self.PAIR_HARMONICS + 1)
        features = [
            periodic_features(full, self.HARMONICS),
            periodic_features(rotors, 1),
            periodic_features(rotors / self.fold.to(t), 1),
        ]
        features += [
            periodic_features(j * first + sign * k * second, 1)
            for j in orders
            for k in orders
            for sign in (1, -1)
        ]
        return torch.cat(features, dim=-1)


def torsion_pairs(coordinates: MolecularCoordinates) -> list[tuple[int, int]]:
    """Full torsions, by their place among the circles, whose axes share an atom or are joined by a bond."""
    first = 2 * coordinates.n_atoms - 3
    rows = [coordinates.zmatrix.torsion_rows[k - first] for k in coordinates.order[: coordinates.n_full]]
    axes = [(row.bonded, row.second) for row in rows]
    near = [set(axis).union(*(coordinates.graph.neighbours[i] for i in axis)) for axis in axes]
    return [(i, j) for j in range(coordinates.n_full) for i in range(j) if near[i] & set(axes[j])]


def alternating(n: int, layer: int) -> list[int]:
    """Half of the coordinates 0 ... n - 1: those whose index has bit `layer // 2` (mod 3) equal to `layer %
    2`.

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
    stiff_layers: int = 6,
    reach: int | None = None,
) -> HierarchicalFlow:
    """The untrained flow of a molecule in its flow coordinates y (..., n_periodic + n_stiff).

    Torsions live on circles: a resampled base on the full torsions, two by two (a uniform one on rotors),
    then circular couplings, of wider networks for more than eight circles. Everything else is a standard
    normal moved by spline couplings and a triangular affine layer, both conditional on the torsions and
    local, see `Locality`: a network for each piece of the molecule of about the size of alanine dipeptide,
    which sees the torsions nearby.

    Args:
        precision: (n_stiff, n_stiff) precision of the narrow coordinates at the reference (its Hessian in
            kT), where the triangular layer starts.
        resampled: whether the base of the full torsions (of a single rotor, where nothing else turns) has
            learned acceptances, one for each two, so that each Z is a quadrature.
        reach: bonds between the centres of coordinates that the triangular layer couples directly; None: all
            of them.
    """
    n_periodic, n_stiff, n_full = coordinates.n_periodic, coordinates.n_stiff, coordinates.n_full
    # A single circle has no other to be coupled to: its base learns its density, also where it is a rotor.
    n_learned = 0 if not resampled else 1 if n_periodic == 1 else n_full
    sizes = [min(2, n_learned - k) for k in range(0, n_learned, 2)]
    factors: list[Distribution] = [
        Resampled(UniformTorus(m), Acceptance(m, periodic=range(m))) for m in sizes
    ]
    if n_periodic > n_learned or n_periodic == 0:
        factors.append(UniformTorus(n_periodic - n_learned))
    torsion_base = Product(factors)
    width = 64 if n_periodic <= 8 else 128
    masks = [alternating(n_periodic, k) for k in range(torsion_layers if n_periodic > 1 else 0)]
    circles: list[Transform] = [
        PeriodicCoupling(n_periodic, active, hidden=(width, width)) for active in masks
    ]
    features = TorsionFeatures(
        n_full, [rotor.fold for rotor in coordinates.rotors], torsion_pairs(coordinates)
    )
    locality = Locality.of(coordinates)
    affine = TriangularAffine(
        n_stiff, features.n_out, columns=locality.columns(reach), parts=locality.parts(features.owners)
    )
    if precision is not None:
        affine.initialize(precision)
    narrow: list[Transform] = []
    for k in range(stiff_layers):
        active = alternating(n_stiff, k)
        narrow.append(
            SplineCoupling(
                n_stiff,
                active,
                features.n_out,
                neighbourhoods=locality.neighbourhoods(active, features.owners),
            )
        )
    return HierarchicalFlow(
        Flow(torsion_base, Chain(circles)), Flow(StandardNormal(n_stiff), Chain([*narrow, affine])), features
    )
