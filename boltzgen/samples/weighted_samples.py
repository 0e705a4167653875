"""Conformations with their importance weights, and the estimates that these give."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, Self

import torch
from torch import Tensor

from boltzgen.free_energy.populations import (
    BasinPopulation,
    FreeEnergyDifference,
    basin_populations,
    free_energy_difference,
)
from boltzgen.geometry import dihedrals
from boltzgen.molecule.basins import Basin, assign_basins
from boltzgen.molecule.graph import Quadruple
from boltzgen.molecule.rotamers import DIVISIONS, rotamer_labels
from boltzgen.molecule.torsions import Rotamer
from boltzgen.weights import effective_sample_size, log_weights, log_z, resampled_indices, sampling_efficiency


class Molecule(Protocol):
    """What samples need to know of their molecule to name regions: a `System`, or the header of a samples
    file.
    """

    @property
    def torsions(self) -> Mapping[str, Quadruple]: ...

    @property
    def rotamers(self) -> Mapping[str, Rotamer]: ...

    @property
    def basins(self) -> Sequence[Basin]: ...


@dataclass(frozen=True, eq=False)
class WeightedSamples:
    """Conformations drawn from q with their importance weights to the target.

    Attributes:
        x: positions, float32 (n, n_atoms, 3) in nm.
        u: reduced energies of the target, float64 (n,) in kT; non-finite outside the domain.
        log_q: log-density of each draw, float64 (n,).
        log_w: ``-u - log_q``, float64 (n,); -inf where u is not finite. `from_energies` computes it.
        system: the molecule, for torsions and basins; optional.

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
    def log_z(self) -> tuple[float, float]:
        """log Z of the target on its domain and its standard error."""
        return log_z(self.log_w)

    def resample(self, n: int, seed: int = 0) -> "WeightedSamples":
        """n conformations of equal weight (log_w = 0), drawn with replacement in proportion to the weights; u
        and log_q go along.
        """
        return _with_equal_weights(self[resampled_indices(self.log_w, n, seed)])

    def torsion(self, name: str) -> Tensor:
        """The named torsion (``"phi"``, ``"chi1_3"``, ...; see `System.torsions`) of every conformation,
        float32 (n,) in (-pi, pi].
        """
        torsions = self._molecule().torsions
        if name not in torsions:
            raise ValueError(
                f"no torsion called {name!r} in this molecule; it has: {', '.join(torsions) or 'none'}"
            )
        return dihedrals(self.x, torsions[name])

    def populations(self, **options: Any) -> list[BasinPopulation]:
        """Weighted populations of the molecule's basins with intervals; options are
        `free_energy.basin_populations`'s.
        """

        labels, names = self._labels()
        return basin_populations(labels, self.log_w.numpy(force=True), names, **options)

    def rotamer_populations(self, **options: Any) -> dict[str, list[BasinPopulation]]:
        """Weighted populations of the states of each torsion of `System.rotamers`, with intervals; options
        are `free_energy.basin_populations`'s.
        """

        log_w = self.log_w.numpy(force=True)
        return {
            name: basin_populations(
                rotamer_labels(self.x, rotamer), log_w, DIVISIONS[rotamer.division].states, **options
            )
            for name, rotamer in self._molecule().rotamers.items()
        }

    def free_energy_difference(self, start: str, end: str, **options: Any) -> FreeEnergyDifference:
        """F(end) - F(start) between two basins in kT, with its 95 % interval; options are
        `free_energy.free_energy_difference`'s.
        """

        labels, names = self._labels()
        return free_energy_difference(labels, self.log_w.numpy(force=True), names, start, end, **options)

    def _labels(self) -> tuple[Any, list[str]]:

        basins = self._molecule().basins
        labels = assign_basins(
            self.torsion("phi").numpy(force=True), self.torsion("psi").numpy(force=True), basins
        )
        return labels, [b.name for b in basins]

    def _molecule(self) -> Molecule:
        if self.system is None:
            raise ValueError(
                "these samples carry no molecule, so torsions and basins are unknown; set `system` when "
                "making WeightedSamples"
            )
        return self.system


def _with_equal_weights(samples: WeightedSamples) -> WeightedSamples:
    return WeightedSamples(
        samples.x, samples.u, samples.log_q, torch.zeros_like(samples.log_w), samples.system
    )
