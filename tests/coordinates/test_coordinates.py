"""Internal and molecular coordinates: geometry against mdtraj, the 66 x 66 Jacobian, the domain and its
symmetry.
"""

import itertools
import math

import mdtraj
import numpy as np
import pytest
import torch
from torch import Tensor

from boltzgen.coordinates.internal import InternalCoordinates
from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.energy.choose import energy_for
from boltzgen.molecule.system import System
from tests.helpers.molecules import METHYLS, random_labels, random_y, rotation


def test_torsions_follow_mdtraj(system: System, coordinates: MolecularCoordinates) -> None:
    y = random_y(coordinates, 50, spread=1.0)
    trajectory = mdtraj.Trajectory(coordinates(y)[0].numpy(), mdtraj.Topology.from_openmm(system.topology))
    measured = mdtraj.compute_dihedrals(trajectory, [system.torsions["phi"], system.torsions["psi"]])
    np.testing.assert_allclose(measured, y[:, :2].numpy(), atol=2e-5)


def test_kinds_of_coordinates(coordinates: MolecularCoordinates) -> None:
    assert (coordinates.n_full, coordinates.n_rotors, coordinates.n_stiff) == (2, 3, 55)


def test_round_trips(system: System, coordinates: MolecularCoordinates) -> None:
    y = random_y(coordinates, 200, spread=1.0).reshape(4, 50, -1)
    x, log_det = coordinates(y)
    back, log_det_back = coordinates.inverse(x)
    assert x.shape == (4, 50, 22, 3)
    assert log_det.shape == (4, 50)
    torch.testing.assert_close(back, y, atol=1e-9, rtol=0)
    torch.testing.assert_close(log_det_back, -log_det, atol=1e-9, rtol=0)
    torch.testing.assert_close(coordinates.log_det(y), log_det, atol=1e-12, rtol=0)
    internal = InternalCoordinates(coordinates.zmatrix)
    r, _ = internal.inverse(system.positions)
    distances = torch.cdist(system.positions, system.positions)
    torch.testing.assert_close(torch.cdist(internal(r)[0], internal(r)[0]), distances, atol=1e-9, rtol=0)


@pytest.mark.parametrize("row", range(3))
def test_log_det_is_that_of_the_square_jacobian(coordinates: MolecularCoordinates, row: int) -> None:
    """(internal, rotation vector at 0, translation) -> x: all 66 coordinates, so that no part of the measure
    can be forgotten.
    """
    y = random_y(coordinates, 3, spread=1.0)[row]

    def place(p: Tensor) -> Tensor:
        return (coordinates(p[:60])[0] @ rotation(p[60:63]).T + p[63:]).reshape(-1)

    jacobian = torch.func.jacrev(place)(torch.cat((y, torch.zeros(6, dtype=y.dtype))))
    assert jacobian.shape == (66, 66)
    torch.testing.assert_close(torch.linalg.slogdet(jacobian)[1], coordinates(y)[1], atol=1e-9, rtol=0)


def test_placement_does_not_matter(coordinates: MolecularCoordinates) -> None:
    x, _ = coordinates(random_y(coordinates, 20, spread=1.0))
    moved = x @ rotation(torch.tensor([0.3, -1.0, 2.0], dtype=x.dtype)).T + 1.5
    torch.testing.assert_close(coordinates.inverse(moved)[0], coordinates.inverse(x)[0], atol=1e-9, rtol=0)


def internal_position(coordinates: MolecularCoordinates, atom: int) -> int:
    rows = coordinates.zmatrix.torsion_rows
    return 2 * coordinates.n_atoms - 3 + next(k for k, r in enumerate(rows) if r.atom == atom)


def test_domain(system: System, coordinates: MolecularCoordinates) -> None:
    assert coordinates.in_domain(random_y(coordinates, 500, spread=1.0)).all()
    y = coordinates.inverse(system.positions)[0]
    assert coordinates.in_domain(y)
    mirrored = system.positions * torch.tensor([1.0, 1.0, -1.0], dtype=torch.float64)
    assert not coordinates.in_domain(coordinates.inverse(mirrored)[0])
    assert not coordinates.in_domain(torch.full_like(y, math.nan))
    for k, value in (
        (0, -0.1),
        (21, -0.1),
        (21, math.pi + 0.1),
        (internal_position(coordinates, 5), 4.0 + math.pi),
    ):
        r = coordinates.to_internal(y).clone()
        r[k] = value
        out = y.clone()
        out[coordinates.n_periodic + coordinates.stiff_index.index(k)] = (
            value - coordinates.reference[k]
        ) / coordinates.scale[k]
        assert not coordinates.in_domain(out), k


def test_the_other_enantiomer_is_outside_whatever_its_methyls(coordinates: MolecularCoordinates) -> None:
    """The alpha carbon inverted alone: CB and HA change sides, every hydrogen keeps its label and hand."""
    r = coordinates.reference.clone()
    swapped = r.clone()
    for atom in (9, 10):
        swapped[internal_position(coordinates, atom)] = -r[internal_position(coordinates, atom)]
    inverted = MolecularCoordinates(System.load("alanine_dipeptide"), swapped)
    assert not inverted.in_domain(inverted.from_internal(swapped))
    assert inverted.in_domain(inverted.from_internal(r))


@pytest.mark.parametrize(
    ("degrees", "inside"),
    [(91, True), (-91, True), (180, True), (-170, True), (89, False), (-89, False), (0, False)],
)
def test_only_trans_peptide_bonds(coordinates: MolecularCoordinates, degrees: float, inside: bool) -> None:
    r = coordinates.reference.clone()
    r[internal_position(coordinates, 18)] = math.radians(
        degrees
    )  # omega of the second peptide bond: it places the methyl carbon
    assert bool(coordinates.in_domain(coordinates.from_internal(r))) is inside


def methyl_grid(coordinates: MolecularCoordinates, n: int) -> tuple[Tensor, Tensor, list[int]]:
    """Torsions of CB's three hydrogens on a periodic grid (n^3, 3) off the domain's edges, as full internal
    coordinates, with their positions.
    """
    where = [internal_position(coordinates, atom) for atom in (11, 12, 13)]
    axis = (torch.arange(n, dtype=torch.float64) + 0.37) * 2 * math.pi / n
    theta = torch.cartesian_prod(axis, axis, axis)
    return theta, coordinates.reference.expand(len(theta), -1).clone(), where


def labelled(coordinates: MolecularCoordinates, theta: Tensor, r: Tensor, where: list[int]) -> Tensor:
    """Whether hydrogens at torsions theta (n, 3), in the order given, are inside the domain."""
    r = r.clone()
    r[:, where[0]] = theta[:, 0]
    r[:, where[1]] = theta[:, 1] - theta[:, 0]
    r[:, where[2]] = theta[:, 2] - theta[:, 0]
    return coordinates.in_domain(coordinates.from_internal(r))


def test_methyl_domain_holds_each_rotor_state_once(coordinates: MolecularCoordinates) -> None:
    """A toy rotor by quadrature: of the six labellings of three hydrogens exactly one is inside, so Z is a
    sixth of the unrestricted one.
    """
    theta, r, where = methyl_grid(coordinates, 27)
    inside = torch.stack(
        [labelled(coordinates, theta[:, list(p)], r, where) for p in itertools.permutations(range(3))]
    )
    ordered = theta.sort(dim=-1).values
    gaps = torch.cat((ordered.diff(dim=-1), 2 * math.pi - ordered[:, 2:] + ordered[:, :1]), dim=-1)
    spread = (gaps < math.pi - 1e-9).all(-1) & (gaps > 1e-9).all(-1)
    assert 0 < int(spread.sum()) < len(theta)
    assert torch.equal(inside.sum(0)[spread], torch.ones(int(spread.sum()), dtype=torch.long))
    assert not inside[:, ~spread].any()
    # A potential that does not tell the hydrogens apart: repulsion between them and a threefold barrier.
    pairs = sum(torch.cos(theta[:, i] - theta[:, j]) for i, j in ((0, 1), (0, 2), (1, 2)))
    weight = torch.exp(-(2 * pairs + torch.cos(3 * theta).sum(-1))) * spread
    torch.testing.assert_close(6 * (weight * inside[0]).sum(), weight.sum(), atol=0, rtol=1e-12)


def test_relabelling_a_methyl_moves_it_by_a_whole_circle(
    system: System, coordinates: MolecularCoordinates
) -> None:
    x, _ = coordinates(random_y(coordinates, 20, spread=1.0))
    relabelled = x[:, [*range(11), 12, 13, 11, *range(14, 22)]]
    y, back = coordinates.inverse(x)[0], coordinates.inverse(relabelled)[0]
    shift = (back - y)[:, :5] / (2 * math.pi)
    assert torch.allclose(shift.round(), shift, atol=1e-9)
    assert (shift.abs().sum(-1) > 0.5).all()
    assert not coordinates.in_domain(back).any()


def test_the_methyls_are_where_the_tests_think(system: System) -> None:
    assert sorted(rotor.ends for rotor in system.rotors) == sorted(METHYLS)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_canonical_undoes_any_relabelling(
    system: System, coordinates: MolecularCoordinates, dtype: torch.dtype
) -> None:
    """Each conformation has one labelling in the domain, so the one it came from is found again, bit by bit,
    and with it its energy.
    """
    x = coordinates(random_y(coordinates, 2000, spread=1.0))[0].to(dtype)
    relabelled = random_labels(x)
    before = relabelled.clone()
    changed = (relabelled != x).any(-1).any(-1)
    assert changed.double().mean() > 0.9
    assert (~coordinates.in_domain(coordinates.inverse(relabelled)[0])).equal(changed)
    assert torch.equal(coordinates.canonical(relabelled), x)
    assert torch.equal(relabelled, before)
    assert torch.equal(coordinates.canonical(x), x)
    assert coordinates.canonical(relabelled.reshape(20, 100, 22, 3)).shape == (20, 100, 22, 3)
    energy = energy_for(system)
    calm = coordinates.forward(random_y(coordinates, 50, spread=1.0) * 0.5)[0]
    torch.testing.assert_close(
        energy(coordinates.canonical(random_labels(calm))), energy(random_labels(calm)), atol=1e-8, rtol=1e-12
    )


def test_canonical_leaves_the_rest_of_the_domain_to_the_rest(
    system: System, coordinates: MolecularCoordinates
) -> None:
    """The mirror image, a cis peptide bond and NaN are outside before and after."""
    x = coordinates(random_y(coordinates, 200, spread=1.0))[0]
    mirrored = coordinates.canonical(x * torch.tensor([1.0, 1.0, -1.0], dtype=x.dtype))
    assert not coordinates.in_domain(coordinates.inverse(mirrored)[0]).any()
    y = coordinates.inverse(x)[0]
    k = coordinates.stiff_index.index(internal_position(coordinates, 18)) + coordinates.n_periodic
    y[:, k] += math.pi / coordinates.scale[coordinates.stiff_index][k - coordinates.n_periodic]
    cis = random_labels(coordinates(y)[0])
    assert not coordinates.in_domain(coordinates.inverse(coordinates.canonical(cis))[0]).any()
    assert torch.equal(
        coordinates.canonical(torch.full_like(x, math.nan)).isnan(), torch.ones_like(x, dtype=torch.bool)
    )


def test_canonical_on_the_edge_of_the_third(coordinates: MolecularCoordinates) -> None:
    """At 3 (tau - tau_ref) = +-pi two labellings are equally good: the result lies inside and is settled."""
    y = random_y(coordinates, 400, spread=1.0)
    y[:, coordinates.n_full : coordinates.n_periodic] = (
        math.pi * (1 - 1e-15) * torch.sign(y[:, coordinates.n_full : coordinates.n_periodic])
    )
    once = coordinates.canonical(random_labels(coordinates(y)[0]))
    assert coordinates.in_domain(coordinates.inverse(once)[0]).all()
    assert torch.equal(coordinates.canonical(once), once)


def test_three_hydrogens_on_one_side_have_no_labelling(coordinates: MolecularCoordinates) -> None:
    theta, r, where = methyl_grid(coordinates, 12)
    r[:, where[0]], r[:, where[1]], r[:, where[2]] = (
        theta[:, 0],
        theta[:, 1] - theta[:, 0],
        theta[:, 2] - theta[:, 0],
    )
    x = coordinates.internal(r)[0]
    ordered = theta.sort(dim=-1).values
    gaps = torch.cat((ordered.diff(dim=-1), 2 * math.pi - ordered[:, 2:] + ordered[:, :1]), dim=-1)
    spread = (gaps < math.pi - 1e-9).all(-1) & (gaps > 1e-9).all(-1)
    canonical = coordinates.canonical(x)
    clear = spread | (gaps > math.pi + 1e-9).any(-1)
    assert torch.equal(coordinates.in_domain(coordinates.inverse(canonical)[0])[clear], spread[clear])
    assert torch.equal(canonical[clear & ~spread], x[clear & ~spread])
