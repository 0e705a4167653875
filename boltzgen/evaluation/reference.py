"""A reference ensemble: what an independent simulation says about a system at one temperature on its domain,
with its own error.
"""

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from boltzgen import units
from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.coordinates.names import coordinate_names, coordinate_units, coordinate_values
from boltzgen.free_energy.histograms import Axis, Histogram, angle_bins, walker_groups
from boltzgen.geometry import dihedrals
from boltzgen.molecule.basins import Basin, assign_basins
from boltzgen.molecule.graph import Quadruple, backbone_pairs
from boltzgen.molecule.system import System
from boltzgen.weights import normalized_weights

#: A reference's standard file name in its system's folder.
REFERENCE = "reference.h5"
#: Bins along each axis of the Ramachandran tables: FAB's and TA-BG's conventions.
SURFACE_BINS = (64, 100)
MARGINAL_BINS = 72
ENERGY_BINS = 202
_CHUNK = 8192
_N_FOR_AXES = 100_000


@dataclass(frozen=True, eq=False)
class Surface:
    """Shares of the bins over one (phi, psi) pair of torsions, (n_bins, n_bins) with phi first, from all
    walkers and from either half of them.

    Attributes:
        pair: names of the two torsions.
        probability: sums to one.
        halves: (2, n_bins, n_bins), each from every other group of walkers.
        n_effective: how many independent draws would scatter as the walkers do; see
            `histograms.effective_count`.
    """

    pair: tuple[str, str]
    probability: np.ndarray
    halves: np.ndarray
    n_effective: float


@dataclass(frozen=True, eq=False)
class Reference:
    """Configurations of equal weight, and histograms with errors of everything the simulation visited.

    Attributes:
        system, fingerprint: name and `System.fingerprint`.
        temperature: in K.
        domain, basins, torsions: of the system; the density is that of the domain.
        metadata: how it was made (command, seed, hardware, ...), anything that JSON can hold.
        n_frames: frames that the histograms were made from.
        fraction_outside: weight of the frames that lay outside the domain, whatever their labelling; they are
            left out.
        x: positions, float32 (n, n_atoms, 3) in nm, in the labelling of `MolecularCoordinates(system)`.
        u: reduced energies, float64 (n,) in kT.
        walker: which independent walker each configuration came from, int64 (n,).
        populations: shares of the basins, in order, and of what lies in none of them.
        marginals: histogram of each internal coordinate by name (`coordinates.names`), with its axis.
        energy: histogram of u, with its axis.
        surfaces: Ramachandran tables, every pair with each of `SURFACE_BINS`.
    """

    system: str
    fingerprint: str
    temperature: float
    domain: dict[str, str]
    basins: tuple[Basin, ...]
    torsions: dict[str, Quadruple]
    metadata: dict[str, Any]
    n_frames: int
    fraction_outside: float
    x: Tensor
    u: Tensor
    walker: Tensor
    populations: Histogram | None
    marginals: dict[str, tuple[Axis, Histogram]]
    energy: tuple[Axis, Histogram]
    surfaces: tuple[Surface, ...]

    def __len__(self) -> int:
        return len(self.x)

    @classmethod
    def from_frames(
        cls,
        system: System,
        x: Tensor,
        u: Tensor,
        log_w: Tensor,
        walker: Tensor,
        *,
        temperature: Any = None,
        metadata: dict[str, Any] | None = None,
        n_configurations: int = 5000,
        seed: int = 0,
    ) -> Self:
        """Build a reference from weighted, correlated frames.

        Errors are those of a jackknife over walkers, which must be independent of each other; weights are
        taken as given. Frames are put into the domain's labelling, and those outside the domain for another
        reason are left out. The configurations kept are drawn systematically (one random offset, equal steps
        of weight) from the frames in their order: none is drawn twice unless its weight exceeds 1 / n.

        Args:
            system: the molecule.
            x: positions (n, n_atoms, 3) in nm, in any labelling of the methyls' hydrogens.
            u: reduced energies (n,) in kT at `temperature`.
            log_w: log-weights (n,), for instance from MBAR; equal ones for plain molecular dynamics.
            walker: which independent walker each frame came from, int (n,).
            temperature: in K (default: the system's).
            metadata: how it was made; anything that JSON can hold.
            n_configurations: how many to keep; fewer if the weights have a smaller effective sample size.
            seed: of the offset.

        Raises:
            ValueError: shapes differ, fewer than two walkers have weight, or none does.
        """
        n = len(x)
        if not (x.shape == (n, system.n_atoms, 3) and u.shape == log_w.shape == walker.shape == (n,)):
            shapes = [tuple(v.shape) for v in (x, u, log_w, walker)]
            raise ValueError(
                f"expected x (n, {system.n_atoms}, 3) in nm and u, log_w, walker (n,), got {shapes}"
            )
        x, u, log_w, walker = (v.detach().cpu() for v in (x, u, log_w, walker))
        if not torch.isfinite(u[log_w > -math.inf]).all():
            raise ValueError(
                "some frames with weight have an energy u that is not finite; give them log_w = -inf, or "
                "leave them out"
            )
        kelvin = (
            system.temperature if temperature is None else float(units.strip_units(temperature, "kelvin"))
        )
        units.kt(kelvin)
        tally = Tally(system, x, u, normalized_weights(log_w).numpy())
        sums = tally.add(x, u, walker_groups(walker.numpy()))
        kept = _systematic(tally.weights, n_configurations, seed)
        coordinates = MolecularCoordinates(system)
        histograms = {name: Histogram.normalised(s) for name, s in sums.items()}
        return cls(
            system=system.name,
            fingerprint=system.fingerprint,
            temperature=kelvin,
            domain=system.domain.model_dump(),
            basins=system.basins,
            torsions=dict(system.torsions),
            metadata=dict(metadata or {}),
            n_frames=n,
            fraction_outside=tally.fraction_outside,
            x=coordinates.canonical(x[kept]).float(),
            u=u[kept].double(),
            walker=walker[kept].long(),
            populations=histograms.get("basins"),
            marginals={a.name: (a, histograms[a.name]) for a in tally.axes},
            energy=(tally.energy_axis, histograms["energy"]),
            surfaces=tuple(
                _surface(pair, n_bins, histograms[surface_name(pair, n_bins)])
                for pair, n_bins in surface_kinds(system)
            ),
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the reference as plain HDF5, at once or not at all."""
        from boltzgen.evaluation.reference_file import save

        save(self, Path(path))

    @classmethod
    def load(cls, path: str | os.PathLike[str], system: System | None = None) -> "Reference":
        """Read a reference file, and check that it belongs to `system` if one is given.

        Raises:
            FileNotFoundError: no such file.
            ValueError: not a whole reference file, or one of another system, force field or domain.
        """
        from boltzgen.evaluation.reference_file import load

        return load(Path(path), system)


def reference_path(system: System) -> Path:
    """Where a system's own reference lies; raises FileNotFoundError if it has none."""
    path = None if system.folder is None else system.folder / REFERENCE
    if path is None or not path.is_file():
        raise FileNotFoundError(
            f"{system.name} has no {REFERENCE} of its own; give one with --reference FILE, or make it with "
            "`boltzgen simulate`"
        )
    return path


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
        names, kinds = (
            coordinate_names(self.coordinates, system.graph.elements, system.torsions),
            coordinate_units(self.coordinates),
        )
        circles = self.coordinates.n_periodic
        used = seen > 0
        self.axes = [Axis.circle(name, MARGINAL_BINS) for name in names[:circles]]
        self.axes += [
            Axis.line(name, unit, values[used, k], seen[used], MARGINAL_BINS)
            for k, (name, unit) in enumerate(zip(names, kinds, strict=True))
            if k >= circles
        ]
        self.energy_axis = Axis.line(
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
    """Bin of each conformation x (n, n_atoms, 3) in every table but the energy's, with the number of bins,
    and whether it is in the domain.
    """
    values, inside = coordinate_values(coordinates, x)
    bins = {a.name: (a.bins(values[:, k]), a.n_bins) for k, a in enumerate(axes)}
    used = {"phi", "psi"}.union(*backbone_pairs(system.torsions))
    torsions = {
        name: dihedrals(x, atoms).numpy(force=True) for name, atoms in system.torsions.items() if name in used
    }
    for pair, n_bins in surface_kinds(system):
        phi, psi = (angle_bins(torsions[name], n_bins) for name in pair)
        bins[surface_name(pair, n_bins)] = (phi * n_bins + psi, n_bins**2)
    if system.basins and {"phi", "psi"} <= torsions.keys():
        labels = assign_basins(torsions["phi"], torsions["psi"], system.basins)
        bins["basins"] = (np.where(labels < 0, len(system.basins), labels), len(system.basins) + 1)
    return bins, inside


def surface_kinds(system: System) -> list[tuple[tuple[str, str], int]]:
    """Every backbone pair of torsions with each number of bins."""
    return [(pair, n_bins) for pair in backbone_pairs(system.torsions) for n_bins in SURFACE_BINS]


def surface_name(pair: tuple[str, str], n_bins: int) -> str:
    """Name of a Ramachandran table among the others."""
    return f"{pair[0]}/{pair[1]}/{n_bins}"


def _surface(pair: tuple[str, str], n_bins: int, histogram: Histogram) -> Surface:
    shape = (n_bins, n_bins)
    return Surface(
        pair, histogram.probability.reshape(shape), histogram.halves.reshape(2, *shape), histogram.n_effective
    )


def _systematic(weights: np.ndarray, n: int, seed: int) -> Tensor:
    """Indices (at most n,) in ascending order, each drawn floor or ceil of n w_i times (systematic
    resampling, Carpenter et al. 1999).
    """
    share = weights / weights.sum()
    n = max(1, min(n, math.floor(1.0 / float(np.square(share).sum()) + 1e-9)))
    points = (np.arange(n) + np.random.default_rng(seed).random()) / n
    cumulative = np.cumsum(share)
    return torch.from_numpy(np.searchsorted(cumulative / cumulative[-1], points, side="right"))
