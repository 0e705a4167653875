"""What an analysis needs to know of its subject, and how it follows from values of all conformations."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from boltzgen.analysis.curves import Curve, curve_along, torsion_curve
from boltzgen.analysis.outlines import basin_shares
from boltzgen.analysis.profiles import Profile, profile
from boltzgen.analysis.ramachandran import Ramachandran, TorsionDensity, ramachandran, torsion_density
from boltzgen.analysis.source import Source
from boltzgen.analysis.values import Values
from boltzgen.free_energy.agreement import agreement
from boltzgen.free_energy.populations import BasinPopulation, basin_populations
from boltzgen.free_energy.result import warnings_of_weights
from boltzgen.free_energy.weight_summary import weight_summary
from boltzgen.molecule.basins import Basin
from boltzgen.molecule.torsional import Pair, counted_states
from boltzgen.samples.quantity import Quantity
from boltzgen.weights import weighted_mean


@dataclass(frozen=True)
class FoundSurface:
    """The surface of two torsions.

    Attributes:
        histogram: the numbers.
        densities: of either torsion.
        shares: of the weight in each basin that is outlined, (n_basins,), see `outlines.basin_shares`.
    """

    histogram: Ramachandran
    densities: tuple[TorsionDensity, TorsionDensity]
    shares: np.ndarray | None


#: A mean and its standard error, None where `result.warnings_of` warns of the weights.
Mean = tuple[float, float | None]


class Findings(Protocol):
    """Estimates that tables and pictures are made of."""

    @property
    def weights(self) -> dict[str, Any]:
        """What weights say of themselves, see `free_energy.weight_summary`."""

    def populations(self) -> dict[str, list[BasinPopulation]]:
        """Of the states of everything that is counted, by its name."""

    def surface(self, names: Pair, n_bins: int, basins: Sequence[Basin]) -> FoundSurface:
        """Of two torsions, with so many bins along either axis."""

    def torsion(self, name: str, bins: int | None) -> Curve:
        """The profile of a named torsion."""

    def sizes(self, bins: int) -> dict[str, Profile]:
        """Profiles of the molecule's sizes, by name."""

    def along(self, quantity: Quantity, bins: int | None) -> Curve | None:
        """The profile along a quantity; None if there is none."""

    def mean(self, quantity: str) -> Mean:
        """Of a size, or a quantity, in its unit."""

    def agreement(self) -> dict[str, list[Any]] | None:
        """Whether several samples agree in the populations of states, see `free_energy.agreement`."""


@dataclass(frozen=True, eq=False)
class SampleFindings:
    """`Findings` of conformations that are there, each with its values."""

    source: Source
    values: Values

    @cached_property
    def weights(self) -> dict[str, Any]:
        """What weights say of themselves; of frames that have none only how many they are."""
        found = weight_summary(self.values.log_w)
        if self.source.is_weighted:
            return found
        return dict.fromkeys(found) | {
            "n_samples": self.source.n,
            "effective_sample_size": float(self.source.n),
        }

    def populations(self) -> dict[str, list[BasinPopulation]]:
        """Of the states of everything that is counted, by its name."""
        log_w = self.values.log_w.numpy()
        return {
            name: basin_populations(self.values.states[name], log_w, states.names)
            for name, states in counted_states(self.source.molecule).items()
        }

    def surface(self, names: Pair, n_bins: int, basins: Sequence[Basin]) -> FoundSurface:
        """Of two torsions."""
        phi, psi = (self.values.torsions[name] for name in names)
        weights = self.values.weights
        return FoundSurface(
            ramachandran(phi, psi, weights, n_bins),
            (torsion_density(phi, weights, n_bins), torsion_density(psi, weights, n_bins)),
            basin_shares({names[0]: phi, names[1]: psi}, weights, basins),
        )

    def torsion(self, name: str, bins: int | None) -> Curve:
        """The profile of a named torsion."""
        return torsion_curve(name, np.degrees(self.values.torsions[name]), self.values.weights, bins)

    def sizes(self, bins: int) -> dict[str, Profile]:
        """Profiles of the molecule's sizes."""
        return {name: profile(one, self.values.weights, bins) for name, one in self.values.sizes.items()}

    def along(self, quantity: Quantity, bins: int | None) -> Curve:
        """The profile along a quantity."""
        return curve_along(quantity, self.values.along[quantity.text], self.values.weights, bins)

    def mean(self, quantity: str) -> Mean:
        """Of a size or a quantity."""
        column = self.values.along.get(quantity)
        mean, error = weighted_mean(
            self.values.sizes[quantity] if column is None else column, self.values.weights
        )
        return mean, None if self._is_doubtful else error

    def agreement(self) -> dict[str, list[Any]] | None:
        """Of the source's series, if there are several."""
        if len(self.source.series) < 2:
            return None
        parts = [slice(*part) for _, part in self.source.series]
        log_w = [self.values.log_w[part].numpy() for part in parts]
        return {
            name: agreement([self.values.states[name][part] for part in parts], log_w, states.names)
            for name, states in counted_states(self.source.molecule).items()
        }

    @cached_property
    def _is_doubtful(self) -> bool:
        return bool(warnings_of_weights(self.values.weights))
