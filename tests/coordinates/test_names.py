"""Names and values of internal coordinates, against mdtraj."""

import math
from collections import Counter

import mdtraj
import numpy as np
import torch

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.coordinates.names import coordinate_names, coordinate_units, coordinate_values
from boltzgen.geometry import dihedrals
from boltzgen.molecule.system import System
from tests.helpers.molecules import BUTYNOL, peptide, random_labels, random_y


def test_values_are_what_their_names_say(system: System, coordinates: MolecularCoordinates) -> None:
    """Each bond, angle and torsion is computed from the atoms in its name."""
    x = coordinates(random_y(coordinates, 20, spread=1.0))[0]
    values, inside = coordinate_values(coordinates, x)
    names = coordinate_names(coordinates, system)
    assert inside.all()
    assert len(set(names)) == len(names) == 60
    trajectory = mdtraj.Trajectory(x.numpy(), mdtraj.Topology.from_openmm(system.topology))
    # Atoms have their names in the file, and their residue goes before those that are in several residues.
    count = Counter(atom.name for atom in system.topology.atoms())
    shared = {name for name, n in count.items() if n > 1}
    place = {
        (f"{a.residue.name}{a.residue.id}" if a.name in shared else "", a.name): a.index
        for a in system.topology.atoms()
    }
    assert len(place) == 22
    seen = set()
    for k, name in enumerate(names):
        kind, atoms = name.split()
        seen.add(kind)
        index, residue = [], ""
        for atom in atoms.split("-"):
            *qualified, own = atom.split(":")
            residue = qualified[0] if qualified else residue
            index.append(place[residue if own in shared else "", own])
        if kind == "bond":
            expected = mdtraj.compute_distances(trajectory, [index])[:, 0]
        elif kind == "angle":
            expected = mdtraj.compute_angles(trajectory, [index])[:, 0]
        elif kind in ("phi", "psi", "omega0", "omega"):
            expected = mdtraj.compute_dihedrals(trajectory, [index])[:, 0]
        elif kind == "offset":
            a, b, c, leader = index
            beyond = (
                next(r.third for r in coordinates.zmatrix.torsion_rows if r.atom == leader)
                if leader != coordinates.zmatrix.rows[2].atom
                else None
            )
            # An improper of the first atoms: its leader is the third atom, which has no torsion of its own.
            if beyond is None:
                expected = mdtraj.compute_dihedrals(trajectory, [index])[:, 0]
            else:
                expected = np.subtract(
                    *mdtraj.compute_dihedrals(trajectory, [[a, b, c, beyond], [leader, b, c, beyond]]).T
                )
        else:
            continue
        np.testing.assert_allclose(
            np.abs(np.angle(np.exp(1j * (values[:, k] - expected)))), 0.0, atol=3e-4, err_msg=name
        )
    assert seen == {"bond", "angle", "phi", "psi", "omega0", "omega", "offset", "methyl"}
    assert names[:5] == [
        "phi ALA2:C-CA-N-ACE1:C",
        "psi NME3:N-ALA2:C-CA-N",
        "methyl CH3",
        "methyl CB",
        "methyl NME3:C",
    ]
    assert "bond ALA2:N-ACE1:C" in names


def test_free_torsions_of_other_molecules_are_named_once() -> None:
    names = coordinate_names(MolecularCoordinates(BUTYNOL), BUTYNOL)
    assert list(BUTYNOL.torsions) == ["torsion C2-C3-O4-H10"]
    assert len(set(names)) == len(names)
    assert {len(name.split()) for name in names if not name.startswith("bend across")} == {2}


def test_units(system: System, coordinates: MolecularCoordinates) -> None:
    names, units = coordinate_names(coordinates, system), coordinate_units(coordinates)
    assert [u == "nm" for u in units] == [n.startswith("bond") for n in names]


def test_values_do_not_depend_on_the_labelling(coordinates: MolecularCoordinates) -> None:
    x = coordinates(random_y(coordinates, 100, spread=1.0))[0]
    values, inside = coordinate_values(coordinates, random_labels(x))
    expected, _ = coordinate_values(coordinates, x)
    assert inside.all()
    np.testing.assert_array_equal(values, expected)
    assert np.abs(values[:, 2:5]).max() <= math.pi
    assert not coordinate_values(coordinates, x * torch.tensor([1.0, 1.0, -1.0]))[1].any()


def test_torsions_of_rings_have_the_values_that_a_reader_expects() -> None:
    """In the flow's coordinates they are twice as large."""
    system = peptide("ace_pro_nme")
    coordinates = MolecularCoordinates(system)
    x = coordinates(random_y(coordinates, 20))[0]
    values, _ = coordinate_values(coordinates, x)
    names = coordinate_names(coordinates, system)
    place = names.index("torsion PRO2:CB-CA-N-CD")
    assert place < coordinates.n_full
    atoms = {atom.name: atom.index for atom in system.topology.atoms() if atom.residue.name == "PRO"}
    cb, ca, n, cd = (atoms[name] for name in ("CB", "CA", "N", "CD"))
    torsion = dihedrals(x, (cb, ca, n, cd)).numpy()
    np.testing.assert_allclose(values[:, place], torsion, atol=1e-9)
    assert np.abs(torsion).max() > 0.1
