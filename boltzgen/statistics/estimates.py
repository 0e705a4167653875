"""What statistics say: of the weights, of states, and of means."""

import math
from typing import Any

import numpy as np

from boltzgen.free_energy.intervals import WeightSum
from boltzgen.free_energy.populations import BasinPopulation, RegionSums
from boltzgen.free_energy.result import errors_are_known
from boltzgen.free_energy.weight_summary import N_BLOCKS, summary_of
from boltzgen.statistics.exact import ExactSums, Terms, powers_of_two
from boltzgen.statistics.plan import TENTHS
from boltzgen.statistics.statistics import STATE_TAIL, Statistics
from boltzgen.weights import CLIPPED, k_hat_of_tail, tail_size, weightless


class Estimates:
    """Estimates from statistics.

    Populations have the intervals of `free_energy.populations`, with the PSIS k-hat of a state from no more
    than its 4096 largest weights.

    Args:
        statistics: which are not changed meanwhile.

    Attributes:
        weights: what `free_energy.weight_summary` says; tenths of the draws only where all draws are there.

    Raises:
        ValueError: no draw has any weight.
    """

    def __init__(self, statistics: Statistics) -> None:
        self.statistics, self.plan = statistics, statistics.plan
        if statistics.n_weighted == 0:
            raise ValueError(weightless(statistics.n))
        tenths = statistics.cells.part(self.plan.places["", TENTHS])
        #: sum w and sum w^2.
        self.total, self.square = tenths.weight.total(), tenths.square.total()
        self.weights: dict[str, Any] = self._weights()

    @property
    def errors_are_known(self) -> bool:
        """See `result.errors_are_known`."""
        return errors_are_known(self.weights["effective_sample_size"], self.weights["psis_k_hat"])

    def populations(self) -> dict[str, list[BasinPopulation]]:
        """Of the states of everything that is counted, by its name."""
        return {name: self.sums(name).populations(names) for name, names in self.plan.groups.items()}

    def sums(self, group: str) -> RegionSums:
        """Sums of normalised weights over the states of a group."""
        place = self.plan.places["state", group]
        n = place.stop - place.start
        return RegionSums(
            [self._sum(place.start, [k]) for k in range(1, n)],
            lambda k: self._sum(place.start, [j for j in range(n) if j != k + 1]),
            math.exp(float(self.statistics.largest.values[-1]) - float(self.total.logarithms()[0])),
        )

    def mean(self, quantity: str) -> tuple[float, float]:
        """Mean of a quantity and its standard error, see `weights.weighted_mean`."""
        k, n = self.plan.quantities.index(quantity), self.statistics.n
        moments = self.statistics.moments
        mean = float(moments.weighted.over(self.total)[k])
        once, twice = (float(sums.over(self.total, 2)[k]) for sums in (moments.once, moments.twice))
        square = float(self.square.over(self.total, 2)[0])
        variance = max(twice - 2 * mean * once + mean**2 * square, 0.0)
        return mean, math.sqrt(n / (n - 1) * variance) if n > 1 else math.inf

    def _sum(self, first: int, cells: list[int]) -> WeightSum:
        """Of the draws in some cells of a group that begins with a cell."""
        held, where = self.statistics.cells, np.array(cells) + first
        n = int(held.count[where].sum())
        if n == 0:
            return WeightSum(0, 0.0, 0.0, 0.0, math.nan)
        weight, square = (sums.total([where]) for sums in (held.weight, held.square))
        tail = np.sort(np.concatenate([self.statistics.tails[int(cell)].values for cell in where]))
        size, log_total = tail_size(n), float(self.total.logarithms()[0])
        return WeightSum(
            n=n,
            n_effective=min(1.0 / float(square.over(weight, 2)[0]), float(n)),
            total=float(weight.over(self.total)[0]),
            largest=math.exp(tail[-1] - log_total),
            k_hat=k_hat_of_tail(tail[-min(size, STATE_TAIL) - 1 :]) if n > size else math.nan,
        )

    def _weights(self) -> dict[str, Any]:
        statistics = self.statistics
        total, square = (float(sums.logarithms()[0]) for sums in (self.total, self.square))
        largest = statistics.largest.values
        is_whole = statistics.n == statistics.n_whole
        tenths = statistics.cells.part(self.plan.places["", TENTHS])
        found = summary_of(
            statistics.n,
            statistics.n_weighted,
            total,
            square,
            [
                math.exp(2 * w - w2) / self.plan.tenth if w > -math.inf else 0.0
                for w, w2 in zip(
                    tenths.weight.logarithms()[:N_BLOCKS].tolist(),
                    tenths.square.logarithms()[:N_BLOCKS].tolist(),
                    strict=True,
                )
            ],
            largest,
            self._clipped(largest),
        )
        if not is_whole:
            found |= {"sampling_efficiency_blocks_low": None, "sampling_efficiency_blocks_high": None}
        return found

    def _clipped(self, largest: np.ndarray) -> float:
        """The effective size with the largest weights as large as the smallest of those that are clipped."""
        n = min(math.floor(self.statistics.n * CLIPPED + 1e-9), len(largest))
        clipped = [self.total, self.square]
        if n:
            limit = np.full(n, largest[-n])
            for power in (1, 2):
                less = ExactSums(clipped[power - 1].limbs.copy(), clipped[power - 1].top)
                less.merge(_sum_of(power * largest[-n:]), sign=-1)
                less.merge(_sum_of(power * limit))
                clipped[power - 1] = less
        return 1.0 / float(clipped[1].over(clipped[0], 2)[0])


def _sum_of(log_w: np.ndarray) -> ExactSums:
    found = ExactSums.zeros(1)
    found.add(np.zeros((1, len(log_w)), dtype=np.int64), Terms.of(*powers_of_two(log_w)))
    return found
