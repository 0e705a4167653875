"""Weighted histograms of torsions: densities of one, and the Ramachandran free-energy surface of two."""

from dataclasses import dataclass

import numpy as np

from boltzgen.free_energy.histograms import angle_bins

#: Bins along an axis for fewer effective draws than these.
_BINS = ((300.0, 24), (3e3, 36), (3e4, 60), (3e5, 90))


@dataclass(frozen=True)
class Ramachandran:
    """A weighted histogram over the torus (phi, psi).

    Attributes:
        probability: of each bin, (n_bins, n_bins), first axis phi; sums to one.
        counts: draws with a weight above zero in each bin, int (n_bins, n_bins).
        n_effective: effective number of draws, (sum w)^2 / sum w^2.
    """

    probability: np.ndarray
    counts: np.ndarray
    n_effective: float

    @property
    def centres(self) -> np.ndarray:
        """Centres of the bins along either axis, (n_bins,) in degrees."""
        return bin_centres(len(self.probability))

    @property
    def free_energy(self) -> np.ndarray:
        """-ln p relative to the most probable bin, (n_bins, n_bins) in kT; inf where no draw fell."""
        with np.errstate(divide="ignore"):
            return np.log(self.probability.max()) - np.log(self.probability)

    @property
    def deepest(self) -> float:
        """Free energy of the rarest bin with draws [kT]."""
        free_energy = self.free_energy
        return float(free_energy[np.isfinite(free_energy)].max())


def ramachandran(phi: np.ndarray, psi: np.ndarray, weights: np.ndarray, n_bins: int = 72) -> Ramachandran:
    """Histogram of phi and psi (n,) in radians under weights (n,), periodic in both.

    Raises:
        ValueError: no weight is positive.
    """
    if not weights.sum() > 0:
        raise ValueError(
            "expected weights with a positive sum, got only zeros: no draw lies where the target's energy "
            "is finite"
        )
    index = angle_bins(phi, n_bins) * n_bins + angle_bins(psi, n_bins)
    probability = np.bincount(index, weights, minlength=n_bins**2) / weights.sum()
    counts = np.bincount(index[weights > 0], minlength=n_bins**2)
    n_effective = float(weights.sum() ** 2 / np.square(weights).sum())
    return Ramachandran(probability.reshape(n_bins, n_bins), counts.reshape(n_bins, n_bins), n_effective)


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


def suitable_bins(n_effective: float) -> int:
    """Bins along each axis that `n_effective` draws can fill.

    They are 15 degrees wide up to 300 draws, 10 up to 3e3, 6 up to 3e4, 4 up to 3e5, and 3 beyond.
    """
    return next((bins for most, bins in _BINS if n_effective < most), 120)
