"""Free energies of states: populations, and differences between any two of them, as they can be published."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from boltzgen.free_energy.agreement import Agreement, agreement
from boltzgen.free_energy.convergence import Convergence, convergence
from boltzgen.free_energy.means import tail_warnings
from boltzgen.free_energy.populations import BasinPopulation, basin_populations, free_energy_difference
from boltzgen.free_energy.result import Result, joined, warnings_of
from boltzgen.molecule.basins import OTHER
from boltzgen.weights import weighted_mean

#: Effective draws that a mean energy of a state needs.
_FEWEST = 10.0


@dataclass(frozen=True)
class StateEnergy:
    """One state.

    Attributes:
        name: of the state.
        n_raw: draws in it with a weight above zero.
        n_effective: Kish's effective number of them.
        population: its share of the whole weight, a pure number.
        free_energy: relative to the reference state.
        energy: difference of the mean potential energy to the reference state's; None where the draws'
            energies are not given.
        minus_ts: the rest of the free energy, -T times the difference of entropies; None likewise.
    """

    name: str
    n_raw: int
    n_effective: float
    population: Result
    free_energy: Result
    energy: Result | None = None
    minus_ts: Result | None = None

    def to_dict(self) -> dict[str, Any]:
        """Fields by name, for JSON."""
        return {
            "name": self.name,
            "n_raw": self.n_raw,
            "n_effective": self.n_effective,
            "population": self.population.to_dict(),
            "free_energy": self.free_energy.to_dict(),
            "energy": None if self.energy is None else self.energy.to_dict(),
            "minus_ts": None if self.minus_ts is None else self.minus_ts.to_dict(),
        }


@dataclass(frozen=True, eq=False)
class StateEnergies:
    """States of weighted draws.

    95 % intervals are those of `intervals.log_ratio_interval`: made for few draws and unequal weights. The
    standard errors are the delta method's; of a difference they are sqrt(1 / n_start + 1 / n_end) kT with the
    effective numbers of draws.

    Where the draws' energies are given each state has its mean energy, and what that leaves of the free
    energy, -T S. Both are configurational, of the potential energy: with an implicit solvent that is in part
    a free energy, of the solvent, whose entropy counts as energy here.

    Attributes:
        labels: state of each draw, int (n,), index into `names` or -1 for none of them.
        log_w: log-weights (n,), in the order drawn.
        names: of the states.
        temperature: in K.
        notes: how the states were found.
        u: reduced energies (n,) in kT, of any finite value where the weight is zero; or None.
        series: independent samples among the draws: what each is called, and where it lies, [start, stop).

    Raises:
        ValueError: shapes do not agree, no states, or no weight.
    """

    labels: np.ndarray
    log_w: np.ndarray
    names: tuple[str, ...]
    temperature: float
    notes: tuple[str, ...] = ()
    u: np.ndarray | None = None
    series: Sequence[tuple[str, tuple[int, int]]] = ()

    def __post_init__(self) -> None:
        if self.u is not None and self.u.shape != self.log_w.shape:
            raise ValueError(f"expected energies of shape {self.log_w.shape}, got {self.u.shape}")
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
    def agreement(self) -> list[Agreement]:
        """Whether several series agree in each state's population; empty where there are not several."""
        if len(self.series) < 2:
            return []
        parts = [slice(*place) for _, place in self.series]
        labels, log_w = ([values[part] for part in parts] for values in (self.labels, self.log_w))
        return agreement(labels, log_w, self.names)

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
                *self._decomposed(row, k, weights),
            )
            for k, row in enumerate(self._populations)
        ]

    def lowest(self, name: str) -> int | None:
        """The draw of the lowest energy in a state, its place from 0; None where no draw with weight is.

        Raises:
            ValueError: the draws' energies are not given, or there is no such state.
        """
        if self.u is None:
            raise ValueError("the energies of the draws are not given: `u`")
        if name not in self.names:
            raise ValueError(f"no state called {name!r}; there are {', '.join(self.names)}")
        inside = (self.labels == self.names.index(name)) & np.isfinite(self.log_w)
        return int(np.where(inside, self.u, math.inf).argmin()) if inside.any() else None

    def _decomposed(
        self, row: BasinPopulation, k: int, weights: np.ndarray
    ) -> tuple[Result, Result] | tuple[None, None]:
        """Energy and -T S of a state, relative to the reference.

        By the delta method: draw i adds v_i (u_i - U) to the mean energy U of its state, v_i its share of the
        state's weight, and -v_i to -ln of that weight. Both say where few draws decide a mean energy.
        """
        if self.u is None:
            return None, None
        free_energy = self.difference(self.reference, row.name)
        start = self.names.index(self.reference)
        if k == start:
            zero = self._result(0.0, 0.0, 0.0, 0.0, ())
            return zero, zero
        energy = of_energy = of_rest = 0.0
        warnings = free_energy.warnings
        for state, sign in ((k, 1.0), (start, -1.0)):
            inside = (self.labels == state) & (weights > 0)
            if _n_effective(self.log_w[inside]) < _FEWEST:
                unknown = self._result(math.nan, math.nan, -math.inf, math.inf, free_energy.warnings)
                return unknown, unknown
            v, u = weights[inside] / weights[inside].sum(), self.u[inside]
            mean = float(v @ u)
            energy += sign * mean
            contributions = v * (u - mean)
            of_energy += float(contributions @ contributions)
            few = tail_warnings(contributions, what=f"the mean energy of state {self.names[state]}")
            warnings = joined(warnings, few)
            of_rest += float(np.square(v * (1.0 + u - mean)).sum())
        about = {"temperature": self.temperature, "warnings": warnings}
        return (
            Result.normal(energy, math.sqrt(of_energy), **about),
            Result.normal(free_energy.value - energy, math.sqrt(of_rest), **about),
        )

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
    """The same with its energies in kT, kJ/mol or kcal/mol."""
    energy, rest = (None if part is None else part.to(unit) for part in (row.energy, row.minus_ts))
    return replace(row, free_energy=row.free_energy.to(unit), energy=energy, minus_ts=rest)


def _population(row: BasinPopulation, error: float, warnings: tuple[str, ...]) -> Result:
    low = -math.inf if row.low is None else row.low
    high = math.inf if row.high is None else row.high
    return Result(row.population, error, low, high, "", None, warnings)


def _n_effective(log_w: np.ndarray) -> float:
    if not np.isfinite(log_w).any():
        return 0.0
    weights = np.exp(log_w - log_w.max())
    return float(weights.sum() ** 2 / (weights @ weights))
