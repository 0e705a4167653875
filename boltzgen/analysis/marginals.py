"""Densities of single torsions on the circle."""

from dataclasses import dataclass

import numpy as np

from boltzgen.free_energy.histograms import angle_bins


@dataclass(frozen=True)
class TorsionDensity:
    """Histogram density of a torsion over -180..180 degrees.

    Attributes:
        centres: of the bins, (n_bins,) in degrees.
        weighted: density of the target, (n_bins,) per degree: the sum over bins times the bin width is one.
        unweighted: density of the draws that have any weight, as the generator made them, (n_bins,) per
            degree.
    """

    centres: np.ndarray
    weighted: np.ndarray
    unweighted: np.ndarray


def torsion_density(angle: np.ndarray, weights: np.ndarray, n_bins: int = 90) -> TorsionDensity:
    """Density of a torsion (n,) in radians under weights (n,) and without them."""
    index = angle_bins(angle, n_bins)
    width = 360.0 / n_bins
    drawn = weights > 0
    weighted = np.bincount(index, weights, minlength=n_bins)
    unweighted = np.bincount(index[drawn], minlength=n_bins)
    return TorsionDensity(
        bin_centres(n_bins), weighted / weighted.sum() / width, unweighted / unweighted.sum() / width
    )


def bin_centres(n_bins: int) -> np.ndarray:
    """Centres of n_bins equal bins over -180..180, in degrees."""
    return -180.0 + (np.arange(n_bins) + 0.5) * 360.0 / n_bins
