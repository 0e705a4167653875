"""Peptides built from their sequence: names, handedness, peptide bonds, protons."""

import itertools

import mdtraj
import numpy as np
import pytest
from openmm import app

from boltzgen.preparation import peptide
from boltzgen.preparation.peptide import Sequence, build, fault
from boltzgen.preparation.relax import minimise
from tests.helpers.molecules import PEPTIDES
from tests.helpers.molecules import peptide as stored


@pytest.fixture(scope="module")
def amber() -> app.ForceField:
    return app.ForceField("amber99sbildn.xml", "amber99_obc.xml")


def chirality(topology: app.Topology, positions: np.ndarray, centre: str, *around: str) -> list[float]:
    """Sign of the volume that three neighbours span with each atom of this name, where all of them are."""
    found = []
    for residue in topology.residues():
        at = {atom.name: positions[atom.index] for atom in residue.atoms()}
        if {centre, *around} <= at.keys():
            found.append(float(np.sign(np.linalg.det([at[name] - at[centre] for name in around]))))
    return found


@pytest.mark.parametrize(
    "names",
    [
        "ACE ALA ALA ALA NME",
        "ACE ILE THR NME",
        "ACE ARG ASN ASP CYS NME",
        "ACE GLN GLU GLY HIS NME",
        "ACE LEU LYS MET PHE NME",
        "ACE PRO NME",
        "ACE ALA PRO SER NME",
        "ACE TRP TYR VAL NME",
        "GLY ALA PRO",
        "PRO PRO PRO",
    ],
)
def test_l_amino_acids_and_trans_peptide_bonds(names: str, amber: app.ForceField) -> None:
    topology, x = build(Sequence.parse(names), amber)
    assert [residue.name for residue in topology.residues()] == names.split()
    residues = [{atom.name: atom.index for atom in residue.atoms()} for residue in topology.residues()]
    ends = [
        (a.get("CA", a.get("CH3")), a["C"], b["N"], b.get("CA", b.get("C")))
        for a, b in itertools.pairwise(residues)
    ]
    omega = np.degrees(
        mdtraj.compute_dihedrals(mdtraj.Trajectory(x, mdtraj.Topology.from_openmm(topology)), ends)
    )
    assert (np.abs(omega) > 150).all()
    # L: seen from the hydrogen, CO, R and N follow each other clockwise.
    assert set(chirality(topology, x, "CA", "N", "C", "CB")) <= {1.0}
    again = build(Sequence.parse(names), amber)[1]
    assert np.array_equal(x, again)


def test_side_chains_have_the_natural_handedness(amber: app.ForceField) -> None:
    topology, x = build(Sequence.parse("ACE ILE THR NME"), amber)
    for name, around in (("ile", ("CA", "CG1", "CG2")), ("thr", ("CA", "OG1", "CG2"))):
        system = stored(f"ace_{name}_nme")
        assert chirality(topology, x, "CB", *around) == chirality(
            system.topology, system.positions.numpy(), "CB", *around
        )


@pytest.mark.parametrize("name", [name for name in PEPTIDES if name.startswith("ace_")])
def test_the_same_atoms_as_the_stored_peptides(name: str, amber: app.ForceField) -> None:
    """Which were built another way: hydrogens and all, histidine in each of its forms."""
    system = stored(name)
    names = "ACE ALA ALA ALA ALA ALA NME" if name == "ace_ala5_nme" else name.replace("_", " ")
    topology, _ = build(Sequence.parse(names), amber)
    of_residues = [
        [sorted(atom.name for atom in residue.atoms()) for residue in t.residues()]
        for t in (topology, system.topology)
    ]
    assert of_residues[0] == of_residues[1]


@pytest.mark.parametrize(
    ("name", "present", "absent"),
    [
        ("ASH", "HD2", "HD1"),
        ("ASP", "HA", "HD2"),
        ("GLH", "HE2", "HE1"),
        ("GLU", "HA", "HE2"),
        ("LYN", "HZ2", "HZ3"),
        ("LYS", "HZ3", "HZ4"),
    ],
)
def test_other_protons(name: str, present: str, absent: str, amber: app.ForceField) -> None:
    topology, _ = build(Sequence.parse(f"ace {name} nme"), amber)
    names = {atom.name for atom in topology.atoms()}
    assert present in names and absent not in names


def test_faults_are_seen(amber: app.ForceField) -> None:
    topology, x = build(Sequence.parse("ACE ALA PRO NME"), amber)
    assert fault(topology, x) == ""
    assert fault(topology, x * [1, 1, -1]) == "ALA 2 is not L"
    named = {(atom.residue.name, atom.name): atom.index for atom in topology.atoms()}
    c, n = named["ALA", "C"], named["PRO", "N"]
    turned, axis = x.copy(), (x[n] - x[c]) / np.linalg.norm(x[n] - x[c])
    for atom in topology.atoms():
        if atom.residue.name in ("PRO", "NME"):  # by half about the bond
            turned[atom.index] = x[c] + 2 * ((x[atom.index] - x[c]) @ axis) * axis - (x[atom.index] - x[c])
    assert "the peptide bond before PRO 3 is not trans" in fault(topology, turned)


def test_other_starts_are_tried_and_then_it_is_given_up(
    amber: app.ForceField, monkeypatch: pytest.MonkeyPatch
) -> None:
    faults, seen = ["ALA 2 is not L", "ALA 2 is not L", ""], []
    monkeypatch.setattr(
        peptide, "minimise", lambda system, positions: seen.append(positions) or minimise(system, positions)
    )
    monkeypatch.setattr(peptide, "fault", lambda *_: faults[len(seen) - 1])
    build(Sequence.parse("ACE ALA NME"), amber)
    assert len(seen) == 3
    assert not np.allclose(seen[0], seen[1])
    monkeypatch.setattr(peptide, "fault", lambda *_: "ALA 2 is not L")
    with pytest.raises(
        ValueError,
        match="5 attempts at building ACE-ALA-NME failed: ALA 2 is not L; build it with another program",
    ):
        build(Sequence.parse("ACE ALA NME"), amber)


@pytest.mark.parametrize("text", ["ACE ALA NME", "ace,ala,nme", "ACE-ALA-NME", " ACE  ALA\nNME "])
def test_names_may_be_separated_as_one_likes(text: str) -> None:
    assert Sequence.parse(text) == Sequence(("ACE", "ALA", "NME"), (None, None, None))
