"""Backbone torsions of samples."""

import numpy as np

from boltzgen.samples.weighted_samples import WeightedSamples


def torsion_values(samples: WeightedSamples, names: tuple[str, ...]) -> np.ndarray:
    """The named torsions of every conformation, float32 (n, len(names)) in (-pi, pi] radians."""
    return np.stack([samples.torsion(name).numpy(force=True) for name in names], axis=-1)
