"""Conformations with their importance weights, and the estimates that these give."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import torch
from torch import Tensor

from boltzgen import cards
from boltzgen.free_energy.populations import (
    BasinPopulation,
    FreeEnergyDifference,
    basin_populations,
    free_energy_difference,
)
from boltzgen.geometry import dihedrals
from boltzgen.molecule.basins import Basin
from boltzgen.molecule.states import Regions, States
from boltzgen.samples.contents import read_draws
from boltzgen.samples.conversions import Conversions
from boltzgen.samples.draws import Draws
from boltzgen.samples.estimates import Estimates
from boltzgen.samples.saving import save_samples
from boltzgen.weights import (
    effective_sample_size,
    normalized_weights,
    resampled_indices,
    sampling_efficiency,
)


@dataclass(frozen=True, eq=False, repr=False)
class WeightedSamples(Conversions, Estimates):
    """Conformations drawn from q with their importance weights to the target.

    They are counted and cut like a list: ``len(samples)``, ``samples[0]`` (one conformation),
    ``samples[:100]``, ``samples[mask]``.

    Attributes:
        x: positions, float32 (n, n_atoms, 3) in nm.
        u: reduced energies of the target, float64 (n,) in kT; non-finite outside the domain.
        log_q: log-density of each draw, float64 (n,).
        log_w: ``-u - log_q``, float64 (n,); -inf where u is not finite. `from_energies` computes it.
        system: the molecule, for torsions, basins and the topology; optional.
        temperature: of the target in K; None where it is not known.

    Raises:
        ValueError: shapes do not agree.
    """

    @classmethod
    def of(cls, draws: Draws) -> Self:
        """The same draws, with estimates."""
        return cls(**{field.name: getattr(draws, field.name) for field in fields(draws)})

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """All samples of a file of `save` or of `boltzgen sample`, with its `SamplesHeader` as `system`.

        Raises:
            FileNotFoundError: no such file.
            ValueError: not an HDF5 file, cut off, damaged, or without what a samples file holds.
        """
        return cls.of(read_draws(path))

    def save(self, path: str | os.PathLike[str], *, temperature: Any = None, force: bool = False) -> None:
        """Write a samples file, which `load`, `mdtraj.load` and the commands `analyze` and `export` read.

        It is written whole or not at all. It says neither a seed nor a generator: `boltzgen sample --resume`
        does not go on with it.

        Args:
            path: of the file, .h5 or .hdf5.
            temperature: of the target in K, where the samples do not know it; a generator's do.
            force: replace a file that exists.

        Raises:
            FileExistsError: without `force`, there is a file.
            FileNotFoundError: the folder does not exist.
            ValueError: the name does not end in .h5 or .hdf5; the samples carry no molecule or no
                temperature; or they have been resampled, so that their weights are not ``-u - log_q``.
            OSError: it cannot be written (full disk, no permission).
        """
        save_samples(self, path, temperature=temperature, force=force)

    def __repr__(self) -> str:
        return cards.line(type(self).__name__, self._name, self._facts)

    def _repr_html_(self) -> str:
        """What notebooks show."""
        return cards.table(type(self).__name__, self._name, self._facts)

    @property
    def _name(self) -> str:
        return str(getattr(self.system, "name", ""))

    @property
    def _facts(self) -> dict[str, object]:
        """What `repr` says of the samples, whatever is wrong with them."""
        facts: dict[str, object] = {"conformations": len(self), "atoms": self.x.shape[1]}
        if self.temperature is not None:
            facts["temperature"] = f"{self.temperature:g} K"
        try:
            found = f"{100 * self.sampling_efficiency:.3g} %", f"{self.effective_sample_size:,.0f}"
        except ValueError:  # no draws, or none with any weight
            found = "none", "0"
        return facts | dict(zip(("sampling efficiency", "effective draws"), found, strict=True))

    @property
    def weights(self) -> Tensor:
        """Weights that sum to one, float64 (n,); see `weights.normalized_weights`."""
        return normalized_weights(self.log_w)

    @property
    def effective_sample_size(self) -> float:
        """Kish's effective number of conformations."""
        return effective_sample_size(self.log_w)

    @property
    def sampling_efficiency(self) -> float:
        """Effective sample size over the number of draws."""
        return sampling_efficiency(self.log_w)

    def resample(self, n: int, seed: int = 0) -> "WeightedSamples":
        """n conformations of equal weight (log_w = 0), drawn with replacement in proportion to the weights.

        u and log_q go along.
        """
        drawn = self[resampled_indices(self.log_w, n, seed)]
        return replace(drawn, log_w=torch.zeros_like(drawn.log_w))

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
