"""Backbone torsions of samples: which phi belongs to which psi, and their values."""

from collections.abc import Mapping

import numpy as np

from boltzgen.perception import Quadruple
from boltzgen.reweighting import WeightedSamples


def backbone_pairs(torsions: Mapping[str, Quadruple]) -> list[tuple[str, str]]:
    """Names of the (phi, psi) of each residue that has both: the phi C-N-CA-C and the psi N-CA-C-N that share N-CA-C.

    >>> backbone_pairs({"phi": (4, 6, 8, 14), "psi": (6, 8, 14, 16)})
    [('phi', 'psi')]
    """
    psi_of = {atoms[:3]: name for name, atoms in torsions.items() if name.startswith("psi")}
    return [(name, psi_of[atoms[1:]]) for name, atoms in torsions.items() if name.startswith("phi") and atoms[1:] in psi_of]


def torsion_values(samples: WeightedSamples, names: tuple[str, ...]) -> np.ndarray:
    """The named torsions of every conformation, float32 (n, len(names)) in (-pi, pi] radians."""
    return np.stack([samples.torsion(name).numpy(force=True) for name in names], axis=-1)
