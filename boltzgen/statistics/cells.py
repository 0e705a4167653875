"""Histograms under weights, and the largest weights: what statistics are made of."""

from dataclasses import dataclass

import numpy as np

from boltzgen.statistics.exact import ExactSums, Terms, powers_of_two


class Weights:
    """Weights of some draws, ready to be added up.

    Attributes:
        log_w: finite log-weights, float64 (m,).
        once, squared: the weights and their squares.
    """

    def __init__(self, log_w: np.ndarray) -> None:
        self.log_w = log_w
        self._once, self._squared = powers_of_two(log_w), powers_of_two(2.0 * log_w)
        self.once, self.squared = Terms.of(*self._once), Terms.of(*self._squared)

    def times(self, values: np.ndarray) -> Terms:
        """w f of values f (h, m)."""
        return Terms.of(self._once[0] * values, self._once[1])

    def squared_times(self, values: np.ndarray) -> Terms:
        """w^2 f of values f (h, m)."""
        return Terms.of(self._squared[0] * values, self._squared[1])


@dataclass
class Histogram:
    """Sums of weights, and draws, in n cells.

    Attributes:
        weight: sum w of each cell.
        count: draws with weight in each, int64 (n,).
    """

    weight: ExactSums
    count: np.ndarray

    @classmethod
    def empty(cls, n: int) -> "Histogram":
        """So many cells."""
        return cls(ExactSums.zeros(n), np.zeros(n, dtype=np.int64))

    def add(self, cells: np.ndarray, weights: Weights) -> None:
        """Count draws (m,) in cells (h, m), h of them for each."""
        self.weight.add(cells, weights.once)
        np.add.at(self.count, cells.ravel(), 1)

    def merge(self, other: "Histogram") -> None:
        """Add what another one holds."""
        self.weight.merge(other.weight)
        self.count += other.count


@dataclass
class Cells:
    """The same with what intervals need besides.

    Attributes:
        weight, square: sums w and w^2 of each of n cells.
        count: draws with weight in each, int64 (n,).
        largest: log-weight in each, float64 (n,); -inf without a draw.
    """

    weight: ExactSums
    square: ExactSums
    count: np.ndarray
    largest: np.ndarray

    @classmethod
    def empty(cls, n: int) -> "Cells":
        """So many cells."""
        return cls(ExactSums.zeros(n), ExactSums.zeros(n), np.zeros(n, dtype=np.int64), np.full(n, -np.inf))

    def add(self, cells: np.ndarray, weights: Weights) -> None:
        """Count draws (m,) in cells (h, m), h of them for each."""
        self.weight.add(cells, weights.once)
        self.square.add(cells, weights.squared)
        np.add.at(self.count, cells.ravel(), 1)
        np.maximum.at(self.largest, cells.ravel(), np.broadcast_to(weights.log_w, cells.shape).ravel())

    def merge(self, other: "Cells") -> None:
        """Add what another one holds."""
        self.weight.merge(other.weight)
        self.square.merge(other.square)
        self.count += other.count
        np.maximum(self.largest, other.largest, out=self.largest)

    def part(self, cells: slice) -> "Cells":
        """Some of the cells."""
        return Cells(self.weight.part(cells), self.square.part(cells), self.count[cells], self.largest[cells])


class Moments:
    """Sums w f, w^2 f and w^2 f^2 of h quantities f, from which means and their errors follow.

    Attributes:
        weighted, once, twice: these three.
    """

    def __init__(self, n: int) -> None:
        self.weighted, self.once, self.twice = (ExactSums.zeros(n) for _ in range(3))

    def add(self, values: np.ndarray, weights: Weights) -> None:
        """Add values (h, m) of m draws."""
        cells = np.broadcast_to(np.arange(len(values))[:, None], values.shape)
        self.weighted.add(cells, weights.times(values))
        self.once.add(cells, weights.squared_times(values))
        self.twice.add(cells, weights.squared_times(np.square(values)))

    def merge(self, other: "Moments") -> None:
        """Add what another one holds."""
        for mine, its in zip(self.sums, other.sums, strict=True):
            mine.merge(its)

    @property
    def sums(self) -> tuple[ExactSums, ExactSums, ExactSums]:
        """All of them."""
        return self.weighted, self.once, self.twice


class Largest:
    """The k largest of numbers that come in any order.

    Args:
        k: how many are kept.
    """

    def __init__(self, k: int) -> None:
        self.k = k
        self._parts: list[np.ndarray] = []
        self._n = 0
        self._least = -np.inf

    def add(self, values: np.ndarray) -> None:
        """See more of them (m,)."""
        values = values[values > self._least] if self._least > -np.inf else values
        if len(values):
            self._parts.append(values)
            self._n += len(values)
            if self._n > 2 * self.k + 4096:
                self._drop()

    @property
    def values(self) -> np.ndarray:
        """They, in ascending order, float64 (k,) or fewer."""
        self._drop()
        return self._parts[0]

    def _drop(self) -> None:
        values = np.concatenate([np.empty(0), *self._parts])
        if len(values) > self.k:
            values = np.partition(values, len(values) - self.k)[-self.k :]
        values = np.sort(values)
        self._parts, self._n = [values], len(values)
        if len(values) == self.k:
            self._least = float(values[0])
