"""Regions of (phi, psi) that every amino acid has: alphaR, beta, PPII, alphaL, C7ax.

Half-open [low, high) in degrees; they do not overlap.

| region | phi | psi |
|---|---|---|
| alphaR | -180, 0 | -100, 50 |
| beta | -180, -100 | 50, -100 (through 180) |
| PPII | -100, 0 | 50, -100 |
| alphaL | 0, 120 | -30, 120 |
| C7ax | 0, 120 | 120, -30 |
| other | the rest | |

phi < 0 is divided as by Jha, Colubri, Zaman, Koide, Sosnick and Freed, Biochemistry 44, 9691 (2005), in the
form that FitEnsemble gives it (Beauchamp, Pande and Das, Biophys. J. 106, 1381, 2014): C7eq is in PPII, C5 in
beta. phi > 0 is divided as in the shipped alanine dipeptides.

Glycine, and every amino acid whose alpha carbon is no stereocentre, has mirror images in place of alphaL,
C7ax and other: alphaL, beta' and PPII' where alphaR, beta and PPII have (-phi, -psi). So has a D amino acid.
The ring of proline keeps phi near -70 degrees: it has alphaR and PPII, at any phi < 0, and other.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from boltzgen.molecule.basins import OTHER, Basin
from boltzgen.molecule.graph import MolecularGraph, Quadruple, backbone_pairs

Box = tuple[tuple[float, float], tuple[float, float]]
_HELIX, _EXTENDED = (-100.0, 50.0), (50.0, -100.0)
RIGHT: dict[str, Box] = {
    "alphaR": ((-180.0, 0.0), _HELIX),
    "beta": ((-180.0, -100.0), _EXTENDED),
    "PPII": ((-100.0, 0.0), _EXTENDED),
}
LEFT: dict[str, Box] = {"alphaL": ((0.0, 120.0), (-30.0, 120.0)), "C7ax": ((0.0, 120.0), (120.0, -30.0))}
MIRRORED: dict[str, Box] = {
    "alphaL": ((0.0, 180.0), (-50.0, 100.0)),
    "beta'": ((100.0, 180.0), (100.0, -50.0)),
    "PPII'": ((0.0, 100.0), (100.0, -50.0)),
}
PROLINE: dict[str, Box] = {"alphaR": ((-180.0, 0.0), _HELIX), "PPII": ((-180.0, 0.0), _EXTENDED)}


def residue_regions(
    residues: Sequence[str],
    torsions: Mapping[str, Quadruple],
    graph: MolecularGraph,
    positions: np.ndarray,
    basins: Sequence[Basin] = (),
) -> dict[str, tuple[Basin, ...]]:
    """Regions of each amino acid with phi and psi, by its name.

    Args:
        residues: name of the residue of each atom: ``"ALA 2"``.
        torsions: the molecule's named ones.
        graph: its bonds.
        positions: (n_atoms, 3) in nm, which tell L from D.
        basins: the molecule's own; a residue whose phi or psi one of them names has no regions besides.
    """
    taken = {name for basin in basins for name in basin.intervals}
    return {
        residues[torsions[phi][2]]: _regions(phi, psi, _boxes(torsions[phi], graph, positions))
        for phi, psi in backbone_pairs(torsions)
        if not {phi, psi} & taken
    }


def _boxes(phi: Quadruple, graph: MolecularGraph, positions: np.ndarray) -> dict[str, Box]:
    _, nitrogen, alpha, carbonyl = phi
    if frozenset((nitrogen, alpha)) in graph.ring_bonds():
        return PROLINE
    side = [k for k in graph.neighbours[alpha] if k not in (nitrogen, carbonyl) and graph.elements[k] != "H"]
    if len(side) == 1 and alpha in graph.stereocentres():
        bonds = [positions[k] - positions[alpha] for k in (nitrogen, carbonyl, side[0])]
        if np.linalg.det(bonds) > 0:  # L
            return RIGHT | LEFT
    return RIGHT | MIRRORED


def _regions(phi: str, psi: str, boxes: Mapping[str, Box]) -> tuple[Basin, ...]:
    found = [Basin(name, **{phi: first, psi: second}) for name, (first, second) in boxes.items()]
    # With their mirror images the regions are everything.
    return (*found,) if boxes.keys() >= MIRRORED.keys() else (*found, Basin(OTHER))
