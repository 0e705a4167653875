"""The domain of a small molecule: what its bond orders and its structure say that the bonds alone do not."""

from typing import Any, Literal

import numpy as np

from boltzgen.molecule.graph import MolecularGraph
from boltzgen.molecule.puckers import may_invert
from boltzgen.molecule.system_file import Domain

#: |u . (v x w)| of the unit vectors to three neighbours, from which a centre counts as a pyramid: 0 in a
#: plane, 0.77 of a tetrahedron. A flatter nitrogen has both sides in one narrow coordinate.
FLAT = 0.15
#: The same of the nitrogens of amides and amidinium, which pass their plane more easily.
FLAT_AMIDE = 0.5
#: Elements that keep their side: they invert over some 100 kJ/mol.
_STABLE = frozenset({"S", "P"})


def domain_of(
    mol: Any, graph: MolecularGraph, positions: np.ndarray, amides: Literal["either", "trans"]
) -> Domain:
    """What keeps its side, and what takes both.

    Double bonds outside rings of up to seven atoms keep E or Z; three-coordinate sulfur and phosphorus keep
    their handedness; amines invert, but in rings that hold them on one side.

    Args:
        mol: RDKit's molecule with all hydrogens, its double bonds localised or aromatic.
        graph: its elements and bonds.
        positions: (n_atoms, 3) in nm, at a minimum of the energy.
        amides: "either", or "trans" where secondary amides are to stay so.
    """
    from rdkit import Chem

    double = []
    for bond in mol.GetBonds():
        ends = bond.GetBeginAtom(), bond.GetEndAtom()
        if bond.GetBondType() != Chem.BondType.DOUBLE or bond.GetIsAromatic() or _in_ring(bond):
            continue
        # =O and the like do not turn anything; cumulated ones (azides) are straight.
        straight = any(atom.GetHybridization() == Chem.HybridizationType.SP for atom in ends)
        if not straight and all(2 <= a.GetDegree() <= 3 and a.GetSymbol() in ("C", "N") for a in ends):
            double.append(sorted(atom.GetIdx() for atom in ends))
    of_amides = {i for i, *_ in mol.GetSubstructMatches(Chem.MolFromSmarts("[#7X3][#6X3]=[#8,#16,#7+]"))}
    pyramids, inverting = [], []
    for atom in mol.GetAtoms():
        if atom.GetDegree() != 3:
            continue
        if atom.GetSymbol() in _STABLE:
            pyramids.append(atom.GetIdx())
        elif (
            (atom.GetSymbol(), atom.GetFormalCharge()) == ("N", 0)
            and may_invert(graph, atom.GetIdx())
            and flatness(positions, atom) > (FLAT_AMIDE if atom.GetIdx() in of_amides else FLAT)
        ):
            inverting.append(atom.GetIdx())
    # A double bond that resonance shares with its neighbours turns: amidinium, guanidinium.
    turning = {
        frozenset(pair)
        for match in mol.GetSubstructMatches(Chem.MolFromSmarts("[#6X3](=[#7+])-[#7X3]"))
        for pair in ((match[0], match[1]), (match[0], match[2]))
    }
    return Domain(
        peptide_bonds=amides,
        double_bonds=[pair for pair in double if frozenset(pair) not in turning],
        pyramids=pyramids,
        inverting=inverting,
    )


def _in_ring(bond: Any) -> bool:
    from boltzgen.molecule.graph import LARGEST_RIGID_RING

    return any(bond.IsInRingSize(size) for size in range(3, LARGEST_RIGID_RING + 1))


def flatness(positions: np.ndarray, atom: Any) -> float:
    """|u . (v x w)| of the unit vectors to an atom's three neighbours."""
    centre = positions[atom.GetIdx()]
    u, v, w = (
        (positions[other.GetIdx()] - centre) / np.linalg.norm(positions[other.GetIdx()] - centre)
        for other in atom.GetNeighbors()
    )
    return float(abs(np.dot(u, np.cross(v, w))))
