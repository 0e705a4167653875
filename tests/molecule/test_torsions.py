"""Names of torsions: every amino acid, peptides with and without caps against mdtraj, and molecules that are
no peptides.
"""

from functools import cache
from itertools import pairwise
from pathlib import Path

import mdtraj
import pytest
from openmm import app

from boltzgen.coordinates.zmatrix import TorsionKind, ZMatrix
from boltzgen.molecule.graph import MolecularGraph, backbone_pairs
from boltzgen.molecule.torsions import alpha_carbons, named_torsions, rotamers
from tests.helpers.molecules import BUTANOL

FOLDER = Path(__file__).parents[1] / "data" / "peptides"
PEPTIDES = sorted(file.stem for file in FOLDER.glob("*.pdb"))
#: How many chi each capped amino acid has, and which of them are not threefold.
CHI: dict[str, tuple[int, dict[str, str]]] = {
    **{key: (0, {}) for key in ("ala", "gly")},
    **{key: (1, {}) for key in ("cys", "ser", "thr", "val")},
    **{key: (2, {}) for key in ("asn", "hid", "hie", "hip", "ile", "leu", "trp")},
    **{key: (2, {"chi2": "twofold"}) for key in ("asp", "phe", "tyr")},
    "pro": (2, {"omega0": "amide", "chi1": "ring", "chi2": "ring"}),
    **{key: (3, {}) for key in ("gln", "met")},
    "glu": (3, {"chi3": "twofold"}),
    "lys": (4, {}),
    "arg": (5, {"chi5": "twofold"}),
}
KINDS = {
    "phi": mdtraj.compute_phi,
    "psi": mdtraj.compute_psi,
    "omega": mdtraj.compute_omega,
    "chi1": mdtraj.compute_chi1,
    "chi2": mdtraj.compute_chi2,
    "chi3": mdtraj.compute_chi3,
    "chi4": mdtraj.compute_chi4,
    "chi5": mdtraj.compute_chi5,
}


@cache
def peptide(name: str) -> tuple[mdtraj.Trajectory, MolecularGraph]:
    pdb = app.PDBFile(str(FOLDER / f"{name}.pdb"))
    topology = pdb.topology
    bonds = [(b[0].index, b[1].index) for b in topology.bonds()]
    graph = MolecularGraph.from_bonds([a.element.symbol for a in topology.atoms()], bonds)
    return mdtraj.Trajectory(
        pdb.getPositions(asNumpy=True)._value, mdtraj.Topology.from_openmm(topology)
    ), graph


def names(name: str) -> list[str]:
    trajectory, graph = peptide(name)
    return list(named_torsions(trajectory.topology, graph))


def test_every_amino_acid_is_listed() -> None:
    assert {f"ace_{key}_nme" for key in CHI} == {n for n in PEPTIDES if n.startswith("ace_")} - {
        "ace_ala5_nme"
    }


@pytest.mark.parametrize("amino_acid", CHI)
def test_capped_amino_acids(amino_acid: str) -> None:
    trajectory, graph = peptide(f"ace_{amino_acid}_nme")
    torsions = named_torsions(trajectory.topology, graph)
    n_chi, divisions = CHI[amino_acid]
    chis = [f"chi{k + 1}" for k in range(n_chi)]
    assert list(torsions) == ["phi", "psi", "omega0", "omega", *chis]
    assert backbone_pairs(torsions) == [("phi", "psi")]
    found = {name: rotamer.division for name, rotamer in rotamers(torsions, graph, graph.rotors()).items()}
    assert found == dict.fromkeys(chis, "threefold") | divisions
    atoms = {
        name: [trajectory.topology.atom(i).name for i in quadruple] for name, quadruple in torsions.items()
    }
    assert atoms["omega0"] == ["CH3", "C", "N", "CA"]
    assert atoms["omega"] == ["CA", "C", "N", "C"]


@pytest.mark.parametrize("name", [n for n in PEPTIDES if not n.startswith("ace_") or n == "ace_ala5_nme"])
def test_torsions_of_larger_peptides_are_mdtrajs_numbered_by_residue(name: str) -> None:
    trajectory, graph = peptide(name)
    top = trajectory.topology
    torsions = named_torsions(top, graph)
    number = {
        r.index: k for k, r in enumerate((r for r in top.residues if r.name not in ("ACE", "NME")), start=1)
    }
    assert {r: k for k, r in enumerate(alpha_carbons(top), start=1)} == number
    expected = {}
    for kind, compute in KINDS.items():
        for quadruple in compute(trajectory)[0]:
            k = number[top.atom(int(quadruple[1])).residue.index]
            expected[f"{kind}_{k}" if kind.startswith("chi") else f"{kind}{k}"] = tuple(map(int, quadruple))
    caps = torsions.keys() - expected.keys()
    assert {key: torsions[key] for key in expected} == expected
    assert all(key.startswith("omega") for key in caps)
    assert len(caps) == sum(r.name in ("ACE", "NME") for r in top.residues)


def test_names_of_some_peptides() -> None:
    assert names("capped_ala3") == [
        "phi1",
        "phi2",
        "phi3",
        "psi1",
        "psi2",
        "psi3",
        "omega0",
        "omega1",
        "omega2",
        "omega3",
    ]
    assert names("gly_ala_val") == ["phi2", "phi3", "psi1", "psi2", "omega1", "omega2", "chi1_3"]
    assert names("disulfide") == [
        "phi1",
        "phi2",
        "psi1",
        "psi2",
        "omega0",
        "omega1",
        "omega0_2",
        "omega2",
        "chi1_1",
        "chi1_2",
    ]
    trajectory, graph = peptide("gly_ala_val")
    assert backbone_pairs(named_torsions(trajectory.topology, graph)) == [("phi2", "psi2")]


def test_states_are_counted_of_side_chains_and_before_proline() -> None:
    trajectory, graph = peptide("chignolin")  # GYDPETGTWG
    found = rotamers(named_torsions(trajectory.topology, graph), graph, graph.rotors())
    others = {name: rotamer.division for name, rotamer in found.items() if rotamer.division != "threefold"}
    assert others == {
        "omega3": "amide",
        "chi1_4": "ring",
        "chi2_4": "ring",
        "chi2_2": "twofold",
        "chi2_3": "twofold",
        "chi3_5": "twofold",
    }
    assert set(found) == {"omega3", *(name for name in names("chignolin") if name.startswith("chi"))}
    # Whether a torsion is twofold is read from the rotors, not from the residue.
    assert rotamers(named_torsions(trajectory.topology, graph), graph, [])["chi2_2"].division == "threefold"


def test_residues_that_are_not_bonded_share_no_torsion() -> None:
    trajectory, graph = peptide("gly_ala_val")
    carbon, nitrogen = named_torsions(trajectory.topology, graph)["omega1"][1:3]
    cut = {carbon: nitrogen, nitrogen: carbon}
    neighbours = tuple(tuple(j for j in near if cut.get(i) != j) for i, near in enumerate(graph.neighbours))
    assert list(named_torsions(trajectory.topology, MolecularGraph(graph.elements, neighbours))) == [
        "phi3",
        "psi2",
        "omega2",
        "chi1_3",
    ]


def test_other_molecules_name_torsions_by_their_atoms() -> None:
    """2-butanol, CH3-CH(OH)-CH2-CH3: methyls have no torsion of their own."""
    topology = mdtraj.Topology()
    residue = topology.add_residue("MOL", topology.add_chain())
    for k, e in enumerate(BUTANOL.elements):
        topology.add_atom(f"{e}{k}", mdtraj.element.get_by_symbol(e), residue)
    torsions = named_torsions(topology, BUTANOL)
    assert torsions == {"torsion C1-C2-C3-C4": (0, 1, 2, 3), "torsion C1-C2-O5-H6": (0, 1, 4, 5)}
    assert {
        name: (r.division, r.torsions) for name, r in rotamers(torsions, BUTANOL, BUTANOL.rotors()).items()
    } == {name: ("threefold", (atoms,)) for name, atoms in torsions.items()}


def test_both_sides_of_a_bond_may_be_twofold() -> None:
    """Biphenyl."""
    bonds = [(i, (i + 1) % 6) for i in range(6)] + [(6 + i, 6 + (i + 1) % 6) for i in range(6)] + [(0, 6)]
    bonds += [(c, 12 + k) for k, c in enumerate(c for c in range(12) if c not in (0, 6))]
    graph = MolecularGraph.from_bonds(["C"] * 12 + ["H"] * 10, bonds)
    assert graph.free_torsions() == [(1, 0, 6, 7)]
    found = rotamers({"torsion": (1, 0, 6, 7)}, graph, graph.rotors())["torsion"]
    assert found.division == "twofold"
    assert set(found.torsions) == {(i, 0, 6, l) for i in (1, 5) for l in (7, 11)}


@pytest.mark.parametrize("name", PEPTIDES)
def test_free_torsions_are_about_the_bonds_that_turn(name: str) -> None:
    """Those with a proper torsion in the z-matrix, without methyls and secondary amides."""
    _, graph = peptide(name)
    proper = {
        frozenset((r.bonded, r.second))
        for r in ZMatrix.from_graph(graph).torsion_rows
        if r.kind is TorsionKind.PROPER
    }
    proper -= {frozenset((r.axis, r.centre)) for r in graph.rotors() if r.fold == 3} | {
        frozenset(bond) for bond in graph.peptide_bonds()
    }
    found = graph.free_torsions()
    assert all(b in graph.neighbours[a] for quadruple in found for a, b in pairwise(quadruple))
    assert sorted(map(sorted, proper)) == sorted(sorted((b, c)) for _, b, c, _ in found)
