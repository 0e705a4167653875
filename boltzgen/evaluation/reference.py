"""A reference ensemble: what an independent simulation says about a system, with its own error."""

import math
import os
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from boltzgen import units
from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.coordinates.names import coordinate_names
from boltzgen.evaluation import reference_file
from boltzgen.evaluation.tally import (
    Surface,
    Tally,
    state_bins,
    state_name,
    surface_kinds,
    surface_name,
)
from boltzgen.free_energy.histograms import Axis, Histogram, walker_groups
from boltzgen.molecule.basins import Basin
from boltzgen.molecule.graph import Quadruple
from boltzgen.molecule.states import BASINS
from boltzgen.molecule.system import System
from boltzgen.weights import normalized_weights

#: A reference's standard file name in its system's folder.
REFERENCE = "reference.h5"


@dataclass(frozen=True, eq=False)
class Reference:
    """Configurations of equal weight, and histograms with errors of everything the simulation visited.

    Attributes:
        system, fingerprint: name and `System.fingerprint`.
        temperature: in K.
        domain, basins, regions, torsions: of the system; the density is that of the domain.
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
        surfaces: Ramachandran tables, every pair with each of `tally.SURFACE_BINS`.
        states: names and shares of the states of each residue with regions and of each named torsion.
    """

    system: str
    fingerprint: str
    temperature: float
    domain: dict[str, str]
    basins: tuple[Basin, ...]
    regions: dict[str, tuple[Basin, ...]]
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
    states: dict[str, tuple[tuple[str, ...], Histogram]]

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
        kelvin = system.temperature if temperature is None else units.kelvin(temperature)
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
            regions=system.regions,
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
                Surface.from_histogram(pair, n_bins, histograms[surface_name(pair, n_bins)])
                for pair, n_bins in surface_kinds(system)
            ),
            states={
                name: (states.names, histograms[state_name(name)])
                for name, states in system.states.items()
                if name != BASINS
            },
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the reference as plain HDF5, at once or not at all.

        Raises:
            OSError: the file cannot be written.
        """
        reference_file.write(Path(path), {field.name: getattr(self, field.name) for field in fields(self)})

    @classmethod
    def load(cls, path: str | os.PathLike[str], system: System | None = None) -> Self:
        """Read a reference file, and check that it belongs to `system` if one is given.

        With a system, everything has the system's names. Basins, states and coordinates that the file does
        not hold as the system has them (they were changed since, or the file is of an earlier version) are
        counted in the configurations that it holds, which are fewer than the frames.

        Raises:
            FileNotFoundError: no such file.
            ValueError: not a whole reference file, or one of another system, force field or domain.
        """
        reference = cls(**reference_file.read(Path(path)))
        if system is not None and reference.fingerprint != system.fingerprint:
            raise ValueError(
                f"{path} is a reference of another system than {system.name!r} (it says "
                f"{reference.system!r}); force field or domain differ: give the reference that was made for "
                "this system"
            )
        return reference if system is None else reference._named_by(system)

    def _named_by(self, system: System) -> Self:
        """The same reference with a system's names, and its states counted where they are not held."""
        own = {atoms: name for name, atoms in system.torsions.items()}
        names = {old: own.get(atoms, old) for old, atoms in self.torsions.items()}
        held = {names.get(name, name): states for name, states in self.states.items()}
        kept = {
            name: held[name]
            for name, states in system.states.items()
            if name in held
            and held[name][0] == states.names
            and system.regions.get(name) == self.regions.get(name)
        }
        populations = self.populations if system.basins == self.basins else None
        if kept.keys() != system.states.keys() - {BASINS} or (populations is None and system.basins):
            counted = _count(system, self.x, self.walker)
            populations = populations or counted.pop(BASINS, None)
            kept = {name: kept.get(name, (system.states[name].names, counted[name])) for name in counted}
        return replace(
            self,
            basins=system.basins,
            regions=system.regions,
            torsions=dict(system.torsions),
            populations=populations,
            marginals=self._marginals_of(system),
            surfaces=tuple(
                replace(surface, pair=(names[surface.pair[0]], names[surface.pair[1]]))
                for surface in self.surfaces
            ),
            states={name: kept[name] for name in system.states if name != BASINS},
        )

    def _marginals_of(self, system: System) -> dict[str, tuple[Axis, Histogram]]:
        """Those of the system's coordinates.

        Earlier versions had others for rings and for nitrogens that invert. Elsewhere only names have
        changed.
        """
        coordinates = coordinate_names(MolecularCoordinates(system), system)
        if list(self.marginals) != coordinates and (system.graph.ring_bonds() or system.domain.inverting):
            tally = Tally(system, self.x, self.u, np.full(len(self), 1 / len(self)))
            sums = tally.add(self.x, self.u, walker_groups(self.walker.numpy()))
            return {axis.name: (axis, Histogram.normalised(sums[axis.name])) for axis in tally.axes}
        return {
            name: (replace(axis, name=name), shares)
            for name, (axis, shares) in zip(coordinates, self.marginals.values(), strict=True)
        }

    @property
    def doubt(self) -> str:
        """Why the reference itself may be wrong: what its simulation says of its own stationarity.

        Empty if that is fine, or if the metadata say nothing of it.
        """
        test = self.metadata.get("stationarity")
        if not isinstance(test, dict) or test.get("stationary", True):
            return ""
        return str(test.get("text", "its simulation is not stationary"))


def reference_path(system: System) -> Path:
    """Where a system's own reference lies; raises FileNotFoundError if it has none."""
    path = None if system.folder is None else system.folder / REFERENCE
    if path is None or not path.is_file():
        raise FileNotFoundError(
            f"{system.name} has no {REFERENCE} of its own; give one as `reference`, or make it by a "
            "simulation (`boltzgen.simulate`)"
        )
    return path


def _count(system: System, x: Tensor, walker: Tensor) -> dict[str, Histogram]:
    """Shares of all states among configurations of equal weight."""
    group, bins = walker_groups(walker.numpy()), state_bins(system, x)
    found = {}
    for name in system.states:
        index, n = bins[state_name(name)]
        sums = np.bincount(group * n + index, minlength=(int(group.max()) + 1) * n).reshape(-1, n)
        found[name] = Histogram.normalised(sums.astype(np.float64))
    return found


def _systematic(weights: np.ndarray, n: int, seed: int) -> Tensor:
    """Indices (at most n,) in ascending order, each drawn floor or ceil of n w_i times.

    Systematic resampling (Carpenter, Clifford and Fearnhead, 1999).
    """
    share = weights / weights.sum()
    n = max(1, min(n, math.floor(1.0 / float(np.square(share).sum()) + 1e-9)))
    points = (np.arange(n) + np.random.default_rng(seed).random()) / n
    cumulative = np.cumsum(share)
    return torch.from_numpy(np.searchsorted(cumulative / cumulative[-1], points, side="right"))
