"""Local layers: what is near what, growth with the molecule, and the flow of a large one."""

from pathlib import Path

import pytest
import torch
from torch import nn

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.flow.coupling import SplineCoupling
from boltzgen.flow.masks import coupling_layers
from boltzgen.flow.triangular import ConstantTriangular, TriangularAffine
from boltzgen.generator.architecture import TorsionFeatures, molecular_flow, torsion_pairs
from boltzgen.generator.locality import COUPLING_CUTOFF, COVARIANCE_CUTOFF, PIECE, Locality
from boltzgen.molecule.system import System

FOLDER = Path(__file__).parents[1] / "data" / "peptides"


def coordinates_of(name: str) -> MolecularCoordinates:
    return MolecularCoordinates(
        System.from_pdb(FOLDER / f"{name}.pdb", ["amber14/protein.ff14SB.xml", "implicit/obc2.xml"])
    )


@pytest.fixture(scope="module")
def pentapeptide() -> MolecularCoordinates:
    return coordinates_of("ace_ala5_nme")


def test_alanine_dipeptide_is_one_piece() -> None:
    coordinates = MolecularCoordinates(System.load("alanine_dipeptide"))
    locality = Locality.of(coordinates)
    assert locality.pieces == [list(range(55))]
    assert locality.torsions == [list(range(5))]
    assert torsion_pairs(coordinates) == [(0, 1)]


def test_pieces_share_out_the_coordinates(pentapeptide: MolecularCoordinates) -> None:
    locality = Locality.of(pentapeptide)
    assert sorted(i for piece in locality.pieces for i in piece) == list(range(pentapeptide.n_stiff))
    assert len(locality.pieces) == round(pentapeptide.n_stiff / PIECE)
    assert all(len(piece) > PIECE / 2 for piece in locality.pieces)
    # Pieces follow the chain: their centres are connected, or nearly.
    for piece in locality.pieces:
        within = locality.distance[piece][:, piece]
        assert (within + 10**6 * torch.eye(len(piece), dtype=torch.long)).amin(1).max() <= 1
    assert all(0 < len(near) < pentapeptide.n_periodic for near in locality.torsions)


def test_networks_see_what_is_near(pentapeptide: MolecularCoordinates) -> None:
    locality = Locality.of(pentapeptide)
    features = TorsionFeatures(
        pentapeptide.n_full, [rotor.fold for rotor in pentapeptide.rotors], torsion_pairs(pentapeptide)
    )
    active = list(range(0, pentapeptide.n_stiff, 2))
    parts = locality.neighbourhoods(active, features.owners)
    assert sorted(i for part in parts for i in part.active) == active
    for part in parts:
        assert not set(part.active) & set(part.passive)
        assert len(part.passive) < pentapeptide.n_stiff - len(active)
        assert 0 < len(part.context) < features.n_out
        near = {
            j
            for j in range(pentapeptide.n_stiff)
            for piece in locality.pieces
            if set(part.active) <= set(piece)
            if min(int(locality.distance[j, i]) for i in piece) <= COUPLING_CUTOFF
        }
        assert set(part.passive) == near - set(active)


def test_torsions_change_near_correlations_only(pentapeptide: MolecularCoordinates) -> None:
    """Those of coordinates within a bond; at the start all have the given precision, at any torsions."""
    n, distance = pentapeptide.n_stiff, Locality.of(pentapeptide).distance
    whole = torch.randn(n, n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    precision = whole @ whole.T / n + torch.eye(n, dtype=torch.float64)
    flow = molecular_flow(pentapeptide, precision=precision, broad_stiff=0.0).double()
    (affine,) = (m for m in flow.conditional.modules() if isinstance(m, TriangularAffine))
    (constant,) = (m for m in flow.conditional.modules() if isinstance(m, ConstantTriangular))
    for row, (start, stop) in enumerate(zip(affine.starts, affine.stops, strict=True)):
        near = {j for j in range(row) if int(distance[row, j]) <= COVARIANCE_CUTOFF}
        assert set(affine.columns[start:stop].tolist()) == near
    torch.testing.assert_close(constant.matrix @ constant.matrix.T, torch.linalg.inv(precision))
    with torch.no_grad():
        for net in affine.net.nets:
            net.last.weight.zero_()
        z = torch.randn(4, n, dtype=torch.float64)
        x, _ = affine(z, torch.rand(4, flow.features.n_out, dtype=torch.float64))
    torch.testing.assert_close(x, z)


def test_a_covariance_that_there_is_not(pentapeptide: MolecularCoordinates) -> None:
    with pytest.raises(ValueError, match="expected 'near' or 'whole' as `covariance`, got 'far'"):
        molecular_flow(pentapeptide, covariance="far")


def test_owners_are_the_torsions_that_a_feature_depends_on(pentapeptide: MolecularCoordinates) -> None:
    features = TorsionFeatures(
        pentapeptide.n_full, [rotor.fold for rotor in pentapeptide.rotors], torsion_pairs(pentapeptide)
    )
    assert features.n_out == len(features.owners)
    t = torch.rand(pentapeptide.n_periodic, dtype=torch.float64)
    jacobian = torch.func.jacrev(features)(t)
    assert jacobian.shape == (features.n_out, pentapeptide.n_periodic)
    assert [tuple(torch.nonzero(row).flatten().tolist()) for row in jacobian] == features.owners


def test_neighbouring_torsions_of_a_peptide() -> None:
    """phi and psi of a residue share an atom, psi and the next phi are joined by a bond; a side chain hangs
    on its residue.
    """
    coordinates = coordinates_of("ace_ala5_nme")
    assert torsion_pairs(coordinates) == [(k, k + 1) for k in range(9)]
    assert torsion_pairs(coordinates_of("ace_lys_nme"))[:3] == [(0, 1), (0, 2), (1, 2)]


def test_growth_is_about_linear() -> None:
    """Parameters of a spline coupling, from 22 to 142 atoms of alanine, grow with an exponent near one.

    With wide networks: in narrow ones the inputs count more, of which the smallest molecule has fewer.
    """
    sizes = {}
    for name in ("ace_ala_nme", "ace_ala5_nme", "capped_ala13"):
        coordinates = coordinates_of(name)
        layers = molecular_flow(coordinates, stiff_width=256).conditional.modules()
        couplings = [layer for layer in layers if isinstance(layer, SplineCoupling)]
        n_parameters = sum(p.numel() for layer in couplings for p in layer.parameters())
        sizes[coordinates.n_atoms] = n_parameters / len(couplings)
    (n, small), *_, (m, large) = sorted(sizes.items())
    exponent = torch.tensor(large / small).log() / torch.tensor(m / n).log()
    assert 0.9 < float(exponent) < 1.25


def test_a_local_flow_is_a_density(pentapeptide: MolecularCoordinates) -> None:
    """Drawn and evaluated log-densities agree, at the start and after a disturbance, and draws are in the
    domain's chart.
    """
    torch.manual_seed(0)
    flow = molecular_flow(pentapeptide).double()
    with torch.no_grad():
        for parameter in flow.conditional.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, dtype=parameter.dtype)
        y, log_prob = flow.sample_and_log_prob((64,))
        torch.testing.assert_close(flow.log_prob(y), log_prob, atol=1e-8, rtol=0)
    assert y.shape == (64, pentapeptide.n_periodic + pentapeptide.n_stiff)


def codes(flow: nn.Module, n: int) -> list[tuple[bool, ...]]:
    """Of each coordinate, whether it moves in each coupling of a flow."""
    couplings = [set(layer.active) for layer in flow.modules() if hasattr(layer, "active")]
    return [tuple(i in moved for moved in couplings) for i in range(n)]


@pytest.mark.parametrize(
    ("name", "torsion_layers", "stiff_layers"),
    [
        ("alanine_dipeptide", 6, 7),
        ("alanine_tripeptide", 6, 7),
        ("alanine_tetrapeptide", 6, 8),
        ("alanine_hexapeptide", 6, 8),
        ("dimethoxyethane", 6, 6),
    ],
)
def test_couplings_separate_every_pair(name: str, torsion_layers: int, stiff_layers: int) -> None:
    """As a walk through the flow's own layers finds it."""
    coordinates = MolecularCoordinates(System.load(name))
    flow = molecular_flow(coordinates)
    for part, n, layers in (
        (flow.leading, coordinates.n_periodic, torsion_layers),
        (flow.conditional, coordinates.n_stiff, stiff_layers),
    ):
        found = codes(part, n)
        assert {len(code) for code in found} == {layers}
        assert len(set(found)) == n
        assert not {(False,) * layers, (True,) * layers} & set(found)
    with_more = molecular_flow(coordinates, torsion_layers=7, stiff_layers=1)
    assert len(codes(with_more.leading, 1)[0]) == 7
    least = coupling_layers(coordinates.n_stiff, 1)
    assert len(codes(with_more.conditional, 1)[0]) == least


def test_the_three_bits_of_format_3() -> None:
    """As shipped checkpoints have them, with the number of layers that is asked for."""
    coordinates = MolecularCoordinates(System.load("alanine_dipeptide"))
    flow = molecular_flow(coordinates, masks="three bits", stiff_layers=4)
    moved = [layer.active for layer in flow.leading.modules() if hasattr(layer, "active")]
    assert moved == [[0, 2, 4], [1, 3], [0, 1, 4], [2, 3], [0, 1, 2, 3], [4]]
    found = codes(flow.conditional, coordinates.n_stiff)
    assert found[0] == (True, False, True, False)
    assert all(found[i] == found[i + 8] for i in range(coordinates.n_stiff - 8))
