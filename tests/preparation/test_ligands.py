"""Small molecules from SMILES, SDF and mol2: what is prepared, and what is refused in one line.

Without the extra `ligands` all but the first few are skipped.
"""

import json
from pathlib import Path

import numpy as np
import openmm
import pytest
import torch
from openmm import unit

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.molecule.graph import MolecularGraph
from boltzgen.molecule.system import System
from boltzgen.preparation.ligands import extra
from boltzgen.preparation.ligands.conformers import conformers
from boltzgen.preparation.ligands.domain import domain_of
from boltzgen.preparation.ligands.options import ligand_of
from boltzgen.preparation.ligands.rings import stiff_rings
from boltzgen.preparation.run import prepare
from tests.helpers.command_line import call, refused

OPENFF = ("--forcefield", "openff-2.3.0")
needs_extra = pytest.mark.skipif(
    bool(extra.missing()), reason=f"the extra [ligands] is not installed: no {', '.join(extra.missing())}"
)


def test_a_missing_extra_is_named(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(extra, "MODULES", ("json", "no_such_module", "json.no_such_part"))
    output = call(capfd, "prepare", "--smiles", "CCO", *OPENFF, "-o", tmp_path / "a")
    refused(output, 'no_such_module, json.no_such_part is missing: `pip install "boltzgen-toolkit[ligands]"`')
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--smiles", "CCO"), "a small molecule needs one --forcefield, got 0"),
        (("--smiles", "CCO", *OPENFF, "--forcefield", "implicit/obc2.xml"), "one --forcefield, got 2"),
        (("--smiles", "CCO", "--sdf", "a.sdf", *OPENFF), "--smiles and --sdf cannot be used together"),
        (("a.pdb", "--smiles", "CCO", *OPENFF), "--smiles and MOLECULE cannot be used together"),
        (("--sequence", "ACE NME", *OPENFF, "--amides", "trans"), "--amides needs --smiles"),
        (("--sequence", "ACE NME", *OPENFF, "--enumerate-stereo"), "--enumerate-stereo needs --smiles"),
        (("--smiles", "CCO", *OPENFF, "--add-hydrogens"), "--add-hydrogens cannot be used together"),
    ],
)
def test_options_that_do_not_belong_together(
    arguments: tuple[str, ...], message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    refused(call(capfd, "prepare", *arguments, "-o", tmp_path / "a"), message)


def test_what_is_no_small_molecule_is_left_to_others() -> None:
    assert ligand_of({"molecule": "a.pdb", "forcefield": ["amber96.xml"], "smiles": None}) is None


@needs_extra
@pytest.mark.parametrize(
    ("smiles", "message"),
    [
        ("C(", "which cannot be read"),
        ("", "got an empty text"),
        ("CC(C)(C)(C)C", "is no molecule: Explicit valence for atom # 1 C"),
        ("c1cccc1", "is no molecule"),
        ("CC(=O)[O-].[Na+]", "expected one molecule, got 2 (CC(=O)[O-], [Na+]): a salt"),
        ("CC[CH2]", "unpaired electrons on C, atom 3"),
        ("CC(N)C(=O)O", "the configuration is not given at C, atom 2"),
        ("CC=CC", "the configuration is not given at C2=C3"),
        ("CCB(O)O", "B, atom 3, is of an element for which OpenFF has no parameters"),
        ("C[Fe]C", "Fe, atom 2, is of a metal"),
        ("*CCO", "is no atom but a placeholder"),
        ("C" * 170, "at most 300 atoms, got 512 with hydrogens"),
        ("O", "at least four atoms, got 3"),
        ("CC=C=CC", "cumulated double bonds"),
        ("FS(F)(F)(F)(F)F", "more than four neighbours"),
    ],
)
def test_what_cannot_be_treated_is_refused_by_name(
    smiles: str, message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    refused(call(capfd, "prepare", "--smiles", smiles, *OPENFF, "-o", tmp_path / "a"), message)
    assert list(tmp_path.iterdir()) == []


@needs_extra
def test_large_rings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="in a ring of more than 7 atoms"):
        prepare(None, tmp_path / "a", smiles="C1CCCCCCC1", forcefield="openff-2.3.0")
    assert list(tmp_path.iterdir()) == []


@needs_extra
def test_a_ring_and_its_nitrogen_have_circles(tmp_path: Path) -> None:
    made = prepare(None, tmp_path / "a", smiles="CN1CCCCC1", forcefield="openff-2.3.0")
    torsions = made["free_torsions"]
    assert sum(name.startswith("ring C") for name in torsions) == 3
    assert "inversion of N1" in torsions
    assert not any("shapes" in note for note in made["notes"])


@needs_extra
@pytest.mark.parametrize(
    ("smiles", "inverting"), [("Nc1ccccc1", [0]), ("CC(=O)NC", []), ("C1CN1C", []), ("NC(=[NH2+])NCC", [])]
)
def test_nitrogens_that_take_both_sides(smiles: str, inverting: list[int], tmp_path: Path) -> None:
    """Aniline's does; an amide's and a guanidinium's are too flat, and aziridine's is held by the ring."""
    prepare(None, tmp_path / "a", smiles=smiles, forcefield="openff-2.3.0")
    assert System.load(tmp_path / "a").domain.inverting == inverting


@needs_extra
def test_a_nitro_group_has_no_other_side() -> None:
    """However bent the structure has it."""
    from rdkit import Chem

    for smiles, expected in (("C[N+](=O)[O-]", []), ("CN(C)C", [1])):
        mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
        bonds = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in mol.GetBonds()]
        graph = MolecularGraph.from_bonds([atom.GetSymbol() for atom in mol.GetAtoms()], bonds)
        (placed,) = conformers(mol, 1)
        near = [atom.GetIdx() for atom in mol.GetAtomWithIdx(1).GetNeighbors()]
        u, v = placed[near[1]] - placed[near[0]], placed[near[2]] - placed[near[0]]
        placed[1] = placed[near].mean(0) + 0.05 * np.cross(u, v) / np.linalg.norm(np.cross(u, v))
        assert domain_of(mol, graph, placed, "either").inverting == expected


@needs_extra
def test_shapes_without_coordinates_are_found() -> None:
    """Six atoms up and down, and down and up: a ring of CH as if it were bent, not one of CH2."""
    from rdkit import Chem

    for smiles, expected in (("c1ccccc1", {(0, 1, 2, 3, 4, 5): 2}), ("C1CCCCC1", {})):
        mol = Chem.AddHs(Chem.MolFromSmiles(smiles))
        bonds = [(bond.GetBeginAtomIdx(), bond.GetEndAtomIdx()) for bond in mol.GetBonds()]
        graph = MolecularGraph.from_bonds([atom.GetSymbol() for atom in mol.GetAtoms()], bonds)
        angle = np.arange(mol.GetNumAtoms()) * np.pi / 3
        flat = 0.15 * np.stack((np.cos(angle), np.sin(angle), 0 * angle), -1)
        up = np.zeros_like(flat)
        up[:6, 2] = 0.02 * (-1) ** np.arange(6)
        assert stiff_rings(mol, graph, np.stack((flat + up, flat - up, flat + up))) == expected


@needs_extra
@pytest.mark.parametrize(
    "name", ["openff-9.9.9", "amber96.xml", "./openff-2.3.0.offxml", "openff_no_water-3.0.0-alpha0"]
)
def test_only_installed_force_fields_are_read(
    name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A user's own .offxml could name a file of charges that is a pickle."""
    monkeypatch.chdir(tmp_path)
    Path("openff-2.3.0.offxml").write_text("<SMIRNOFF/>")
    output = call(capfd, "prepare", "--smiles", "CCO", "--forcefield", name, "-o", "a")
    refused(output, "expected an OpenFF force field for a small molecule")


@needs_extra
def test_a_prepared_molecule_is_what_was_asked_for(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A double bond, a secondary amide, a nitrogen that inverts."""
    monkeypatch.chdir(tmp_path)
    for name in ("openff-2.3.0.offxml", "openff-gnn-am1bcc-1.0.0.pt"):
        Path(name).write_bytes(b"not what is to be read")
    arguments = ("--smiles", "CCN(C)C/C=C/C(=O)NC", *OPENFF, "--solvent", "OBC2", "--constraints", "HBonds")
    code, out, err = call(capfd, "prepare", *arguments, "-o", "a", "--json")
    assert code == 0
    summary = json.loads(out)
    assert "protonation and tautomer are as they were given" in err
    assert "these nitrogens take both sides: N1\n" in err
    assert summary["solvent"] == "OBC2 (implicit)"
    assert (summary["charge"], summary["atoms"]) == ("0", 27)
    assert "inversion of N1" in summary["free_torsions"]
    system = System.load("a")
    assert system.domain.peptide_bonds == "either"
    assert system.domain.double_bonds == [[5, 6]]
    assert system.domain.inverting == [2]
    assert len(system.constraints) == 16
    # Names are those of the PDB file, and bonds come back from it.
    assert [atom.name for atom in system.topology.atoms()][:3] == ["C1", "C2", "N1"]
    coordinates = MolecularCoordinates(system)
    assert coordinates.in_domain(coordinates.inverse(system.positions)[0])
    assert abs(charges(system).sum()) < 1e-9
    assert summary["made_from"].startswith("CCN(C)C/C=C/C(=O)NC, openff-2.3.0, NAGL charges")


def charges(system: System) -> torch.Tensor:
    (force,) = (f for f in system.openmm_system.getForces() if isinstance(f, openmm.NonbondedForce))
    found = [force.getParticleParameters(k)[0] / unit.elementary_charge for k in range(system.n_atoms)]
    return torch.tensor(found, dtype=torch.float64)


@needs_extra
def test_every_stereoisomer(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    output = call(
        capfd, "prepare", "--smiles", "CC(F)Cl", *OPENFF, "--enumerate-stereo", "-o", tmp_path / "a"
    )
    assert output[0] == 0
    assert "warning: the stereochemistry is not given: 2 stereoisomers are prepared" in output[2]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a-R", "a-S"]
    first, second = (System.load(tmp_path / f"a-{label}") for label in "RS")
    assert (first.name, second.name) == ("a-R", "a-S")
    ours, theirs = MolecularCoordinates(first), MolecularCoordinates(second)
    met = ours.domain_conditions(ours.inverse(second.positions)[0])
    assert not met["other enantiomer"]
    assert theirs.in_domain(theirs.inverse(second.positions)[0])
    given = call(capfd, "prepare", "--smiles", "CCC", *OPENFF, "--enumerate-stereo", "-o", tmp_path / "b")
    assert given[0] == 0
    assert "warning" not in given[2]
    assert (tmp_path / "b" / "system.toml").is_file()


MOL2 = """@<TRIPOS>MOLECULE
methanol
 6 5 0 0 0
SMALL
NO_CHARGES
@<TRIPOS>ATOM
1 C1 -0.0187 1.5256 0.0104 C.3
2 O1 0.0021 -0.0041 0.0020 O.3
3 H1 1.0001 1.9200 0.0000 H
4 H2 -0.5400 1.8800 0.9000 H
5 H3 -0.5400 1.8900 -0.8800 H
6 H4 0.9200 -0.2900 0.0000 H
@<TRIPOS>BOND
1 1 2 1
2 1 3 1
3 1 4 1
4 1 5 1
5 2 6 1
"""
#: The same without hydrogens.
BARE_MOL2 = "\n".join(MOL2.replace(" 6 5 ", " 2 1 ").splitlines()[:8]) + "\n@<TRIPOS>BOND\n1 1 2 1\n"


@needs_extra
def test_files_give_structures(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from rdkit import Chem
    from rdkit.Chem import AllChem

    mol = Chem.AddHs(Chem.MolFromSmiles("N[C@@H](C)C=O"))
    AllChem.EmbedMolecule(mol, randomSeed=1)
    block = Chem.MolToMolBlock(mol)
    (tmp_path / "two.sdf").write_text(f"{block}$$$$\n{block}$$$$\n")
    code, _, err = call(capfd, "prepare", "--sdf", tmp_path / "two.sdf", *OPENFF, "-o", tmp_path / "a")
    assert code == 0
    assert "two.sdf holds 2 molecules: the first one is taken" in err
    system = System.load(tmp_path / "a")
    assert [atom.element.symbol for atom in system.topology.atoms()] == [
        a.GetSymbol() for a in mol.GetAtoms()
    ]
    assert "N[C@@H](C)C=O" in system.description or "C[C@H](N)C=O" in system.description
    heavy = Chem.MolToMolBlock(Chem.RemoveHs(mol))
    (tmp_path / "heavy.sdf").write_text(heavy)
    code, _, err = call(capfd, "prepare", "--sdf", tmp_path / "heavy.sdf", *OPENFF, "-o", tmp_path / "b")
    assert code == 0
    assert "7 hydrogens were added" in err
    assert System.load(tmp_path / "b").n_atoms == mol.GetNumAtoms()
    (tmp_path / "methanol.mol2").write_text(MOL2)
    code, _, err = call(capfd, "prepare", "--mol2", tmp_path / "methanol.mol2", *OPENFF, "-o", tmp_path / "c")
    assert code == 0
    assert "added" not in err
    assert System.load(tmp_path / "c").n_atoms == 6


@needs_extra
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.sdf", None, "no file at"),
        ("empty.sdf", b"", "is empty or binary"),
        ("binary.sdf", b"a\0b", "is empty or binary"),
        ("text.sdf", b"hello\nworld\n", "is no readable SDF"),
        ("text.mol2", b"hello\n", "is no readable Tripos mol2 file"),
        ("bare.mol2", BARE_MOL2.encode(), "has no hydrogens, all of which a mol2 file has to have"),
    ],
)
def test_files_that_are_none(
    name: str, content: bytes | None, message: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / name
    if content is not None:
        file.write_bytes(content)
    flag = f"--{file.suffix[1:]}"
    refused(call(capfd, "prepare", flag, file, *OPENFF, "-o", tmp_path / "a"), message)
