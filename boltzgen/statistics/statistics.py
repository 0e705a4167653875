"""What is kept of draws whose conformations are not: sums that can be added up later, in any order."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from boltzgen.molecule.system import System
from boltzgen.molecule.torsional import Pair
from boltzgen.samples.checks import check_samples
from boltzgen.samples.draws import Draws
from boltzgen.samples.header import SamplesHeader, describe, parse
from boltzgen.samples.shards import Range, Shard, joined
from boltzgen.statistics.cells import Cells, Histogram, Largest, Moments, Weights
from boltzgen.statistics.exact import MOST_TERMS, ExactSums
from boltzgen.statistics.plan import TORSION_CELLS, Plan, with_weight
from boltzgen.weights import CLIPPED, tail_size

#: Largest log-weights that are kept of each state, and one more: PSIS k-hat of a state is of no more.
STATE_TAIL = 4096
#: What `merge` compares.
_SAME = {
    "fingerprint": "system",
    "generator": "generator",
    "temperature": "temperature",
    "seed": "seed",
    "n_whole": "whole number of draws (`n`)",
}


class Statistics:
    """Sums over draws of one seed; see `Plan` for what they are of.

    Statistics of parts, merged in any order and grouping, are those of the whole to the last bit, if draws
    are added in whole blocks; see `exact`.

    Args:
        header: of the draws; `n_whole` says how many all shards have together.
        pairs: surfaces that are wanted besides those of the backbone.
        along: quantities that are wanted besides the sizes.

    Attributes:
        plan: what is measured.
        n, n_energy_evaluations: draws, and the energies spent on them.
        is_whole: no draw is counted in part, which an interruption of `add` or `merge` leaves.
        ranges: which of the seed's draws they are.
        cells: counted by everything that has one dimension, by `Plan.places`.
        pairs: surfaces of pairs of torsions, one after the other.
        moments: of quantities.
        largest: log-weights of all.
        tails: largest log-weights of each state, those of none included, by the cell's number.

    Raises:
        ValueError: too many draws; or a pair or a quantity that the molecule has not.
    """

    def __init__(
        self, header: SamplesHeader, *, pairs: Sequence[Pair] = (), along: Sequence[str] = ()
    ) -> None:
        n = header.n_whole
        if n is None or not 1 <= n <= MOST_TERMS:
            raise ValueError(f"expected 1 to {MOST_TERMS} draws for statistics, got `n={n}`")
        self.n_whole = n
        self._header = replace(header, n_samples=0, ranges=())
        self.plan = Plan(self._header, n, pairs=pairs, along=along)
        self.n = self.n_energy_evaluations = 0
        self.is_whole = True
        self.ranges: list[Range] = []
        self.cells = Cells.empty(self.plan.n_cells)
        self.pairs = Histogram.empty(len(self.plan.pairs) * TORSION_CELLS**2)
        self.moments = Moments(len(self.plan.quantities))
        self.largest = Largest(max(tail_size(n) + 1, int(n * CLIPPED + 1e-9)))
        self.tails = {
            cell: Largest(STATE_TAIL + 1)
            for name in self.plan.groups
            for cell in range(*self.plan.places["state", name].indices(self.plan.n_cells))
        }

    @classmethod
    def begin(
        cls,
        system: System,
        temperature: float,
        *,
        n: int,
        seed: int,
        generator: str,
        shard: Shard | None = None,
        doubt: str = "",
        pairs: Sequence[Pair] = (),
        along: Sequence[str] = (),
    ) -> "Statistics":
        """Of no draw yet, of a system's."""
        named = "" if shard is None else str(shard)
        said = describe(
            system, temperature, seed=seed, generator=generator, shard=named, n_whole=n, doubt=doubt
        )
        header = parse(
            said | {"ranges": "[]"},
            n_samples=0,
            n_atoms=system.n_atoms,
            n_energy_evaluations=0,
            topology=system.mdtraj_topology,
        )
        return cls(header, pairs=pairs, along=along)

    @property
    def header(self) -> SamplesHeader:
        """What a file says of them."""
        return replace(
            self._header,
            n_samples=self.n,
            n_energy_evaluations=self.n_energy_evaluations,
            ranges=tuple(self.ranges),
        )

    @property
    def n_weighted(self) -> int:
        """Draws with weight."""
        return int(self.cells.count[self.plan.places["", "tenths of the draws"]].sum())

    def add(self, draws: Draws, start: int) -> None:
        """Count consecutive draws, the first of which is the seed's `start`-th.

        Raises:
            ValueError: they are there already; their weights or positions are wrong, see
                `checks.check_samples`; or a quantity is not a number in a draw with weight.
        """
        check_samples(draws, start)
        if draws.x.shape[1] != self._header.n_atoms:
            raise ValueError(f"expected positions of {self._header.n_atoms} atoms, got {draws.x.shape[1]}")
        ranges = joined([*self.ranges, (start, start + len(draws))])
        used = with_weight(draws)
        drawn = draws[used]
        measured = self.plan.measure(drawn, start + np.flatnonzero(used.numpy()))
        weights = Weights(drawn.log_w.numpy())
        self.is_whole = False
        self.cells.add(measured.cells, weights)
        offsets = np.arange(len(measured.pairs))[:, None] * TORSION_CELLS**2
        self.pairs.add(measured.pairs + offsets, weights)
        self.moments.add(measured.values, weights)
        self.largest.add(weights.log_w)
        for name, labels in zip(self.plan.groups, measured.states, strict=True):
            first = self.plan.places["state", name].start
            for label in np.unique(labels).tolist():
                self.tails[first + label].add(weights.log_w[labels == label])
        self.n, self.ranges = self.n + len(draws), ranges
        self.is_whole = True

    def merge(self, other: "Statistics") -> None:
        """Add those of other draws of the same seed.

        Raises:
            ValueError: they are of something else, or of draws that are there already.
        """
        self.check_same(other._header, [*other.plan.pairs], [*other.plan.along])
        ranges = joined([*self.ranges, *other.ranges])
        self.is_whole = False
        self.ranges, self.n = ranges, self.n + other.n
        self.n_energy_evaluations += other.n_energy_evaluations
        self.cells.merge(other.cells)
        self.pairs.merge(other.pairs)
        self.moments.merge(other.moments)
        self.largest.add(other.largest.values)
        for cell, tail in self.tails.items():
            tail.add(other.tails[cell].values)
        self.is_whole = True

    def check_same(self, header: SamplesHeader, pairs: Sequence[Pair], along: Sequence[str]) -> None:
        """Raise ValueError unless other statistics can be added to these."""
        for name, word in _SAME.items():
            mine, its = getattr(self._header, name), getattr(header, name)
            if mine != its:
                shown = "" if name in ("fingerprint", "generator") else f": {mine} and {its}"
                raise ValueError(f"statistics of another {word} cannot be put together{shown}")
        if list(pairs) != self.plan.pairs or list(along) != list(self.plan.along):
            raise ValueError(
                "statistics of other surfaces or quantities (`pairs`, `along`) cannot be put together"
            )

    def pack(self) -> dict[str, np.ndarray]:
        """All numbers as arrays by name, from which `unpack` makes them again."""
        occupied = np.flatnonzero(self.pairs.count)
        tails = [tail.values for tail in self.tails.values()]
        sums = self._sums()
        return {
            "draws": np.array([self.n, self.n_energy_evaluations]),
            "ranges": np.array(self.ranges, dtype=np.int64).reshape(-1, 2),
            "places": np.array([_NO_PLACE if s.top is None else s.top for s in sums.values()]),
            **{name: one.limbs for name, one in sums.items()},
            "pairs_weight": self.pairs.weight.limbs[occupied],
            "cells_count": self.cells.count,
            "cells_largest": self.cells.largest,
            "pairs_cell": occupied,
            "pairs_count": self.pairs.count[occupied],
            "largest": self.largest.values,
            "tails": np.concatenate([np.empty(0), *tails]),
            "tails_count": np.array([len(tail) for tail in tails], dtype=np.int64),
        }

    def unpack(self, held: Mapping[str, np.ndarray]) -> "Statistics":
        """Take the numbers of `pack` in place of one's own, and return these statistics.

        Raises:
            KeyError, ValueError: they are not such numbers.
        """
        sums = self._sums()
        occupied = _checked(held, "pairs_cell", (None,))
        if len(occupied) and not (
            0 <= occupied[0] and occupied[-1] < len(self.pairs.count) and (np.diff(occupied) > 0).all()
        ):
            raise ValueError("cells of surfaces that there are not")
        places = _checked(held, "places", (len(sums),))
        for (name, one), top in zip(sums.items(), places.tolist(), strict=True):
            rows = len(occupied) if name == "pairs_weight" else len(one.limbs)
            limbs = _checked(held, name, (rows, one.limbs.shape[1]))
            if abs(top) > _NO_PLACE or (np.abs(limbs) >= 2**62).any():
                raise ValueError(f"{name} are no sums")
            one.top = None if top == _NO_PLACE else top
            one.limbs[occupied if name == "pairs_weight" else slice(None)] = limbs
        self.cells.count[:] = _counts(held, "cells_count", self.cells.count.shape)
        self.cells.largest[:] = _checked(held, "cells_largest", self.cells.largest.shape, "f")
        self.pairs.count[occupied] = _counts(held, "pairs_count", occupied.shape)
        self.n, self.n_energy_evaluations = _counts(held, "draws", (2,)).tolist()
        ranges = _counts(held, "ranges", (None, 2)).tolist()
        self.ranges = joined((start, stop) for start, stop in ranges)
        if self.n != sum(b - a for a, b in self.ranges) or any(b > self.n_whole for _, b in self.ranges):
            raise ValueError(f"{self.n} draws, which are said to be {self.ranges[:5]}")
        counts = _counts(held, "tails_count", (len(self.tails),))
        tails = np.split(_log_weights(held, "tails", int(counts.sum())), np.cumsum(counts)[:-1])
        for (cell, tail), values in zip(self.tails.items(), tails, strict=True):
            if len(values) != min(tail.k, self.cells.count[cell]):
                raise ValueError(f"{len(values)} largest weights of {self.cells.count[cell]} draws")
            tail.add(values)
        if not self.n_weighted <= self.n:
            raise ValueError(f"{self.n_weighted} weights of {self.n} draws")
        self.largest.add(_log_weights(held, "largest", min(self.largest.k, self.n_weighted)))
        return self

    def _sums(self) -> dict[str, ExactSums]:
        return {
            "cells_weight": self.cells.weight,
            "cells_square": self.cells.square,
            "pairs_weight": self.pairs.weight,
            "moments_weighted": self.moments.weighted,
            "moments_once": self.moments.once,
            "moments_twice": self.moments.twice,
        }


#: In place of the highest place where nothing was added; farther from zero than any that occurs.
_NO_PLACE = 2**40


def _checked(
    held: Mapping[str, np.ndarray], name: str, shape: tuple[int | None, ...], kind: str = "i"
) -> np.ndarray:
    """An array of integers (or floats, "f"), of a shape in which None is any length."""
    found = np.asarray(held[name])
    fits = found.ndim == len(shape) and all(
        m is None or n == m for n, m in zip(found.shape, shape, strict=True)
    )
    if not fits or found.dtype.kind != kind or found.dtype.itemsize != 8:
        raise ValueError(f"{name}: expected {shape} numbers, got {found.dtype} {found.shape}")
    return found


def _counts(held: Mapping[str, np.ndarray], name: str, shape: tuple[int | None, ...]) -> np.ndarray:
    found = _checked(held, name, shape)
    if (found < 0).any():
        raise ValueError(f"{name}: counts below zero")
    return found


def _log_weights(held: Mapping[str, np.ndarray], name: str, n: int) -> np.ndarray:
    found = _checked(held, name, (n,), "f")
    if not np.isfinite(found).all():
        raise ValueError(f"{name}: log-weights that are not finite")
    return found
