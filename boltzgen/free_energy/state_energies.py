"""Free energies of states: populations, and differences between any two of them, as they can be published."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from boltzgen.free_energy.convergence import Convergence, convergence
from boltzgen.free_energy.populations import BasinPopulation, basin_populations, free_energy_difference
from boltzgen.free_energy.result import Result, joined, warnings_of
from boltzgen.molecule.basins import OTHER
from boltzgen.weights import weighted_mean


@dataclass(frozen=True)
class StateEnergy:
    """One state.

    Attributes:
        name: of the state.
        n_raw: draws in it with a weight above zero.
        n_effective: Kish's effective number of them.
        population: its share of the whole weight, a pure number.
        free_energy: relative to the reference state.
    """

    name: str
    n_raw: int
    n_effective: float
    population: Result
    free_energy: Result

    def to_dict(self) -> dict[str, Any]:
        """Fields by name, for JSON."""
        return {
            "name": self.name,
            "n_raw": self.n_raw,
            "n_effective": self.n_effective,
            "population": self.population.to_dict(),
            "free_energy": self.free_energy.to_dict(),
        }


@dataclass(frozen=True, eq=False)
class StateEnergies:
    """States of weighted draws.

    95 % intervals are those of `intervals.log_ratio_interval`: made for few draws and unequal weights. The
    standard errors are the delta method's; of a difference they are sqrt(1 / n_start + 1 / n_end) kT with the
    effective numbers of draws.

    Attributes:
        labels: state of each draw, int (n,), index into `names` or -1 for none of them.
        log_w: log-weights (n,), in the order drawn.
        names: of the states.
        temperature: in K.
        notes: how the states were found.

    Raises:
        ValueError: shapes do not agree, no states, or no weight.
    """

    labels: np.ndarray
    log_w: np.ndarray
    names: tuple[str, ...]
    temperature: float
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"expected states of different names, got {', '.join(self.names)}")
        self._populations  # noqa: B018 - refuses wrong input

    @cached_property
    def _populations(self) -> list[BasinPopulation]:
        return basin_populations(self.labels, self.log_w, self.names)

    @property
    def reference(self) -> str:
        """The most populated state that has a name of its own; what is in none is a poor zero."""
        named = [row for row in self._populations if row.name != OTHER and row.n_raw]
        return max(named or self._populations, key=lambda row: row.population).name

    @cached_property
    def rows(self) -> list[StateEnergy]:
        """One entry for each state, in order."""
        weights = np.exp(self.log_w - self.log_w.max())
        weights /= weights.sum()
        whole = warnings_of(self.log_w)
        return [
            StateEnergy(
                row.name,
                row.n_raw,
                row.n_effective,
                _population(
                    row,
                    weighted_mean((self.labels == k).astype(float), weights)[1],
                    joined(whole, warnings_of(self.log_w[self.labels == k], f"state {row.name}")),
                ),
                self.difference(self.reference, row.name),
            )
            for k, row in enumerate(self._populations)
        ]

    def difference(self, start: str, end: str) -> Result:
        """F(end) - F(start) in kT; positive where `end` is the rarer state.

        Raises:
            ValueError: no state of that name.
        """
        return self._difference(start, end, slice(None))

    def convergence(self, start: str, end: str, *, points: int = 10) -> Convergence:
        """`difference` against the number of draws used, forwards and backwards."""
        self.difference(start, end)  # refuses names that there are not
        return convergence(lambda part: self._difference(start, end, part), len(self.log_w), points=points)

    def _difference(self, start: str, end: str, part: slice) -> Result:
        labels, log_w = self.labels[part], self.log_w[part]
        if not np.isfinite(log_w).any():
            return self._result(math.nan, math.nan, -math.inf, math.inf, warnings_of(log_w))
        found = free_energy_difference(labels, log_w, self.names, start, end)
        if start == end:
            return self._result(0.0, 0.0, 0.0, 0.0, ())
        inside = [log_w[labels == self.names.index(name)] for name in (start, end)]
        warnings = joined(
            warnings_of(log_w),
            *(warnings_of(own, f"state {name}") for own, name in zip(inside, (start, end), strict=True)),
        )
        error = math.sqrt(sum(1 / n if (n := _n_effective(own)) else math.inf for own in inside))
        return self._result(found.delta_f, error, found.low, found.high, warnings)

    def _result(self, value: float, error: float, low: float, high: float, warnings: Sequence[str]) -> Result:
        error = error if math.isfinite(error) else math.nan
        return Result(value, error, low, high, "kT", self.temperature, tuple(warnings))


def in_unit(row: StateEnergy, unit: str) -> StateEnergy:
    """The same with its free energy in kT, kJ/mol or kcal/mol."""
    return replace(row, free_energy=row.free_energy.to(unit))


def _population(row: BasinPopulation, error: float, warnings: tuple[str, ...]) -> Result:
    low = -math.inf if row.low is None else row.low
    high = math.inf if row.high is None else row.high
    return Result(row.population, error, low, high, "", None, warnings)


def _n_effective(log_w: np.ndarray) -> float:
    if not np.isfinite(log_w).any():
        return 0.0
    weights = np.exp(log_w - log_w.max())
    return float(weights.sum() ** 2 / (weights @ weights))
