"""Findings from statistics: surfaces and profiles from fine cells that were counted while drawing."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from boltzgen.analysis.curves import BINS, Curve, torsion_bins
from boltzgen.analysis.findings import FoundSurface, Mean
from boltzgen.analysis.outlines import LEAST_EFFECTIVE
from boltzgen.analysis.profiles import WIDTH, Profile, share_error
from boltzgen.analysis.ramachandran import Ramachandran, TorsionDensity, bin_centres
from boltzgen.free_energy.intervals import WeightSum, share_interval
from boltzgen.free_energy.populations import BasinPopulation
from boltzgen.molecule.basins import Basin
from boltzgen.molecule.measures import DEGREES
from boltzgen.molecule.states import BASINS
from boltzgen.molecule.torsional import Pair
from boltzgen.samples.quantity import Quantity
from boltzgen.samples.sizes import sizes_of
from boltzgen.statistics.cells import Cells
from boltzgen.statistics.estimates import Estimates
from boltzgen.statistics.exact import ExactSums
from boltzgen.statistics.plan import TORSION_CELLS
from boltzgen.statistics.statistics import Statistics

#: From so many draws on the largest weights of a bin have a k-hat.
_FEWEST = 25


@dataclass(frozen=True, eq=False)
class SummedFindings:
    """`findings.Findings` of statistics.

    Of the bins of a profile, PSIS k-hat is that of all weights: cells keep their largest weight alone.
    """

    statistics: Statistics

    @cached_property
    def estimates(self) -> Estimates:
        """From which the rest follows."""
        return Estimates(self.statistics)

    @property
    def weights(self) -> dict[str, Any]:
        """What weights say of themselves."""
        return self.estimates.weights

    def populations(self) -> dict[str, list[BasinPopulation]]:
        """Of the states of everything that is counted, by its name."""
        return self.estimates.populations()

    def surface(self, names: Pair, n_bins: int, basins: Sequence[Basin]) -> FoundSurface:
        """Of two torsions.

        Raises:
            ValueError: bins that cells of one degree do not make.
        """
        per, plan = cells_in(n_bins), self.statistics.plan
        start = plan.pairs.index(names) * TORSION_CELLS**2
        shape = (n_bins, per, n_bins, per)
        held = self.statistics.pairs
        part = slice(start, start + TORSION_CELLS**2)
        limbs = held.weight.limbs[part].reshape(*shape, -1).sum(axis=(1, 3))
        sums = ExactSums(limbs.reshape(n_bins**2, -1), held.weight.top)
        probability = sums.over(self.estimates.total).reshape(n_bins, n_bins)
        counts = held.count[part].reshape(shape).sum(axis=(1, 3))
        n_effective = self.weights["effective_sample_size"]
        first, second = (self._density(name, n_bins) for name in names)
        return FoundSurface(
            Ramachandran(probability, counts, n_effective), (first, second), self._shares(basins)
        )

    def torsion(self, name: str, bins: int | None) -> Curve:
        """The profile of a named torsion."""
        return self._around(("torsion", name), bins)

    def sizes(self, bins: int) -> dict[str, Profile]:
        """Profiles of the molecule's sizes, of so many bins at most."""
        return {name: self._profile(name, bins) for name in sizes_of(self.statistics.header)}

    def along(self, quantity: Quantity, bins: int | None) -> Curve | None:
        """The profile along a quantity; None of an expression without a unit, which has no cells."""
        if quantity.text not in self.statistics.plan.axes:
            return None
        if quantity.is_torsion:
            return self._around(("quantity", quantity.text), bins)
        return Curve(quantity.text, quantity.unit, self._profile(quantity.text, bins or BINS))

    def mean(self, quantity: str) -> Mean:
        """Of a size or a quantity."""
        mean, error = self.estimates.mean(quantity)
        return mean, error if self.estimates.errors_are_known else None

    def agreement(self) -> None:
        """Statistics are of one seed."""

    def _shares(self, basins: Sequence[Basin]) -> np.ndarray | None:
        """Populations of basins, or of a residue's regions."""
        if not self.estimates.errors_are_known or not basins:
            return None
        molecule = self.statistics.header
        groups = {BASINS: molecule.basins} | molecule.regions
        name = next(name for name, group in groups.items() if tuple(group) == tuple(basins))
        inside = self.estimates.sums(name).inside
        return np.array([one.total if one.n_effective >= LEAST_EFFECTIVE else np.nan for one in inside])

    def _density(self, name: str, n_bins: int) -> TorsionDensity:
        held = self._coarse(self._cells(("torsion", name)), cells_in(n_bins))
        width = 360.0 / n_bins
        return TorsionDensity(
            bin_centres(n_bins),
            held.weight.over(self.estimates.total) / width,
            held.count / held.count.sum() / width,
        )

    def _around(self, place: tuple[str, str], bins: int | None) -> Curve:
        """The profile of a torsion, all around the circle."""
        n_bins = torsion_bins(self.weights["effective_sample_size"], bins)
        held = self._coarse(self._cells(place), cells_in(n_bins))
        edges = np.linspace(-180.0, 180.0, n_bins + 1)
        return Curve(place[1], DEGREES, self._of_cells(held, edges), is_torsion=True)

    def _profile(self, name: str, bins: int) -> Profile:
        """The profile of a quantity over what was drawn, within 5 standard deviations of the mean."""
        held, axis = self._cells(("quantity", name)), self.statistics.plan.axes[name]
        used = np.flatnonzero(held.count)
        share = held.weight.over(self.estimates.total)
        step = (axis.high - axis.low) / (axis.n_bins - 2)
        centres = axis.low + step * (np.arange(axis.n_bins) - 0.5)
        mean = float(share @ centres)
        width = WIDTH * math.sqrt(max(float(share @ np.square(centres - mean)), step**2))
        inside = used[(np.abs(centres[used] - mean) <= width) & (used > 0) & (used < axis.n_bins - 1)]
        low, high = (int(inside[0]), int(inside[-1]) + 1) if len(inside) else (1, 2)
        per = math.ceil((high - low) / bins)
        n_bins = math.ceil((high - low) / per)
        size = n_bins * per
        whole = Cells(
            ExactSums(_padded(held.weight.limbs[low:high], size), held.weight.top),
            ExactSums(_padded(held.square.limbs[low:high], size), held.square.top),
            _padded(held.count[low:high], size),
            _padded(held.largest[low:high], size, -np.inf),
        )
        edges = axis.low + step * (low - 1 + per * np.arange(n_bins + 1))
        return self._of_cells(self._coarse(whole, per), edges)

    def _cells(self, place: tuple[str, str]) -> Cells:
        return self.statistics.cells.part(self.statistics.plan.places[place])

    def _coarse(self, held: Cells, per: int) -> Cells:
        """So many cells in one."""
        n = len(held.count) // per
        return Cells(
            ExactSums(held.weight.limbs.reshape(n, per, -1).sum(axis=1), held.weight.top),
            ExactSums(held.square.limbs.reshape(n, per, -1).sum(axis=1), held.square.top),
            held.count.reshape(n, per).sum(axis=1),
            held.largest.reshape(n, per).max(axis=1),
        )

    def _of_cells(self, held: Cells, edges: np.ndarray) -> Profile:
        found, log_total = self.estimates, float(self.estimates.total.logarithms()[0])
        p, square = held.weight.over(found.total), held.square.over(found.total, 2)
        whole, n = float(found.square.over(found.total, 2)[0]), self.statistics.n_weighted
        largest = np.exp(held.largest - log_total)
        k_hat = self.weights["psis_k_hat"]
        k_hat = math.nan if k_hat is None else k_hat
        most = self.weights["largest_weight_share"]
        limits = np.full((2, len(p)), np.nan)
        for k in range(len(p)):
            inside = _weight_sum(int(held.count[k]), p[k], square[k], largest[k], k_hat)
            # Another cell has the largest of all, unless this one has it and another draw may be as large.
            outside = _weight_sum(n - int(held.count[k]), 1.0 - p[k], whole - square[k], most, k_hat)
            if interval := share_interval(inside, outside, most):
                limits[:, k] = interval.low, interval.high
        error = share_error(p, square, whole)
        if not found.errors_are_known:
            error[:] = np.nan
        return Profile(edges, p, error, limits[0], limits[1], held.count, 1.0 / whole)


def _weight_sum(n: int, total: float, square: float, largest: float, k_hat: float) -> WeightSum:
    if n == 0 or total <= 0 or square <= 0:
        return WeightSum(0, 0.0, 0.0, 0.0, math.nan)
    n_effective = min(total**2 / square, float(n))
    return WeightSum(n, n_effective, total, largest, k_hat if n >= _FEWEST else math.nan)


def _padded(values: np.ndarray, n: int, fill: float = 0) -> np.ndarray:
    """With what is empty at the end, up to n rows."""
    found = np.full((n, *values.shape[1:]), fill, dtype=values.dtype)
    found[: len(values)] = values
    return found


def cells_in(n_bins: int) -> int:
    """Cells of one degree in each of so many bins of a torsion."""
    if TORSION_CELLS % n_bins:
        listed = ", ".join(str(k) for k in range(20, TORSION_CELLS + 1) if TORSION_CELLS % k == 0)
        raise ValueError(
            f"statistics have cells of one degree, of which {n_bins} `bins` cannot be made; choose one of "
            f"{listed}"
        )
    return TORSION_CELLS // n_bins
