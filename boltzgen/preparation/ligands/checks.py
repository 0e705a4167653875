"""Which small molecules can be treated: everything else is refused by name, before any work."""

from collections.abc import Iterable
from typing import Any

#: Atoms with hydrogens. What has been trained of ligands has some fifty.
MOST_ATOMS = 300
#: Elements that the force field and NAGL's charges cover.
ELEMENTS = frozenset({"H", "C", "N", "O", "F", "P", "S", "Cl", "Br", "I"})
_METALLOIDS = frozenset({"B", "Si", "Ge", "As", "Se", "Te", "At"})
#: Patterns whose geometry the coordinates do not describe, and why.
_UNTREATED = (
    ("[*;D5,D6]", "has more than four neighbours, some in line through it: angles there are straight"),
    ("[#6,#7;D2](=[#6])=[#6]", "is in the middle of cumulated double bonds (an allene), which do not turn"),
)


def check(mol: Any) -> None:
    """Raise ValueError for a molecule that is not one closed-shell organic molecule of moderate size.

    Args:
        mol: RDKit's molecule, sanitised; hydrogens may be implicit.
    """
    from rdkit import Chem

    for atom in mol.GetAtoms():
        if atom.GetAtomicNum() == 0:
            raise ValueError(
                f"{label(atom)} is no atom but a placeholder (*, R); give the whole molecule, with every atom"
            )
    fragments = Chem.GetMolFrags(mol, asMols=True, sanitizeFrags=False)
    if len(fragments) > 1:
        parts = ", ".join(Chem.MolToSmiles(fragment) for fragment in fragments[:4])
        raise ValueError(
            f"expected one molecule, got {len(fragments)} ({parts}): a salt or a mixture; give the molecule "
            "alone, with its charge, without counter-ions and solvent"
        )
    for atom in mol.GetAtoms():
        if atom.GetSymbol() not in ELEMENTS:
            kind = "an element" if atom.GetSymbol() in _METALLOIDS else "a metal or another element"
            raise ValueError(
                f"{label(atom)} is of {kind} for which OpenFF has no parameters, which cover "
                f"{', '.join(sorted(ELEMENTS))}; make Amber files or an OpenMM System with a program that has"
            )
    radicals = [label(atom) for atom in mol.GetAtoms() if atom.GetNumRadicalElectrons()]
    if radicals:
        raise ValueError(
            f"unpaired electrons on {listed(radicals)}: force fields are for closed shells; check hydrogens "
            "and charges"
        )
    total = Chem.AddHs(mol).GetNumAtoms()
    if total > MOST_ATOMS:
        raise ValueError(
            f"expected a small molecule of at most {MOST_ATOMS} atoms, got {total} with hydrogens; take a "
            "part of it"
        )
    if total < 4:
        raise ValueError(f"expected a molecule of at least four atoms, got {total} with hydrogens")
    for pattern, why in _UNTREATED:
        found = mol.GetSubstructMatch(Chem.MolFromSmarts(pattern))
        if found:
            raise ValueError(
                f"{label(mol.GetAtomWithIdx(found[0]))} {why}; the coordinates cannot describe that: sample "
                "this molecule by molecular dynamics"
            )


def label(atom: Any) -> str:
    """What an atom is called in messages before it has a name: ``"C, atom 3"``, counted from 1."""
    return f"{atom.GetSymbol()}, atom {atom.GetIdx() + 1},"


def listed(words: Iterable[str], most: int = 4) -> str:
    """The first few of many labels."""
    found = [word.rstrip(",") for word in words]
    return "; ".join(found[:most]) + (f" and {len(found) - most} more" if len(found) > most else "")
