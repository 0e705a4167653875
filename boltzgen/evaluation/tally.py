"""Weighted frames counted into tables: coordinates, energy, states and Ramachandran surfaces."""

import math
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.coordinates.names import coordinate_names, coordinate_units, coordinate_values
from boltzgen.free_energy.histograms import Axis, Histogram, angle_bins
from boltzgen.geometry import dihedrals
from boltzgen.molecule.graph import backbone_pairs
from boltzgen.molecule.states import BASINS
from boltzgen.molecule.system import System

#: Bins along each axis of the Ramachandran tables: FAB's and TA-BG's conventions.
SURFACE_BINS = (64, 100)
MARGINAL_BINS = 72
ENERGY_BINS = 202
_CHUNK = 8192
_N_FOR_AXES = 100_000


@dataclass(frozen=True, eq=False)
class Surface:
    """Shares of the bins over one (phi, psi) pair of torsions, from all walkers and from either half of them.

    Attributes:
        pair: names of the two torsions.
        probability: (n_bins, n_bins), phi first; sums to one.
        halves: (2, n_bins, n_bins), each from every other group of walkers.
        n_effective: how many independent draws would scatter as the walkers do; see
            `histograms.effective_count`.
    """

    pair: tuple[str, str]
    probability: np.ndarray
    halves: np.ndarray
    n_effective: float

    @classmethod
    def from_histogram(cls, pair: tuple[str, str], n_bins: int, histogram: Histogram) -> "Surface":
        """Of a histogram over n_bins^2 bins, phi first."""
        shape = (n_bins, n_bins)
        return cls(
            pair,
            histogram.probability.reshape(shape),
            histogram.halves.reshape(2, *shape),
            histogram.n_effective,
        )


class Tally:
    """Counts weighted frames into the bins of every table, in chunks.

    Attributes:
        axes: of the internal coordinates.
        weights: of the frames, zero outside the domain (after `add`).
        fraction_outside: of the weight (after `add`).
    """

    def __init__(self, system: System, x: Tensor, u: Tensor, weights: np.ndarray) -> None:
        self.system = system
        self.coordinates = MolecularCoordinates(system)
        self.weights = weights
        self.fraction_outside = 0.0
        chosen = slice(0, None, math.ceil(len(x) / _N_FOR_AXES))
        values, inside = coordinate_values(self.coordinates, x[chosen])
        seen = np.where(inside, weights[chosen], 0.0)
        if not seen.sum() > 0:
            raise ValueError(
                "no frame with any weight lies inside the domain of the system; check the order of the "
                "atoms and the units of x (nm)"
            )
        names = coordinate_names(self.coordinates, system)
        units = coordinate_units(self.coordinates)
        n_periodic = self.coordinates.n_periodic
        used = seen > 0
        self.axes = [Axis.periodic(name, MARGINAL_BINS) for name in names[:n_periodic]]
        self.axes += [
            Axis.spanning(name, unit, values[used, k], seen[used], MARGINAL_BINS)
            for k, (name, unit) in enumerate(zip(names, units, strict=True))
            if k >= n_periodic
        ]
        self.energy_axis = Axis.spanning(
            "energy", "kT", u[chosen].numpy(force=True)[used], seen[used], ENERGY_BINS, width=6.0
        )

    def add(self, x: Tensor, u: Tensor, group: np.ndarray) -> dict[str, np.ndarray]:
        """Sums of weights (n_groups, n_bins) of each table."""
        n_groups = int(group.max()) + 1
        sums: dict[str, np.ndarray] = {}
        self.weights, outside = self.weights.copy(), 0.0
        for start in range(0, len(x), _CHUNK):
            part = slice(start, start + _CHUNK)
            bins, inside = table_bins(self.system, self.coordinates, self.axes, x[part])
            bins["energy"] = (self.energy_axis.bins(u[part].numpy(force=True)), self.energy_axis.n_bins)
            outside += float(self.weights[part][~inside].sum())
            self.weights[part] *= inside
            for name, (index, n_bins) in bins.items():
                counted = np.bincount(
                    group[part] * n_bins + index, self.weights[part], minlength=n_groups * n_bins
                ).reshape(n_groups, n_bins)
                sums[name] = sums[name] + counted if name in sums else counted
        self.fraction_outside = outside
        return sums


def table_bins(
    system: System, coordinates: MolecularCoordinates, axes: list[Axis], x: Tensor
) -> tuple[dict[str, tuple[np.ndarray, int]], np.ndarray]:
    """Bins of conformations x (n, n_atoms, 3) in every table but the energy's.

    Returns:
        Bin of each conformation (n,) and number of bins, by the table's name; and whether each conformation
        is in the domain, bool (n,).
    """
    values, inside = coordinate_values(coordinates, x)
    bins = {a.name: (a.bins(values[:, k]), a.n_bins) for k, a in enumerate(axes)}
    used = {name for pair in backbone_pairs(system.torsions) for name in pair}
    torsions = {name: dihedrals(x, system.torsions[name]).numpy(force=True) for name in used}
    for pair, n_bins in surface_kinds(system):
        phi, psi = (angle_bins(torsions[name], n_bins) for name in pair)
        bins[surface_name(pair, n_bins)] = (phi * n_bins + psi, n_bins**2)
    return bins | state_bins(system, x), inside


def state_bins(system: System, x: Tensor) -> dict[str, tuple[np.ndarray, int]]:
    """State of each conformation x (n, n_atoms, 3), and how many states there are, by `state_name`.

    Of the basins there is one more, of what lies in none of them.
    """
    found = {}
    for name, states in system.states.items():
        labels, n = states.labels(x).astype(np.int64), len(states.names)
        # Outside every region of a residue is nothing but what is not a number.
        found[state_name(name)] = (
            np.where(labels < 0, n if name == BASINS else 0, labels),
            n + (name == BASINS),
        )
    return found


def state_name(name: str) -> str:
    """Name of the table of a torsion's or a residue's states, or of the basins, among the others."""
    return "basins" if name == BASINS else f"states/{name}"


def surface_kinds(system: System) -> list[tuple[tuple[str, str], int]]:
    """Every backbone pair of torsions with each number of bins."""
    return [(pair, n_bins) for pair in backbone_pairs(system.torsions) for n_bins in SURFACE_BINS]


def surface_name(pair: tuple[str, str], n_bins: int) -> str:
    """Name of a Ramachandran table among the others."""
    return f"{pair[0]}/{pair[1]}/{n_bins}"
