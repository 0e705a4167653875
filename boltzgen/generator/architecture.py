"""The flow of a molecule: which layers go where, given its coordinates."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.flow.acceptance import Acceptance
from boltzgen.flow.coupling import PeriodicCoupling, SplineCoupling
from boltzgen.flow.distribution import Distribution
from boltzgen.flow.elementary import Product, StandardNormal, UniformTorus
from boltzgen.flow.flow import Flow, HierarchicalFlow
from boltzgen.flow.masks import coupling_layers, coupling_masks
from boltzgen.flow.mixture import DefensiveMixture
from boltzgen.flow.networks import periodic_features
from boltzgen.flow.resampled import Resampled
from boltzgen.flow.transform import Chain, Transform
from boltzgen.flow.triangular import ConstantTriangular, TriangularAffine
from boltzgen.generator.locality import Locality

#: Couplings of torsions, or of stiff coordinates: 9 separate the coordinates of hundreds of atoms, and the
#: codes by which they do are 2 to this power.
MOST_LAYERS = 16
#: Units in a hidden layer of the stiff coordinates' networks: four times what was found of use.
MOST_UNITS = 1024


class TorsionFeatures(nn.Module):
    """What the stiff coordinates see of the periodic torsions t (..., n_periodic): shape (..., n_out).

    Full torsions show their first four harmonics, and each pair of neighbours (phi and psi, psi and the next
    phi) the harmonics of j phi +- k psi up to j, k = 2, so that the networks need not build products of sines
    first. A symmetric rotor's coordinate is fold (tau - tau_ref): cos and sin of it are blind to which
    atom is which; cos and sin of tau - tau_ref are not, which that rotor's own bonds, angles and offsets
    need.

    Args:
        n_full: number of full torsions, the first coordinates.
        folds: fold of each rotor, the remaining coordinates.
        pairs: neighbouring full torsions.

    Attributes:
        owners: the coordinates that each feature is of.
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
        """Features (..., n_out) of periodic torsions t (..., n_periodic) in radians."""
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
    """Full torsions, by their place in y, whose axes share an atom or are joined by a bond."""
    first = 2 * coordinates.n_atoms - 3
    rows = [coordinates.zmatrix.torsion_rows[k - first] for k in coordinates.order[: coordinates.n_full]]
    axes = [(row.bonded, row.second) for row in rows]
    near = [set(axis).union(*(coordinates.graph.neighbours[i] for i in axis)) for axis in axes]
    return [(i, j) for j in range(coordinates.n_full) for i in range(j) if near[i] & set(axes[j])]


def molecular_flow(
    coordinates: MolecularCoordinates,
    *,
    precision: Tensor | None = None,
    resampled: bool = True,
    torsion_layers: int = 6,
    stiff_layers: int = 6,
    stiff_width: int = 128,
    masks: Literal["separating", "three bits"] = "separating",
    covariance: Literal["near", "whole"] = "near",
    broad_torsions: float | None = None,
    broad_stiff: float | None = None,
) -> HierarchicalFlow:
    """The untrained flow of a molecule in its flow coordinates y (..., n_periodic + n_stiff).

    Periodic torsions have a resampled base, two full torsions by two (a uniform one on rotors), then periodic
    couplings, of wider networks for more than eight torsions. Stiff coordinates are a standard normal moved
    by spline couplings and a triangular affine layer, all conditional on the torsions, then by a triangular
    matrix that is not. They are local, see `Locality`: a network for each piece of the molecule of about the
    size of alanine dipeptide, which sees the torsions nearby.

    Args:
        coordinates: the molecule's coordinates.
        precision: (n_stiff, n_stiff) precision of the stiff coordinates at the reference (its Hessian in
            kT), where the triangular layers start.
        resampled: whether the base of the full torsions (of a single rotor, where nothing else turns) has
            learned acceptances, one for each two, so that each Z is a quadrature.
        torsion_layers: number of periodic couplings, or more where that many cannot separate every pair of
            torsions, see `coupling_masks`.
        stiff_layers: number of spline couplings, or more in the same way.
        stiff_width: units in each of the two hidden layers of their networks.
        masks: which coordinates the couplings move: "separating" for `coupling_masks`, "three bits" for the
            rule of checkpoints of format 3.
        covariance: what the torsions say of the stiff coordinates' covariance: "near" for correlations
            between near ones alone, after a matrix of all that is the same for all torsions; "whole" for all
            of them, as checkpoints up to format 6 have it.
        broad_torsions: share of the torsions' density that is a product of densities of two full torsions
            and of single rotors, see `DefensiveMixture`; 0 for none, by default 1 % for each full torsion,
            at most 5 %.
        broad_stiff: share of the stiff coordinates' density that is a Gaussian given the torsions, that of
            the triangular layers without couplings; 0 for none, by default 2 %. With up to two full torsions
            neither is there by default: draws are everywhere in the plane of two torsions, and leave nothing
            thin.

    Raises:
        ValueError: more than `MOST_LAYERS` couplings, or a negative number of them; no unit in a hidden
            layer, or more than `MOST_UNITS`; another `covariance`.
    """
    for name, layers in (("torsion_layers", torsion_layers), ("stiff_layers", stiff_layers)):
        if not 0 <= layers <= MOST_LAYERS:
            raise ValueError(f"expected 0 to {MOST_LAYERS} layers as `{name}`, got {layers}")
    if not 0 < stiff_width <= MOST_UNITS:
        raise ValueError(f"expected 1 to {MOST_UNITS} units as `stiff_width`, got {stiff_width}")
    if covariance not in ("near", "whole"):
        raise ValueError(f"expected 'near' or 'whole' as `covariance`, got {covariance!r}")
    n_periodic, n_stiff, n_full = coordinates.n_periodic, coordinates.n_stiff, coordinates.n_full
    # A single torsion has no other to be coupled to: its base learns its density, also where it is a rotor.
    n_learned = 0 if not resampled else 1 if n_periodic == 1 else n_full
    sizes = [min(2, n_learned - k) for k in range(0, n_learned, 2)]
    factors: list[Distribution] = [
        Resampled(UniformTorus(m), Acceptance(m, periodic=range(m))) for m in sizes
    ]
    if n_periodic > n_learned or n_periodic == 0:
        factors.append(UniformTorus(n_periodic - n_learned))
    width = 64 if n_periodic <= 8 else 128
    moved_in = MASKS[masks]
    periodic: list[Transform] = [
        PeriodicCoupling(n_periodic, active, hidden=(width, width))
        for active in (moved_in(n_periodic, torsion_layers) if n_periodic > 1 else [])
    ]
    features = TorsionFeatures(
        n_full, [rotor.fold for rotor in coordinates.rotors], torsion_pairs(coordinates)
    )
    locality = Locality.of(coordinates)
    columns = locality.columns() if covariance == "near" else None
    parts = locality.parts(features.owners)
    affine = TriangularAffine(n_stiff, features.n_out, columns=columns, parts=parts)
    constant = ConstantTriangular(n_stiff)
    if precision is not None:
        (affine if columns is None else constant).initialize(precision)
    outer: Transform = affine if columns is None else Chain([affine, constant])
    stiff: list[Transform] = []
    for active in moved_in(n_stiff, stiff_layers):
        near = locality.neighbourhoods(active, features.owners)
        hidden = (stiff_width, stiff_width)
        stiff.append(SplineCoupling(n_stiff, active, features.n_out, neighbourhoods=near, hidden=hidden))
    leading: Distribution = Flow(Product(factors), Chain(periodic))
    many = n_full > 2
    broad_torsions = (min(0.01 * n_full, 0.05) if many else 0.0) if broad_torsions is None else broad_torsions
    broad_stiff = (0.02 if many else 0.0) if broad_stiff is None else broad_stiff
    if broad_torsions and n_periodic > 1:
        leading = DefensiveMixture(leading, _product_of_torsions(n_full, n_periodic), broad_torsions)
    normal = StandardNormal(n_stiff)
    if broad_stiff:
        narrow = Flow(normal, Chain(stiff))
        conditional = Flow(DefensiveMixture(narrow, StandardNormal(n_stiff), broad_stiff), outer)
    else:
        conditional = Flow(normal, Chain([*stiff, outer]))
    return HierarchicalFlow(leading, conditional, features)


def _product_of_torsions(n_full: int, n_periodic: int) -> Product:
    """Independent learned densities of full torsions, two by two, and of each rotor."""
    sizes = [min(2, n_full - k) for k in range(0, n_full, 2)] + [1] * (n_periodic - n_full)
    return Product([Resampled(UniformTorus(m), Acceptance(m, periodic=range(m))) for m in sizes])


def _separating(n: int, layers: int) -> list[list[int]]:
    return coupling_masks(n, coupling_layers(n, layers))


def _three_bits(n: int, layers: int) -> list[list[int]]:
    """In layer k the coordinates whose index has bit k // 2 (mod 3) equal to k % 2.

    Where those are none or all, the ones of even or of odd index. Coordinates i and i + 8 are not separated.
    """
    found = []
    for layer in range(layers):
        bit = 1 << (layer // 2 % 3)
        chosen = [i for i in range(n) if bool(i & bit) == bool(layer % 2)]
        found.append(chosen if 0 < len(chosen) < n else [i for i in range(n) if i % 2 == layer % 2])
    return found


#: Rules by which couplings are given the coordinates that they move.
MASKS = {"separating": _separating, "three bits": _three_bits}
