"""Files that are given for a PDB file and are something else: what they are, and how they become one."""

import re
from pathlib import Path

#: `{0}` is the file, `{1}` the PDB file.
_RDKIT = "python -c \"from rdkit import Chem; Chem.MolToPDBFile(Chem.{2}('{0}', removeHs=False), '{1}')\""
_OBABEL = "obabel {0} -O {1}"
_NUMBERS = r"(\s+-?\d+\.\d*){3}"
#: What a file is, by what is found in it, and RDKit's reader of such files ("" where RDKit is of no help).
_CONVERTED = (
    (r"\A(.*\n){3}.*V[23]000|^M  END|^\${4}", "an MDL molfile (SDF)", "MolFromMolFile"),
    (r"^@<TRIPOS>MOLECULE", "a Tripos mol2 file", "MolFromMol2File"),
    (rf"\A\s*\d+\s*\n.*\n\s*[A-Z][a-z]?\d*{_NUMBERS}", "an XYZ file, which has no bonds", ""),
    (rf"\A.*\n\s*\d+\s*\n\s*\d+[A-Z].*?\s+\d+{_NUMBERS}", "a GROMACS .gro file, which has no bonds", ""),
)
_OTHERS = (
    (r"^_atom_site\.", "a PDBx/mmCIF file, whose name must end in .cif"),
    (r"\A\s*[\[{]", "a JSON file"),
    (r"\A\s*<", "an XML file"),
)
_READ = 100_000


def check_format(path: Path, text: str) -> None:
    """Raise ValueError for a text that is of another format than PDB, with the command that converts it."""
    text = text[:_READ].replace("\r\n", "\n")
    for pattern, what in _OTHERS:
        if re.search(pattern, text, re.MULTILINE):
            raise ValueError(f"{path} is {what}; expected a PDB file")
    for pattern, what, reader in _CONVERTED:
        if re.search(pattern, text, re.MULTILINE):
            ways = [_RDKIT, _OBABEL] if reader else [_OBABEL]
            target = path.with_suffix(".pdb" if path.suffix != ".pdb" else ".converted.pdb")
            commands = (f"`{way.format(path, target, reader)}`" for way in ways)
            raise ValueError(
                f"{path} is {what}; expected a PDB file: convert it, hydrogens included, with "
                f"{' or '.join(commands)}; where no force-field file has a template of the molecule, give "
                "its Amber files or a serialized OpenMM System"
            )
