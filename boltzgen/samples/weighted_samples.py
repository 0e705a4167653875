"""Conformations with their importance weights, and the estimates that these give."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, Self

import mdtraj
import numpy as np
import torch
from torch import Tensor

from boltzgen.free_energy.populations import (
    BasinPopulation,
    FreeEnergyDifference,
    basin_populations,
    free_energy_difference,
)
from boltzgen.geometry import dihedrals
from boltzgen.molecule.basins import Basin
from boltzgen.molecule.graph import Quadruple
from boltzgen.molecule.states import Regions, Rotamer, States
from boltzgen.samples.estimates import Estimates
from boltzgen.weights import (
    Estimate,
    effective_sample_size,
    log_weights,
    log_z,
    normalized_weights,
    resampled_indices,
    sampling_efficiency,
    weighted_mean,
)


class Molecule(Protocol):
    """What samples need to know of their molecule: a `System`, or the header of a samples file."""

    @property
    def torsions(self) -> Mapping[str, Quadruple]:
        """Named torsions as quadruples of atoms."""

    @property
    def rotamers(self) -> Mapping[str, Rotamer]:
        """States of torsions that are counted by themselves, by the torsion's name."""

    @property
    def basins(self) -> Sequence[Basin]:
        """Named regions of the molecule's torsions."""

    @property
    def regions(self) -> Mapping[str, Sequence[Basin]]:
        """Regions of (phi, psi) of each amino acid, by its name."""

    @property
    def mdtraj_topology(self) -> mdtraj.Topology | None:
        """Atoms and bonds, if they are known."""


@dataclass(frozen=True, eq=False)
class WeightedSamples(Estimates):
    """Conformations drawn from q with their importance weights to the target.

    Attributes:
        x: positions, float32 (n, n_atoms, 3) in nm.
        u: reduced energies of the target, float64 (n,) in kT; non-finite outside the domain.
        log_q: log-density of each draw, float64 (n,).
        log_w: ``-u - log_q``, float64 (n,); -inf where u is not finite. `from_energies` computes it.
        system: the molecule, for torsions, basins and the topology; optional.

    Raises:
        ValueError: shapes do not agree.
    """

    x: Tensor
    u: Tensor
    log_q: Tensor
    log_w: Tensor
    system: Molecule | None = None

    def __post_init__(self) -> None:
        if self.x.dim() != 3 or self.x.shape[-1] != 3:
            raise ValueError(
                f"expected positions x of shape (n, n_atoms, 3) in nm, got {tuple(self.x.shape)}"
            )
        object.__setattr__(self, "x", self.x.detach().to(torch.float32))
        for name in ("u", "log_q", "log_w"):
            value = getattr(self, name)
            if value.shape != (len(self.x),):
                raise ValueError(
                    f"expected {name} of shape ({len(self.x)},), one value for each conformation, got "
                    f"{tuple(value.shape)}"
                )
            object.__setattr__(self, name, value.detach().to(torch.float64))

    @classmethod
    def from_energies(cls, x: Tensor, u: Tensor, log_q: Tensor, system: Molecule | None = None) -> Self:
        """Samples with ``log_w = -u - log_q``; see `log_weights`."""
        return cls(x, u, log_q, log_weights(u, log_q), system)

    @classmethod
    def concatenate(cls, parts: Iterable[Self]) -> Self:
        """One object from several, in order; the first one's `system`."""
        found = list(parts)
        if not found:
            raise ValueError("expected at least one WeightedSamples to concatenate, got none")
        x, u, log_q, log_w = (
            torch.cat([getattr(p, name) for p in found]) for name in ("x", "u", "log_q", "log_w")
        )
        return cls(x, u, log_q, log_w, found[0].system)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: slice | Tensor) -> "WeightedSamples":
        """The conformations of a slice, a boolean mask or an index tensor."""
        if not isinstance(index, slice | Tensor):
            raise TypeError(
                f"expected a slice or a tensor of indices, got {type(index).__name__}; for one conformation "
                "use samples[i : i + 1]"
            )
        return WeightedSamples(
            self.x[index], self.u[index], self.log_q[index], self.log_w[index], self.system
        )

    @property
    def effective_sample_size(self) -> float:
        """Kish's effective number of conformations."""
        return effective_sample_size(self.log_w)

    @property
    def sampling_efficiency(self) -> float:
        """Effective sample size over the number of draws."""
        return sampling_efficiency(self.log_w)

    @property
    def log_z(self) -> Estimate[float]:
        """log Z of the target on its domain, with its standard error."""
        return log_z(self.log_w)

    def expectation(self, f: "Callable[[WeightedSamples], Any] | Tensor | np.ndarray") -> Estimate[Any]:
        """The target's mean of an observable, with its standard error, in the observable's unit.

        The mean is that of the self-normalised weights, sum w f / sum w; its error the delta method's, see
        `weights.weighted_mean`. Values of conformations of weight zero do not count and may be NaN.

        Args:
            f: values (n,) or (n, k) of the conformations, or a function of the samples that returns them, for
                instance ``lambda s: s.torsion("phi").cos()`` or ``radius_of_gyration``. Booleans count as 0
                and 1, so that a condition gives a probability.

        Returns:
            Value and error: floats for values (n,), arrays (k,) for values (n, k).

        Raises:
            ValueError: values of another shape, or NaN where the weight is not zero.
        """
        found = f(self) if callable(f) else f
        values = torch.as_tensor(found).detach().cpu().double().numpy()
        if values.ndim not in (1, 2) or len(values) != len(self):
            raise ValueError(
                f"expected one value, or k, for each of the {len(self)} conformations, got an array of shape "
                f"{values.shape}"
            )
        weights = normalized_weights(self.log_w).numpy(force=True)
        n_bad = int(np.isnan(values[weights > 0]).sum())
        if n_bad:
            raise ValueError(f"{n_bad} values are NaN although their conformations have weight")
        if values.ndim == 1:
            return weighted_mean(values, weights)
        means = [weighted_mean(column, weights) for column in values.T]
        return Estimate(*(np.array(part) for part in zip(*means, strict=True)))

    def resample(self, n: int, seed: int = 0) -> "WeightedSamples":
        """n conformations of equal weight (log_w = 0), drawn with replacement in proportion to the weights.

        u and log_q go along.
        """
        drawn = self[resampled_indices(self.log_w, n, seed)]
        return WeightedSamples(drawn.x, drawn.u, drawn.log_q, torch.zeros_like(drawn.log_w), drawn.system)

    @property
    def mdtraj_topology(self) -> mdtraj.Topology:
        """The molecule's atoms and bonds, as MDTraj has them.

        Raises:
            ValueError: the samples carry no molecule, or were read from a file without topology.
        """
        topology = self._molecule().mdtraj_topology
        if topology is None:
            raise ValueError(
                "these samples were read from a file without a topology; set `system` to a `System`"
            )
        return topology

    def to_mdtraj(self) -> mdtraj.Trajectory:
        """The conformations as an MDTraj trajectory (a copy); they do not have equal weight, see `resample`.

        Raises:
            ValueError: no topology, see `mdtraj_topology`.
        """
        return mdtraj.Trajectory(self.x.numpy(force=True).copy(), self.mdtraj_topology)

    def torsion(self, name: str) -> Tensor:
        """The named torsion of every conformation, float32 (n,) in (-pi, pi] radians.

        Names are those of `System.torsions`: ``"phi"``, ``"chi1_3"``, ...
        """
        torsions = self._molecule().torsions
        if name not in torsions:
            raise ValueError(
                f"no torsion called {name!r} in this molecule; it has: {', '.join(torsions) or 'none'}"
            )
        return dihedrals(self.x, torsions[name])

    def populations(self) -> list[BasinPopulation]:
        """Weighted populations of the molecule's basins, with 95 % intervals.

        Of a molecule without basins of its own they are those of its residues' regions, named as in
        `region_populations`: ``"alphaR"`` of one amino acid alone, ``"ALA 2 alphaR"`` of several. See
        `free_energy.populations.basin_populations`.
        """
        groups = self._groups()
        if not groups:
            raise ValueError(
                "this molecule has no basins: give its `system.toml` some [[basins]], or see "
                "`rotamer_populations` and `torsion`"
            )
        return [
            replace(row, name=name)
            for states, names in groups
            for row, name in zip(self._populations(states), names, strict=True)
        ]

    def region_populations(self) -> dict[str, list[BasinPopulation]]:
        """Weighted populations of each amino acid's regions of (phi, psi), by its name (``"ALA 2"``).

        See `free_energy.populations.basin_populations`.
        """
        return {
            name: self._populations(self._states(basins)) for name, basins in self._molecule().regions.items()
        }

    def rotamer_populations(self) -> dict[str, list[BasinPopulation]]:
        """Weighted populations of the states of each torsion of `System.rotamers`, with 95 % intervals.

        See `free_energy.populations.basin_populations`.
        """
        return {name: self._populations(rotamer) for name, rotamer in self._molecule().rotamers.items()}

    def free_energy_difference(self, start: str, end: str) -> FreeEnergyDifference:
        """F(end) - F(start) between two basins in kT, with its 95 % interval.

        They have the names of `populations`, and are both the molecule's or regions of one residue. See
        `free_energy.populations.free_energy_difference`.

        Raises:
            ValueError: no basin of that name, or two of different residues, which do not exclude each other.
        """
        groups = self._groups()
        known = {name for _, names in groups for name in names}
        for name in (start, end):
            if name not in known:
                listed = ", ".join(name for _, names in groups for name in names)
                raise ValueError(f"no basin called {name!r}; this molecule has: {listed or 'none'}")
        for states, names in groups:
            if {start, end} <= set(names):
                return free_energy_difference(
                    states.labels(self.x), self.log_w.numpy(force=True), names, start, end
                )
        raise ValueError(
            f"{start!r} and {end!r} are of different residues, and a conformation can be in both; give two "
            "regions of one residue"
        )

    def _populations(self, states: States) -> list[BasinPopulation]:
        return basin_populations(states.labels(self.x), self.log_w.numpy(force=True), states.names)

    def _groups(self) -> list[tuple[Regions, list[str]]]:
        """The basins, or else the regions of each residue, with their names in `populations`."""
        molecule = self._molecule()
        if molecule.basins:
            return [(self._states(molecule.basins), [basin.name for basin in molecule.basins])]
        return [
            (
                self._states(basins),
                [f"{residue} {b.name}" if len(molecule.regions) > 1 else b.name for b in basins],
            )
            for residue, basins in molecule.regions.items()
        ]

    def _states(self, basins: Sequence[Basin]) -> Regions:
        molecule = self._molecule()
        return Regions.of(basins, molecule.torsions, molecule.rotamers)

    def _molecule(self) -> Molecule:
        if self.system is None:
            raise ValueError(
                "these samples carry no molecule, so torsions, basins and topology are unknown; set `system` "
                "when making WeightedSamples"
            )
        return self.system
