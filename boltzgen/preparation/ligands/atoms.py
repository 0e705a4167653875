"""RDKit's molecule as OpenMM's topology: one residue, every atom with a name of its own."""

from collections import Counter
from typing import Any

from openmm import app

RESIDUE = "LIG"


def topology_of(mol: Any) -> app.Topology:
    """Atoms and bonds of a molecule with all its hydrogens; names are elements and numbers, C1, C2, H1."""
    topology, count = app.Topology(), Counter[str]()
    residue = topology.addResidue(RESIDUE, topology.addChain("A"), id="1")
    atoms = []
    for atom in mol.GetAtoms():
        symbol = atom.GetSymbol()
        count[symbol] += 1
        element = app.element.get_by_symbol(symbol)
        atoms.append(topology.addAtom(f"{symbol.upper()}{count[symbol]}", element, residue))
    for bond in mol.GetBonds():
        topology.addBond(atoms[bond.GetBeginAtomIdx()], atoms[bond.GetEndAtomIdx()])
    return topology
