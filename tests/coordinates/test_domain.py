"""What a domain says of atoms by their numbers: double bonds, pyramids, nitrogens that invert; cis amides."""

import math

import pytest
import torch
from torch import Tensor

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.coordinates.names import coordinate_names
from boltzgen.geometry import dihedrals
from boltzgen.molecule.system import System
from boltzgen.molecule.system_file import Domain
from boltzgen.preparation.run import free_torsions
from tests.helpers.molecules import bare, peptide, random_y, rotation

#: Positions of RDKit's (ETKDG, MMFF94), in Angstrom.
BUTENE = bare(
    "C C C C H H H H H H H H",
    [(0, 1), (1, 2), (2, 3), (0, 4), (0, 5), (0, 6), (1, 7), (2, 8), (3, 9), (3, 10), (3, 11)],
    [
        (1.941, 0.129, 0.126),
        (0.487, -0.012, -0.192),
        (-0.487, 0.012, 0.729),
        (-1.941, -0.129, 0.411),
        (2.483, -0.76, -0.209),
        (2.352, 1.0, -0.394),
        (2.119, 0.256, 1.198),
        (0.236, -0.142, -1.243),
        (-0.236, 0.142, 1.78),
        (-2.352, -1.0, 0.931),
        (-2.119, -0.256, -0.661),
        (-2.483, 0.76, 0.745),
    ],
)
METHYLHYDROXYLAMINE = bare(
    "C N O H H H H H",
    [(0, 1), (1, 2), (0, 3), (0, 4), (0, 5), (1, 6), (2, 7)],
    [
        (-0.819, 0.232, -0.07),
        (0.513, -0.184, 0.354),
        (1.294, -0.245, -0.872),
        (-1.23, -0.448, -0.824),
        (-1.494, 0.234, 0.791),
        (-0.794, 1.247, -0.481),
        (0.478, -1.168, 0.636),
        (2.051, 0.332, -0.655),
    ],
)
AMINOMETHANEDIOL = bare(
    "O C N O H H H H H",
    [(0, 1), (1, 2), (1, 3), (0, 4), (1, 5), (2, 6), (2, 7), (3, 8)],
    [
        (-0.816, -1.094, -0.532),
        (-0.122, -0.123, 0.187),
        (0.98, 0.313, -0.598),
        (-0.958, 0.972, 0.357),
        (-1.6, -1.267, 0.013),
        (0.189, -0.528, 1.155),
        (1.649, 0.769, 0.016),
        (1.433, -0.527, -0.951),
        (-0.754, 1.485, -0.444),
    ],
)
SULFINYL = bare(
    "C S O Cl H H H",
    [(0, 1), (1, 2), (1, 3), (0, 4), (0, 5), (0, 6)],
    [
        (-0.782, -0.128, 0.094),
        (0.947, 0.077, 0.581),
        (1.35, 1.478, 0.227),
        (1.871, -0.924, -0.908),
        (-0.926, 0.235, -0.927),
        (-1.409, 0.447, 0.778),
        (-1.051, -1.185, 0.155),
    ],
)
AZIDE = bare(
    "C N N N H H H",
    [(0, 1), (1, 2), (2, 3), (0, 4), (0, 5), (0, 6)],
    [
        (-0.822, 0.07, -0.04),
        (0.446, 0.779, 0.115),
        (1.463, 0.063, 0.093),
        (2.392, -0.596, 0.072),
        (-0.865, -0.452, -1.001),
        (-0.968, -0.653, 0.769),
        (-1.646, 0.789, -0.006),
    ],
)
E_BUTENE = Domain(double_bonds=[[1, 2]])
INVERTING = Domain(inverting=[1])
INVERTING_AMINE = Domain(inverting=[2])
KEPT = Domain(pyramids=[1])


def within(system: System, domain: Domain) -> System:
    return System(system.topology, system.openmm_system, system.positions, domain=domain)


def broken(system: System, x: Tensor) -> set[str]:
    """Conditions of the domain that positions x do not meet, in their best labelling."""
    coordinates = MolecularCoordinates(system)
    met = coordinates.domain_conditions(coordinates.inverse(coordinates.canonical(x))[0])
    return {name for name, value in met.items() if not bool(value)}


@pytest.mark.parametrize(
    ("system", "domain"),
    [
        (BUTENE, E_BUTENE),
        (METHYLHYDROXYLAMINE, INVERTING),
        (AMINOMETHANEDIOL, INVERTING_AMINE),
        (SULFINYL, KEPT),
    ],
)
def test_there_and_back_and_the_jacobian(system: System, domain: Domain) -> None:
    coordinates, n = MolecularCoordinates(within(system, domain)), 3 * system.n_atoms
    y = random_y(coordinates, 20)
    x, log_det = coordinates(y)
    assert coordinates.in_domain(y).all()
    back, log_det_back = coordinates.inverse(x)
    torch.testing.assert_close(back, y, atol=1e-6, rtol=0)
    torch.testing.assert_close(log_det_back, -log_det, atol=1e-6, rtol=0)

    def place(p: Tensor) -> Tensor:
        return (coordinates(p[: n - 6])[0] @ rotation(p[n - 6 : n - 3]).T + p[n - 3 :]).reshape(-1)

    jacobian = torch.func.jacfwd(place)(torch.cat((y[0], torch.zeros(6, dtype=y.dtype))))
    torch.testing.assert_close(torch.linalg.slogdet(jacobian)[1], log_det[0], atol=1e-8, rtol=0)


def test_a_double_bond_keeps_its_side() -> None:
    system = within(BUTENE, E_BUTENE)
    ours, free = MolecularCoordinates(system), MolecularCoordinates(BUTENE)
    assert (ours.n_full, free.n_full) == (0, 1)
    assert not system.torsions
    assert broken(system, system.positions) == set()
    # Half of the molecule turned by 180 degrees about the bond: Z.
    axis = system.positions[2] - system.positions[1]
    turn = rotation(math.pi * axis / axis.norm())
    x = system.positions.clone()
    for k in (3, 8, 9, 10, 11):
        x[k] = x[2] + turn @ (x[k] - x[2])
    assert abs(float(dihedrals(x[None], (0, 1, 2, 3)))) < 0.2
    assert broken(system, x) == {"turned double bond"}
    assert broken(BUTENE, x) == set()
    draws, _ = ours(random_y(ours, 200))
    assert (dihedrals(draws, (0, 1, 2, 3)).abs() > math.pi / 2).all()


def test_both_sides_of_a_nitrogen_are_in_the_domain_and_reached() -> None:
    system = within(METHYLHYDROXYLAMINE, INVERTING)
    coordinates = MolecularCoordinates(system)
    assert coordinates.n_full == MolecularCoordinates(METHYLHYDROXYLAMINE).n_full + 1
    assert "inversion of N1" in free_torsions(system, coordinates)
    assert len(coordinate_names(coordinates, system)) == 3 * system.n_atoms - 6
    x, _ = coordinates(random_y(coordinates, 400))
    u, v, w = (x[:, k] - x[:, 1] for k in (0, 2, 6))
    side = (u * torch.linalg.cross(v, w)).sum(-1) > 0
    # Uniform offsets: each side has half of the draws, to three standard errors.
    assert abs(float(side.double().mean()) - 0.5) < 3 * 0.5 / math.sqrt(400)


def test_a_nitrogen_with_two_equivalent_branches_inverts_on_a_circle() -> None:
    """Its two hydrogens keep one labelling; the other one of the same conformation is mapped to it."""
    system = within(AMINOMETHANEDIOL, INVERTING_AMINE)
    coordinates, rigid = MolecularCoordinates(system), MolecularCoordinates(AMINOMETHANEDIOL)
    assert (coordinates.n_full, coordinates.n_stiff) == (rigid.n_full + 1, rigid.n_stiff - 1)
    assert coordinates.n_rotors == rigid.n_rotors == 1
    assert "inversion of N2" in free_torsions(system, coordinates)
    y = random_y(coordinates, 400)
    x, _ = coordinates(y)
    u, v, w = (x[:, k] - x[:, 2] for k in (1, 6, 7))
    side = (u * torch.linalg.cross(v, w)).sum(-1) > 0
    assert abs(float(side.double().mean()) - 0.5) < 3 * 0.5 / math.sqrt(400)
    exchanged = x[:, [0, 1, 2, 3, 4, 5, 7, 6, 8]]
    assert not coordinates.in_domain(coordinates.inverse(exchanged)[0]).any()
    torch.testing.assert_close(coordinates.canonical(exchanged), x)
    there, _, inside = coordinates.inverse_in_domain(x)
    assert inside.all()
    torch.testing.assert_close(there, y, atol=1e-6, rtol=0)


def test_a_pyramid_keeps_its_side() -> None:
    system = within(SULFINYL, KEPT)
    mirrored = system.positions * torch.tensor([1.0, 1.0, -1.0])
    assert broken(system, system.positions) == set()
    assert broken(system, mirrored) == {"inverted centre"}
    assert broken(SULFINYL, mirrored) == set()


def test_an_azide_is_straight() -> None:
    assert AZIDE.graph.is_linear(2)
    assert not AZIDE.graph.is_linear(1)
    assert len(AZIDE.torsions) == 0
    coordinates = MolecularCoordinates(AZIDE)
    y = random_y(coordinates, 5)
    torch.testing.assert_close(coordinates.inverse(coordinates(y)[0])[0], y, atol=1e-6, rtol=0)


def test_amides_may_be_cis() -> None:
    trans = peptide("ace_gly_nme")
    either = within(trans, Domain(peptide_bonds="either"))
    ours, theirs = MolecularCoordinates(either), MolecularCoordinates(trans)
    assert ours.n_full == theirs.n_full + 2
    assert ours.n_stiff == theirs.n_stiff - 2
    x, _ = ours(random_y(ours, 50))
    cis = dihedrals(x, trans.graph.omega(trans.graph.peptide_bonds()[0])).abs() < math.pi / 2
    assert 0 < int(cis.sum()) < 50
    assert ours.in_domain(ours.inverse(x)[0]).all()
    assert (~theirs.in_domain(theirs.inverse(x)[0]))[cis].all()
    assert either.fingerprint != trans.fingerprint


def test_a_domain_says_no_more_than_it_has_to() -> None:
    """So that molecules of earlier versions keep their fingerprints."""
    assert Domain().model_dump() == {
        "enantiomer": "input",
        "equivalent_atoms": "one labelling",
        "peptide_bonds": "trans",
    }
    assert E_BUTENE.model_dump()["double_bonds"] == [[1, 2]]


@pytest.mark.parametrize(
    ("domain", "message"),
    [
        (Domain(double_bonds=[[0, 3]]), "not bonded"),
        (Domain(pyramids=[12]), "names atom 12, expected one of 0 to 11"),
        (Domain(pyramids=[0]), "has 4 neighbours, expected three"),
        (Domain(inverting=[1]), "expected a nitrogen outside rings"),
    ],
)
def test_wrong_atoms_are_named(domain: Domain, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        _ = within(BUTENE, domain).graph
