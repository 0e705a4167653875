"""How large a molecule is: radius of gyration and end-to-end distance, their weighted means and free-energy
profiles.
"""

import csv
import math
from dataclasses import dataclass
from pathlib import Path

import mdtraj
import numpy as np

from boltzgen.molecule.torsions import alpha_carbons

#: Bins of a profile, and how many standard deviations about the mean it covers at most.
_N_BINS = 50
_WIDTH = 5.0


def size_values(x: np.ndarray, topology: mdtraj.Topology) -> dict[str, np.ndarray]:
    """Sizes of conformations x (n, n_atoms, 3) in nm, each float32 (n,) in nm.

    `radius_of_gyration`: root of the mass-weighted mean square distance from the centre of mass, with the
    elements' masses. `end_to_end`: distance of the first amino acid's alpha carbon from the last one's, where
    there are two amino acids or more.
    """
    found = {
        "radius_of_gyration": radius_of_gyration(x, np.array([atom.element.mass for atom in topology.atoms]))
    }
    ends = list(alpha_carbons(topology).values())
    if len(ends) >= 2:
        found["end_to_end"] = mdtraj.compute_distances(
            mdtraj.Trajectory(x, topology), [(ends[0], ends[-1])], periodic=False
        )[:, 0]
    return found


def radius_of_gyration(x: np.ndarray, masses: np.ndarray) -> np.ndarray:
    """Root of sum m |r - c|^2 / sum m with c the centre of mass, float32 (n,), of positions x (n, n_atoms, 3)
    and masses (n_atoms,).

    `mdtraj.compute_rg` takes c to be the mean position instead, even where masses are given.
    """
    share = masses / masses.sum()
    r = x.astype(np.float64)
    r -= np.einsum("nak,a->nk", r, share)[:, None]
    return np.sqrt(np.einsum("nak,nak,a->n", r, r, share)).astype(np.float32)


@dataclass(frozen=True)
class Profile:
    """A weighted histogram of a length.

    Attributes:
        edges: of equal bins, (n_bins + 1,) in nm.
        probability: share of the whole weight in each bin, (n_bins,).
        error: standard error of each share, (n_bins,).
        counts: draws with a weight above zero in each bin, int (n_bins,).
    """

    edges: np.ndarray
    probability: np.ndarray
    error: np.ndarray
    counts: np.ndarray

    @property
    def centres(self) -> np.ndarray:
        """Centres of the bins, (n_bins,) in nm."""
        return (self.edges[1:] + self.edges[:-1]) / 2

    @property
    def free_energy(self) -> np.ndarray:
        """-ln p relative to the most probable bin, (n_bins,) in kT; inf where no draw fell."""
        with np.errstate(divide="ignore"):
            return np.log(self.probability.max()) - np.log(self.probability)

    @property
    def free_energy_error(self) -> np.ndarray:
        """Standard error of -ln p, (n_bins,) in kT: that of p over p; inf where no draw fell."""
        return np.divide(
            self.error, self.probability, out=np.full_like(self.error, np.inf), where=self.probability > 0
        )


def profile(values: np.ndarray, weights: np.ndarray, n_bins: int = _N_BINS) -> Profile:
    """Histogram of values (n,) in nm under weights (n,) that sum to one, over all draws with weight within 5
    standard deviations of the mean.

    A share's error is that of a ratio, p_err^2 = sum w^2 (1[inside] - p)^2.
    """
    used = weights > 0
    f, w = values[used].astype(np.float64), weights[used]
    mean = float(w @ f)
    reach = max(_WIDTH * math.sqrt(float(w @ np.square(f - mean))), 1e-4)
    edges = np.linspace(max(f.min(), mean - reach) - 1e-6, min(f.max(), mean + reach) + 1e-6, n_bins + 1)
    p, square = (np.histogram(f, edges, weights=v)[0] for v in (w, np.square(w)))
    error = np.sqrt(np.maximum(square * (1 - 2 * p) + np.square(w).sum() * p**2, 0.0))
    return Profile(edges, p, error, np.histogram(f, edges)[0])


def save_profile(found: Profile, name: str, path: Path) -> None:
    """One row for each bin, as CSV."""
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            [
                f"{name}_nm",
                "free_energy_kT",
                "free_energy_error_kT",
                "probability",
                "probability_error",
                "count",
            ]
        )
        columns = (found.centres, found.free_energy, found.free_energy_error, found.probability, found.error)
        for row, count in zip(np.stack(columns, axis=1), found.counts, strict=True):
            writer.writerow([*(f"{v:.8g}" for v in row), count])
