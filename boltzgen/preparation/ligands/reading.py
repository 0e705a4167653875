"""A small molecule as it is given: SMILES, an SDF (MDL) file or a Tripos mol2 file."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from boltzgen.preparation.ligands.extra import silence

#: Characters of a SMILES that are shown in messages, and bytes of a file that is read: 500 atoms have 50 kB.
_SHOWN, _LARGEST_FILE = 60, 10_000_000
#: Nanometres in an Angstrom.
ANGSTROM = 0.1


@dataclass(frozen=True)
class Given:
    """A molecule that was read, not yet checked.

    Attributes:
        mol: RDKit's molecule, with the hydrogens that the file has.
        origin: what it was read from, in a few words.
        positions: (n_atoms, 3) in nm, where the file has three-dimensional coordinates; else None.
        notes: what of the file was not taken, in sentences.
    """

    mol: Any
    origin: str
    positions: np.ndarray | None = None
    notes: tuple[str, ...] = field(default=())


def read_smiles(smiles: str) -> Given:
    """The molecule of a SMILES.

    Raises:
        ValueError: it is no SMILES, or an atom has a valence that it cannot have.
    """
    from rdkit import Chem

    shown = smiles if len(smiles) <= _SHOWN else f"{smiles[:_SHOWN]}..."
    if not smiles.strip():
        raise ValueError("expected a SMILES, got an empty text; for instance 'CC(=O)NC'")
    with silence():
        mol = Chem.MolFromSmiles(smiles, sanitize=False)
        if mol is None:
            raise ValueError(
                f"expected a SMILES, got {shown!r}, which cannot be read: check brackets, ring numbers and "
                "element symbols"
            )
        _sanitise(mol, f"the SMILES {shown!r}")
        if mol.GetNumAtoms() == 0:
            raise ValueError(f"expected a SMILES, got {shown!r}, which has no atoms")
        Chem.AssignStereochemistry(mol, cleanIt=True, force=True)
    return Given(mol, shown)


def read_sdf(path: Path) -> Given:
    """The first molecule of an SDF or MDL mol file, see `_with_file`."""
    from rdkit import Chem

    text = _text(path)
    records = text.split("$$$$")
    with silence():
        mol = Chem.MolFromMolBlock(records[0], sanitize=False, removeHs=False)
        if mol is None:
            raise ValueError(f"{path} is no readable SDF or MDL mol file; expected counts, atoms and bonds")
    found = sum("M  END" in record for record in records)
    return _with_file(path, mol, found, wedged=True)


def read_mol2(path: Path) -> Given:
    """The first molecule of a Tripos mol2 file, see `_with_file`."""
    from rdkit import Chem

    text = _text(path)
    mark = "@<TRIPOS>MOLECULE"
    found = text.count(mark)
    with silence():
        first = mark.join(text.split(mark)[:2])
        mol = Chem.MolFromMol2Block(first, sanitize=False, removeHs=False) if found else None
        if mol is None:
            raise ValueError(
                f"{path} is no readable Tripos mol2 file; expected Corina's atom types: convert it to SDF"
            )
        if mol.GetNumAtoms() > 1 and all(atom.GetAtomicNum() > 1 for atom in mol.GetAtoms()):
            # RDKit would take what they leave open for charges and radicals.
            raise ValueError(
                f"{path} has no hydrogens, all of which a mol2 file has to have; give an SDF file"
            )
    return _with_file(path, mol, found, wedged=False)


def _text(path: Path) -> str:
    if not path.is_file():
        raise FileNotFoundError(f"no file at {path}")
    if path.stat().st_size > _LARGEST_FILE:
        raise ValueError(f"{path} is larger than {_LARGEST_FILE / 1e6:.0f} MB; expected one small molecule")
    content = path.read_bytes()
    if b"\0" in content or not content.strip():
        raise ValueError(f"{path} is empty or binary; expected the text of a molecule")
    return content.decode("utf-8", errors="replace").replace("\r\n", "\n")


def _with_file(path: Path, mol: Any, found: int, *, wedged: bool) -> Given:
    """A molecule of a file, its stereochemistry taken from coordinates or wedged bonds.

    Raises:
        ValueError: an atom has a valence that it cannot have, or there are none.
    """
    from rdkit import Chem

    with silence():
        _sanitise(mol, str(path))
        if mol.GetNumAtoms() == 0:
            raise ValueError(f"{path} has no atoms")
        solid = bool(mol.GetNumConformers()) and mol.GetConformer().Is3D()
        if solid:
            Chem.AssignStereochemistryFrom3D(mol)
        elif wedged:
            Chem.DetectBondStereochemistry(mol)
            Chem.AssignChiralTypesFromBondDirs(mol)
            Chem.AssignStereochemistry(mol, cleanIt=True, force=True)
    positions = ANGSTROM * np.array(mol.GetConformer().GetPositions()) if solid else None
    notes = []
    if found > 1:
        notes.append(f"{path} holds {found} molecules: the first one is taken")
    if not solid:
        notes.append(f"{path} has no three-dimensional coordinates: RDKit makes the structure")
    return Given(mol, path.name, positions, tuple(notes))


def _sanitise(mol: Any, what: str) -> None:
    """Let RDKit find rings, aromaticity and valences; raise ValueError where something is wrong."""
    from rdkit import Chem

    problems = Chem.DetectChemistryProblems(mol)
    if problems:
        raise ValueError(
            f"{what} is no molecule: {problems[0].Message()}; check charges, hydrogens and double bonds"
        )
    Chem.SanitizeMol(mol)
