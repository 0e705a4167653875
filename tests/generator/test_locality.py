"""Local layers: what is near what, growth with the molecule, and the flow of a large one."""

from pathlib import Path

import pytest
import torch

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.generator.architecture import TorsionFeatures, molecular_flow, torsion_pairs
from boltzgen.generator.locality import PIECE, REACH, Locality
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
    assert locality.views == [list(range(5))]
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
    assert all(0 < len(view) < pentapeptide.n_periodic for view in locality.views)


def test_networks_see_what_is_near(pentapeptide: MolecularCoordinates) -> None:
    locality = Locality.of(pentapeptide)
    columns = locality.columns(REACH)
    assert all(int(locality.distance[i, j]) <= REACH for i, row in enumerate(columns) for j in row)
    assert all(
        j in columns[i]
        for i in range(pentapeptide.n_stiff)
        for j in range(i)
        if int(locality.distance[i, j]) <= REACH
    )
    assert locality.columns(None) == [list(range(i)) for i in range(pentapeptide.n_stiff)]
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


def test_owners_are_the_circles_that_a_feature_depends_on(pentapeptide: MolecularCoordinates) -> None:
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
    """Parameters from 22 to 138 atoms, with local triangular layers, grow with an exponent near one."""
    sizes = {}
    for name in ("ace_ala_nme", "ace_ala5_nme", "chignolin"):
        coordinates = coordinates_of(name)
        sizes[coordinates.n_atoms] = sum(
            p.numel() for p in molecular_flow(coordinates, reach=REACH).parameters()
        )
    (n, small), *_, (m, large) = sorted(sizes.items())
    exponent = torch.tensor(large / small).log() / torch.tensor(m / n).log()
    assert 0.9 < float(exponent) < 1.25


@pytest.mark.parametrize("reach", [None, REACH])
def test_a_local_flow_is_a_density(pentapeptide: MolecularCoordinates, reach: int | None) -> None:
    """Drawn and evaluated log-densities agree, at the start and after a disturbance, and draws are in the
    domain's chart.
    """
    torch.manual_seed(0)
    flow = molecular_flow(pentapeptide, reach=reach).double()
    with torch.no_grad():
        for parameter in flow.conditional.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, dtype=parameter.dtype)
        y, log_prob = flow.sample_and_log_prob((64,))
        torch.testing.assert_close(flow.log_prob(y), log_prob, atol=1e-8, rtol=0)
    assert y.shape == (64, pentapeptide.n_periodic + pentapeptide.n_stiff)
