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
from boltzgen.molecule.graph import MolecularGraph, Rotor, backbone_pairs
from boltzgen.molecule.labels import AtomLabels, atom_names, residue_numbers
from boltzgen.molecule.rotamers import rotamers, torsion_states
from boltzgen.molecule.torsions import alpha_carbons, named_torsions
from tests.helpers.molecules import BUTANOL

FOLDER = Path(__file__).parents[1] / "data" / "peptides"
IBUPROFEN = Path(__file__).parents[2] / "benchmarks/data/ibuprofen/ibuprofen.pdb"
PEPTIDES = sorted(file.stem for file in FOLDER.glob("*.pdb"))
#: How many chi each capped amino acid has, and which of them are not threefold.
CHI: dict[str, tuple[int, dict[str, str]]] = {
    **{key: (0, {}) for key in ("ala", "gly")},
    **{key: (1, {}) for key in ("cys", "ser", "thr", "val")},
    **{key: (2, {}) for key in ("ile", "leu")},
    "asn": (2, {"chi2": "eclipsed"}),
    **{key: (2, {"chi2": "sides"}) for key in ("hid", "hie", "hip", "trp")},
    **{key: (2, {"chi2": "twofold"}) for key in ("asp", "phe", "tyr")},
    "pro": (2, {"omega0": "amide", "chi1": "ring", "chi2": "ring"}),
    "gln": (3, {"chi3": "eclipsed"}),
    "met": (3, {}),
    "glu": (3, {"chi3": "twofold"}),
    "lys": (4, {}),
    "arg": (5, {"chi5": "twofold"}),
}
#: Torsions of hydrogens, by the amino acid that has them.
HYDROGENS = {
    "cys": ("torsion CA-CB-SG-HG", "threefold"),
    "ser": ("torsion CA-CB-OG-HG", "threefold"),
    "thr": ("torsion CA-CB-OG1-HG1", "threefold"),
    "tyr": ("torsion CE1-CZ-OH-HH", "twofold"),
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
def peptide(name: str) -> tuple[mdtraj.Trajectory, app.Topology, MolecularGraph]:
    pdb = app.PDBFile(str(FOLDER / f"{name}.pdb"))
    topology = pdb.topology
    bonds = [(b[0].index, b[1].index) for b in topology.bonds()]
    graph = MolecularGraph.from_bonds([a.element.symbol for a in topology.atoms()], bonds)
    trajectory = mdtraj.Trajectory(
        pdb.getPositions(asNumpy=True)._value, mdtraj.Topology.from_openmm(topology)
    )
    return trajectory, topology, graph


def names(name: str) -> list[str]:
    _, topology, graph = peptide(name)
    return list(named_torsions(topology, graph))


def divisions(topology: app.Topology, graph: MolecularGraph, rotors: list[Rotor]) -> dict[str, str]:
    """Of the torsions whose states are counted by themselves."""
    found = rotamers(torsion_states(named_torsions(topology, graph), graph, rotors), graph)
    return {name: rotamer.division for name, rotamer in found.items()}


def test_every_amino_acid_is_listed() -> None:
    assert {f"ace_{key}_nme" for key in CHI} == {n for n in PEPTIDES if n.startswith("ace_")} - {
        "ace_ala5_nme"
    }


@pytest.mark.parametrize("amino_acid", CHI)
def test_capped_amino_acids(amino_acid: str) -> None:
    trajectory, topology, graph = peptide(f"ace_{amino_acid}_nme")
    torsions = named_torsions(topology, graph)
    n_chi, others = CHI[amino_acid]
    chis = [f"chi{k + 1}" for k in range(n_chi)]
    hydrogen = dict([HYDROGENS[amino_acid]] if amino_acid in HYDROGENS else [])
    assert list(torsions) == ["phi", "psi", "omega0", "omega", *chis, *hydrogen]
    assert backbone_pairs(torsions) == [("phi", "psi")]
    found = divisions(topology, graph, graph.rotors())
    assert found == dict.fromkeys(chis, "threefold") | others | hydrogen
    atoms = {
        name: [trajectory.topology.atom(i).name for i in quadruple] for name, quadruple in torsions.items()
    }
    assert atoms["omega0"] == ["CH3", "C", "N", "CA"]
    assert atoms["omega"] == ["CA", "C", "N", "C"]


@pytest.mark.parametrize("name", [n for n in PEPTIDES if not n.startswith("ace_") or n == "ace_ala5_nme"])
def test_torsions_of_larger_peptides_are_mdtrajs_numbered_by_residue(name: str) -> None:
    trajectory, topology, graph = peptide(name)
    top = trajectory.topology
    torsions = {k: v for k, v in named_torsions(topology, graph).items() if not k.startswith("torsion")}
    # Both chains of the disulfide have one name and the same numbers.
    number = {r.index: r.index + 1 if name == "disulfide" else r.resSeq for r in top.residues}
    assert list(alpha_carbons(top)) == [r.index for r in top.residues if r.name not in ("ACE", "NME")]
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
        "phi2",
        "phi3",
        "phi4",
        "psi2",
        "psi3",
        "psi4",
        "omega1",
        "omega2",
        "omega3",
        "omega4",
    ]
    assert names("gly_ala_val") == ["phi2", "phi3", "psi1", "psi2", "omega1", "omega2", "chi1_3"]
    assert names("disulfide") == [
        "phi2",
        "phi5",
        "psi2",
        "psi5",
        "omega1",
        "omega2",
        "omega4",
        "omega5",
        "chi1_2",
        "chi1_5",
        "torsion CYS2:CA-CB-SG-CYS5:SG",
        "torsion CYS2:CB-SG-CYS5:SG-CB",
        "torsion CYS5:CA-CB-SG-CYS2:SG",
    ]
    _, topology, graph = peptide("gly_ala_val")
    assert backbone_pairs(named_torsions(topology, graph)) == [("phi2", "psi2")]


def test_states_are_counted_of_side_chains_and_before_proline() -> None:
    _, topology, graph = peptide("chignolin")  # GYDPETGTWG
    found = divisions(topology, graph, graph.rotors())
    assert {name: division for name, division in found.items() if division != "threefold"} == {
        "omega3": "amide",
        "chi1_4": "ring",
        "chi2_4": "ring",
        "chi2_2": "twofold",
        "chi2_3": "twofold",
        "chi3_5": "twofold",
        "chi2_9": "sides",
        "torsion CE1-CZ-OH-HH": "twofold",
    }
    assert set(found) == {"omega3", *(n for n in names("chignolin") if n.startswith(("chi", "torsion")))}
    # Whether a torsion is twofold is read from the rotors, not from the residue.
    assert divisions(topology, graph, [])["chi2_2"] == "sides"


def test_residues_that_are_not_bonded_share_no_torsion() -> None:
    _, topology, graph = peptide("gly_ala_val")
    carbon, nitrogen = named_torsions(topology, graph)["omega1"][1:3]
    cut = {carbon: nitrogen, nitrogen: carbon}
    neighbours = tuple(tuple(j for j in near if cut.get(i) != j) for i, near in enumerate(graph.neighbours))
    assert list(named_torsions(topology, MolecularGraph(graph.elements, neighbours))) == [
        "phi3",
        "psi2",
        "omega2",
        "chi1_3",
        "torsion ALA2:H-N-CA-CB",
    ]


def ligand(graph: MolecularGraph, names: list[str], residue: str = "LIG") -> app.Topology:
    """One residue of these atoms."""
    topology = app.Topology()
    place = topology.addResidue(residue, topology.addChain("A"), id="1")
    for element, name in zip(graph.elements, names, strict=True):
        topology.addAtom(name, app.Element.getBySymbol(element), place)
    return topology


def chains(*residues: tuple[str, str, str]) -> app.Topology:
    """One atom CA in each residue, given by its chain, number and insertion code."""
    topology, made = app.Topology(), {}
    for chain, number, code in residues:
        if chain not in made:
            made[chain] = topology.addChain(chain)
        residue = topology.addResidue("ALA", made[chain], id=number, insertionCode=code)
        topology.addAtom("CA", app.element.carbon, residue)
    return topology


@pytest.mark.parametrize(
    ("residues", "numbers", "labels"),
    [
        ([("A", "5", ""), ("B", "9", "")], ["5", "9"], "ALA5:CA-ALA9:CA"),
        (
            [("A", "52", ""), ("A", "52", "A"), ("A", "-3", "")],
            ["52", "52A", "-3"],
            "ALA52:CA-ALA52A:CA-ALA-3:CA",
        ),
        ([("A", "5", ""), ("B", "5", "")], ["A5", "B5"], "ALAA5:CA-ALAB5:CA"),
        ([("1", "12", ""), ("2", "12", "")], ["1_12", "2_12"], "ALA1_12:CA-ALA2_12:CA"),
        ([("A", "5", ""), ("A", "5", "")], ["1", "2"], "ALA1:CA-ALA2:CA"),
        ([("A", "", ""), ("B", "../x", "")], ["1", "2"], "ALA1:CA-ALA2:CA"),
    ],
)
def test_residues_have_the_numbers_of_their_file_where_these_differ(
    residues: list[tuple[str, str, str]], numbers: list[str], labels: str
) -> None:
    topology = chains(*residues)
    assert residue_numbers(topology) == numbers
    assert AtomLabels(topology)(*range(len(residues))) == labels
    assert atom_names(topology) == [f"CA (ALA {number})" for number in numbers]


def test_atoms_of_one_name_are_told_apart() -> None:
    graph = MolecularGraph.from_bonds([*"HOOH"], [(0, 1), (1, 2), (2, 3)])
    assert AtomLabels(ligand(graph, ["H1", "O1", "O2", "H2"]))(0, 1, 2, 3) == "H1-O1-O2-H2"
    assert AtomLabels(ligand(graph, ["H", "O", "O", "/.."]))(0, 1, 2, 3) == "H-O#2-O#3-_.."
    assert AtomLabels(ligand(graph, ["", "", "", ""]))(0, 1, 2, 3) == "#1-#2-#3-#4"


def test_other_molecules_name_torsions_by_their_atoms() -> None:
    """2-butanol, CH3-CH(OH)-CH2-CH3: methyls have no torsion of their own."""
    torsions = named_torsions(ligand(BUTANOL, [f"{e}X{k}" for k, e in enumerate(BUTANOL.elements)]), BUTANOL)
    assert torsions == {"torsion CX0-CX1-CX2-CX3": (0, 1, 2, 3), "torsion CX0-CX1-OX4-HX5": (0, 1, 4, 5)}
    states = torsion_states(torsions, BUTANOL, BUTANOL.rotors())
    assert rotamers(states, BUTANOL) == states
    assert {name: (r.division, r.torsions) for name, r in states.items()} == {
        name: ("threefold", (atoms,)) for name, atoms in torsions.items()
    }


def test_a_drug_has_the_names_of_its_file_and_states_by_its_chemistry() -> None:
    """Ibuprofen: isobutyl and propanoic acid on a benzene ring."""
    pdb = app.PDBFile(str(IBUPROFEN))
    bonds = [(a.index, b.index) for a, b in pdb.topology.bonds()]
    graph = MolecularGraph.from_bonds([a.element.symbol for a in pdb.topology.atoms()], bonds)
    assert divisions(pdb.topology, graph, graph.rotors()) == {
        "torsion C1-C2-C4-C5": "threefold",
        "torsion C2-C4-C5-C6": "twofold",
        "torsion C7-C8-C11-C12": "twofold",
        "torsion C8-C11-C13-O1": "eclipsed",
        "torsion C11-C13-O2-H18": "planar",
    }


def test_both_sides_of_a_bond_may_be_twofold() -> None:
    """Biphenyl."""
    bonds = [(i, (i + 1) % 6) for i in range(6)] + [(6 + i, 6 + (i + 1) % 6) for i in range(6)] + [(0, 6)]
    bonds += [(c, 12 + k) for k, c in enumerate(c for c in range(12) if c not in (0, 6))]
    graph = MolecularGraph.from_bonds(["C"] * 12 + ["H"] * 10, bonds)
    assert graph.free_torsions() == [(1, 0, 6, 7)]
    found = torsion_states({"torsion": (1, 0, 6, 7)}, graph, graph.rotors())["torsion"]
    assert found.division == "twist"
    assert set(found.torsions) == {(i, 0, 6, l) for i in (1, 5) for l in (7, 11)}


@pytest.mark.parametrize("name", PEPTIDES)
def test_free_torsions_are_about_the_bonds_that_turn(name: str) -> None:
    """Those with a proper torsion in the z-matrix, without methyls and secondary amides."""
    _, _, graph = peptide(name)
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
