"""Rings of a small molecule that have several shapes, by RDKit's conformers, but no coordinates for them."""

from typing import Any

import numpy as np
import torch

from boltzgen.geometry import dihedrals
from boltzgen.molecule.graph import MolecularGraph
from boltzgen.molecule.puckers import puckers

#: Degrees. Two shapes of a ring differ by more than this in one of its torsions.
_DIFFERENT = 30.0


def stiff_rings(mol: Any, graph: MolecularGraph, conformers: np.ndarray) -> dict[tuple[int, ...], int]:
    """How many shapes each ring of five to seven atoms without `puckers` takes, where it is more than one.

    Args:
        mol: RDKit's molecule with all hydrogens.
        graph: its elements and bonds.
        conformers: (m, n_atoms, 3) in nm, each at a minimum of some energy.

    Returns:
        Atoms of the ring, in order: number of shapes among the conformers.
    """
    found, turning = {}, puckers(graph)
    for ring in mol.GetRingInfo().AtomRings():
        bonds = {frozenset((ring[k - 1], ring[k])) for k in range(len(ring))}
        if not 5 <= len(ring) <= 7 or bonds.intersection(turning):
            continue
        quadruples = [tuple(np.roll(ring, -k)[:4].tolist()) for k in range(len(ring))]
        x = torch.from_numpy(np.ascontiguousarray(conformers))
        angles = torch.stack([dihedrals(x, q) for q in quadruples], -1).rad2deg().numpy()
        shapes: list[np.ndarray] = []
        for values in angles:
            if all(np.abs((values - other + 180) % 360 - 180).max() > _DIFFERENT for other in shapes):
                shapes.append(values)
        if len(shapes) > 1:
            found[tuple(ring)] = len(shapes)
    return found
