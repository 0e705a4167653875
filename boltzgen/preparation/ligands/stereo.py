"""Stereochemistry: what is not defined is refused, or enumerated."""

from typing import Any

from boltzgen.preparation.ligands.checks import listed

#: Stereoisomers that one command enumerates.
MOST_ISOMERS = 32


def undefined(mol: Any) -> list[str]:
    """Stereocentres and double bonds whose configuration is not given, in words."""
    from rdkit import Chem

    found = []
    for kind, k in _open(mol):
        if kind == Chem.StereoType.Atom_Tetrahedral:
            found.append(f"{mol.GetAtomWithIdx(k).GetSymbol()}, atom {k + 1}")
        else:
            bond = mol.GetBondWithIdx(k)
            ends = bond.GetBeginAtom(), bond.GetEndAtom()
            found.append("=".join(f"{a.GetSymbol()}{a.GetIdx() + 1}" for a in ends))
    return found


def _open(mol: Any) -> list[tuple[Any, int]]:
    """Kind and place of each atom and bond of RDKit's whose configuration matters and is not given."""
    from rdkit import Chem

    found = []
    for info in Chem.FindPotentialStereo(mol):
        if info.specified != Chem.StereoSpecified.Unspecified:
            continue
        if info.type == Chem.StereoType.Atom_Tetrahedral:
            atom = mol.GetAtomWithIdx(info.centeredOn)
            # Amines invert, see the domain; of =O and -O- on one atom resonance makes no difference.
            oxides = sum(
                n.GetSymbol() in ("O", "S") and n.GetDegree() == 1 and not n.GetTotalNumHs()
                for n in atom.GetNeighbors()
            )
            matters = atom.GetSymbol() != "N" and oxides < 2
        else:
            bond = mol.GetBondWithIdx(info.centeredOn)
            ends = bond.GetBeginAtom(), bond.GetEndAtom()
            matters = all(atom.GetHybridization() != Chem.HybridizationType.SP for atom in ends)
            matters &= info.type == Chem.StereoType.Bond_Double
        if matters:
            found.append((info.type, info.centeredOn))
    return found


def check_defined(mol: Any) -> None:
    """Raise ValueError where a stereocentre or a double bond has no configuration."""
    if centres := undefined(mol):
        raise ValueError(
            f"the configuration is not given at {listed(centres)}; say which ([C@H] or [C@@H], / and \\), or "
            "prepare every stereoisomer by `enumerate_stereo=True`"
        )


def isomers(mol: Any) -> list[tuple[str, Any]]:
    """Every stereoisomer of a molecule, with what is given kept, and a short name of each.

    Names are the CIP labels of what was not given (``"RS"``, ``"E"``), or numbers where labels do not tell
    the isomers apart. One isomer, with an empty name, where everything is given.

    Raises:
        ValueError: there are more than `MOST_ISOMERS`.
    """
    from rdkit import Chem
    from rdkit.Chem import rdCIPLabeler
    from rdkit.Chem.EnumerateStereoisomers import (
        EnumerateStereoisomers,
        GetStereoisomerCount,
        StereoEnumerationOptions,
    )

    if not undefined(mol):
        return [("", mol)]
    options = StereoEnumerationOptions(onlyUnassigned=True, unique=True)
    count = GetStereoisomerCount(mol, options=options)
    if count > MOST_ISOMERS:
        raise ValueError(
            f"there are up to {count} stereoisomers, expected at most {MOST_ISOMERS}; give the configuration "
            "of some centres"
        )
    open_ones = _open(mol)
    found, names = list(EnumerateStereoisomers(mol, options=options)), []
    for isomer in found:
        rdCIPLabeler.AssignCIPLabels(isomer)
        objects = [
            isomer.GetBondWithIdx(k) if kind == Chem.StereoType.Bond_Double else isomer.GetAtomWithIdx(k)
            for kind, k in open_ones
        ]
        names.append("".join(o.GetProp("_CIPCode") if o.HasProp("_CIPCode") else "?" for o in objects))
    if len(set(names)) < len(names) or "?" in "".join(names):
        names = [str(k) for k in range(1, len(found) + 1)]
    return sorted(zip(names, found, strict=True), key=lambda pair: pair[0])
