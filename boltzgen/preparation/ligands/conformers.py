"""Structures of a small molecule by RDKit's distance geometry (ETKDG, Wang et al. 2020, version 3)."""

from typing import Any

import numpy as np

from boltzgen.preparation.ligands.extra import silence
from boltzgen.preparation.ligands.reading import ANGSTROM

#: Conformers of which the one of the lowest MMFF energy is the structure.
N_CONFORMERS = 20
_SEED = 20_240_913
_MOST_ITERATIONS = 2000


def conformers(mol: Any, n: int = N_CONFORMERS, *, seed: int = _SEED) -> np.ndarray:
    """Conformers (m, n_atoms, 3) in nm, m <= n, those of the lowest energy first.

    ETKDGv3, minimised by MMFF94s where that has parameters; the order is then that of its energies.

    Args:
        mol: RDKit's molecule with all hydrogens.
        n: how many to try.
        seed: the same gives the same conformers.

    Raises:
        ValueError: none could be made.
    """
    from rdkit.Chem import AllChem, rdDistGeom

    own = type(mol)(mol)
    parameters = rdDistGeom.ETKDGv3()
    parameters.randomSeed = seed
    parameters.useSmallRingTorsions = True
    parameters.numThreads = 1
    with silence():
        ids = list(rdDistGeom.EmbedMultipleConfs(own, n, parameters))
        if not ids:
            parameters.useRandomCoords = True
            ids = list(rdDistGeom.EmbedMultipleConfs(own, n, parameters))
        if not ids:
            raise ValueError(
                "RDKit finds no three-dimensional structure: check the stereochemistry of rings, or give an "
                "SDF file with coordinates"
            )
        energies = np.zeros(len(ids))
        if AllChem.MMFFHasAllMoleculeParams(own):
            done = AllChem.MMFFOptimizeMoleculeConfs(
                own, numThreads=1, maxIters=_MOST_ITERATIONS, mmffVariant="MMFF94s"
            )
            energies = np.array([energy for _, energy in done])
    order = np.argsort(energies, kind="stable")
    return ANGSTROM * np.array([own.GetConformer(ids[k]).GetPositions() for k in order])


def hydrogens_placed(mol: Any, positions: np.ndarray) -> tuple[Any, np.ndarray]:
    """A molecule with all hydrogens, and positions (n_atoms, 3) in nm: its own atoms', and what was added."""
    from rdkit import Chem
    from rdkit.Geometry import Point3D

    own = Chem.Mol(mol)
    own.RemoveAllConformers()
    conformer = Chem.Conformer(own.GetNumAtoms())
    for k, r in enumerate(positions / ANGSTROM):
        conformer.SetAtomPosition(k, Point3D(*map(float, r)))
    own.AddConformer(conformer)
    whole = Chem.AddHs(own, addCoords=True)
    return whole, ANGSTROM * np.array(whole.GetConformer().GetPositions())
