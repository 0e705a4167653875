"""Coordinates of many molecules: every amino acid, larger peptides, rings, straight groups, constraints."""

import math

import mdtraj
import openmm
import pytest
import torch
from openmm import app
from torch import Tensor

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.coordinates.zmatrix import TorsionKind
from boltzgen.geometry import dihedrals
from boltzgen.molecule.system import System
from tests.helpers.molecules import BUTYNOL, PEPTIDES, bare, peptide, random_y, relabelled, rotation

CAPPED = [name for name in PEPTIDES if name.startswith("ace_") and name != "ace_ala5_nme"]


def distances(x: Tensor) -> Tensor:
    return torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")


@pytest.mark.parametrize("name", [*PEPTIDES, "butynol"])
def test_every_atom_and_every_coordinate_goes_there_and_back(name: str) -> None:
    system = BUTYNOL if name == "butynol" else peptide(name)
    coordinates = MolecularCoordinates(system)
    assert sorted(row.atom for row in coordinates.zmatrix.rows) == list(range(system.n_atoms))
    assert coordinates.n_periodic + coordinates.n_stiff == 3 * system.n_atoms - 6
    y = random_y(coordinates, 20)
    x, log_det = coordinates(y)
    assert coordinates.in_domain(y).all()
    back, log_det_back = coordinates.inverse(x)
    torch.testing.assert_close(back, y, atol=1e-6, rtol=0)
    torch.testing.assert_close(log_det_back, -log_det, atol=1e-6, rtol=0)
    own, _ = coordinates.inverse(system.positions)
    assert coordinates.in_domain(own)
    placed = coordinates(own)[0]
    torch.testing.assert_close(distances(placed), distances(system.positions), atol=1e-9, rtol=0)


@pytest.mark.parametrize("name", ["ace_pro_nme", "ace_trp_nme", "ace_arg_nme", "gly_ala_val", "butynol"])
def test_log_det_is_that_of_the_square_jacobian(name: str) -> None:
    system = BUTYNOL if name == "butynol" else peptide(name)
    coordinates = MolecularCoordinates(system)
    y, n = random_y(coordinates, 1)[0], 3 * system.n_atoms

    def place(p: Tensor) -> Tensor:
        return (coordinates(p[: n - 6])[0] @ rotation(p[n - 6 : n - 3]).T + p[n - 3 :]).reshape(-1)

    jacobian = torch.func.jacfwd(place)(torch.cat((y, torch.zeros(6, dtype=y.dtype))))
    torch.testing.assert_close(torch.linalg.slogdet(jacobian)[1], coordinates(y)[1], atol=1e-8, rtol=0)


def test_a_straight_group_may_be_straight() -> None:
    coordinates = MolecularCoordinates(BUTYNOL)
    assert sum(row.kind is TorsionKind.LINEAR for row in coordinates.zmatrix.rows) == 2
    r = coordinates.reference.clone()
    for p, q in coordinates.internal._bends:
        r[p] = r[q] = 0.0
    leaf = r.requires_grad_()
    x, log_det = coordinates.internal(leaf)
    (gradient,) = torch.autograd.grad(x.square().sum() + log_det, leaf)
    assert gradient.isfinite().all()
    along, across = x[1] - x[2], x[0] - x[1]
    torch.testing.assert_close(
        torch.linalg.cross(along, across), torch.zeros(3, dtype=x.dtype), atol=1e-8, rtol=0
    )


@pytest.mark.parametrize("name", ["ace_phe_nme", "ace_lys_nme", "ace_arg_nme", "trp_cage"])
def test_named_torsions_are_coordinates(name: str) -> None:
    system = peptide(name)
    rows = MolecularCoordinates(system).zmatrix.torsion_rows
    turned = {
        (r.atom, r.bonded, r.second, r.third)
        for r in rows
        if r.kind in (TorsionKind.PROPER, TorsionKind.RING)
    }
    turned |= {q[::-1] for q in turned}
    trajectory = mdtraj.Trajectory(system.positions.numpy(), mdtraj.Topology.from_openmm(system.topology))
    for compute in (mdtraj.compute_phi, mdtraj.compute_psi, mdtraj.compute_omega):
        named = {tuple(map(int, q)) for q in compute(trajectory)[0]}
        # Proline's phi is about a bond of its ring, whose torsion is that of the ring's atoms.
        assert {q for q in named if frozenset(q[1:3]) not in system.graph.ring_bonds()} <= turned
    for k, compute in enumerate(
        (mdtraj.compute_chi1, mdtraj.compute_chi2, mdtraj.compute_chi3, mdtraj.compute_chi4)
    ):
        for q in compute(trajectory)[0]:
            residue = system.topology.atoms
            name_of = [a.residue.name for a in residue()][int(q[0])]
            if name_of not in ("PRO", "THR", "ILE", "ASN", "GLN", "TRP", "LEU") and not (
                name_of == "VAL" and k == 0
            ):
                assert tuple(map(int, q)) in turned, (name_of, k)


#: Symmetric rotors of each capped amino acid beside its caps' two methyls.
ROTORS: dict[str, list[int]] = {
    **{key: [] for key in ("cys", "gly", "hid", "hie", "hip", "pro", "ser", "trp")},
    **{key: [3] for key in ("ala", "lys", "met", "thr")},
    **{key: [3, 3] for key in ("ile", "leu", "val")},
    **{key: [2] for key in ("asn", "asp", "gln", "glu", "phe", "tyr")},
    "arg": [2, 2, 2],
}


@pytest.mark.parametrize("name", CAPPED)
def test_symmetric_rotors_of_the_amino_acids(name: str) -> None:
    coordinates = MolecularCoordinates(peptide(name))
    assert sorted(r.fold for r in coordinates.rotors) == sorted([3, 3, *ROTORS[name.split("_")[1]]])


@pytest.mark.parametrize(
    "name", ["ace_phe_nme", "ace_arg_nme", "ace_asp_nme", "ace_gln_nme", "ace_lys_nme", "ser_thr_cys"]
)
def test_exactly_one_labelling_is_inside(name: str) -> None:
    """Random labels of every rotor: the one in the domain is found again; all others are outside."""
    system = peptide(name)
    coordinates = MolecularCoordinates(system)
    generator = torch.Generator().manual_seed(1)
    x = coordinates(random_y(coordinates, 400))[0]
    mixed = x
    for rotor in reversed(system.rotors):
        mixed = relabelled(mixed, rotor, generator)
    changed = (mixed != x).any(-1).any(-1)
    assert changed.double().mean() > 0.7
    assert torch.equal(coordinates.canonical(x), x)
    assert torch.equal(coordinates.canonical(mixed), x)
    assert torch.equal(~coordinates.in_domain(coordinates.inverse(mixed)[0]), changed)


def test_atoms_that_the_force_field_tells_apart_are_not_equivalent() -> None:
    """The same molecule with one of two carboxylate oxygens charged otherwise: its rotor becomes an ordinary
    torsion.
    """
    system = peptide("ace_asp_nme")
    twofold = next(r for r in system.rotors if r.fold == 2)
    changed = openmm.XmlSerializer.deserialize(openmm.XmlSerializer.serialize(system.openmm_system))
    (force,) = (f for f in changed.getForces() if isinstance(f, openmm.NonbondedForce))
    charge, sigma, epsilon = force.getParticleParameters(twofold.ends[0])
    force.setParticleParameters(twofold.ends[0], charge * 0.5, sigma, epsilon)
    other = System(system.topology, changed, system.positions)
    assert twofold not in other.rotors
    assert len(other.rotors) == len(system.rotors) - 1
    before, after = MolecularCoordinates(system), MolecularCoordinates(other)
    assert (after.n_full, after.n_rotors) == (before.n_full + 1, before.n_rotors - 1)


def test_constrained_bonds_leave_the_coordinates() -> None:
    free, rigid = (
        MolecularCoordinates(peptide("ace_phe_nme")),
        MolecularCoordinates(peptide("ace_phe_nme", app.HBonds)),
    )
    n_hydrogens = sum(a.element.symbol == "H" for a in peptide("ace_phe_nme").topology.atoms())
    assert len(rigid.fixed) == n_hydrogens
    assert rigid.n_stiff == free.n_stiff - n_hydrogens
    y = random_y(rigid, 20)
    x, log_det = rigid(y)
    torch.testing.assert_close(rigid.inverse(x)[0], y, atol=1e-6, rtol=0)
    torch.testing.assert_close(rigid.inverse(x)[1], -log_det, atol=1e-6, rtol=0)
    assert rigid.on_constraints(x).all()
    moved = x.clone()
    hydrogen = rigid.zmatrix.rows[rigid.fixed[0] + 1].atom
    moved[:, hydrogen] += 0.01
    assert not rigid.on_constraints(moved).any()
    # The measure: the density on the unconstrained coordinates at those lengths, with the constant 2 ln b of
    # each kept.
    whole = free.from_internal(rigid.to_internal(y))
    kept = free.scale[free.stiff_index].log().sum() - rigid.scale[rigid.stiff_index].log().sum()
    torch.testing.assert_close(free(whole)[1] - kept, log_det, atol=1e-9, rtol=0)


def test_only_bonds_outside_rings_may_be_constrained() -> None:
    with pytest.raises(
        ValueError, match=r"distance between \w+ \(PRO 2\) and \w+ \(PRO 2\) is constrained.*HBonds"
    ):
        MolecularCoordinates(peptide("ace_pro_nme", app.AllBonds))


def test_neither_side_of_proline_is_forbidden() -> None:
    """The bond before proline may be cis: it is a full torsion. Two more are the ring's."""
    system = peptide("ace_pro_nme")
    coordinates = MolecularCoordinates(system)
    assert coordinates.n_full == 4
    y = random_y(coordinates, 500)
    assert coordinates.in_domain(y).all()


@pytest.mark.parametrize("seed", range(9))
@pytest.mark.parametrize("within_residues", [True, False])
def test_cis_and_trans_do_not_depend_on_the_order_of_atoms(seed: int, within_residues: bool) -> None:
    """With an acetyl's oxygen before its CH3, or the chain's other end first, the z-matrix begins elsewhere;
    omega remains omega.
    """
    whole = peptide("ace_ala_nme")
    order = torch.randperm(22, generator=torch.Generator().manual_seed(seed)).tolist()
    if within_residues:
        order.sort(key=[atom.residue.index for atom in whole.topology.atoms()].__getitem__)
    place = {old: new for new, old in enumerate(order)}
    elements = " ".join(whole.graph.elements[i] for i in order)
    system = bare(
        elements,
        [(place[a.index], place[b.index]) for a, b in whole.topology.bonds()],
        (10 * whole.positions[order]).tolist(),
    )
    coordinates = MolecularCoordinates(system)
    y = coordinates.inverse(system.positions)[0]
    assert coordinates.in_domain(y)
    omegas = [system.graph.omega(bond) for bond in system.graph.peptide_bonds()]
    if within_residues:
        rows = {(r.atom, r.bonded, r.second, r.third) for r in coordinates.zmatrix.torsion_rows}
        assert all(omega in rows or omega[::-1] in rows for omega in omegas)
    assert len(coordinates._omegas) == 2
    for k in coordinates._omegas:
        turned = y.clone()
        turned[coordinates.order.index(k)] += math.pi / coordinates.scale[k]
        assert not coordinates.domain_conditions(turned)["cis peptide bond"]
        x = coordinates(turned)[0]
        assert sum(bool(dihedrals(x, omega).cos() > 0) for omega in omegas) == 1
