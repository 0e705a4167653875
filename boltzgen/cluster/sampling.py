"""Draws made by the workers of a Dask cluster, the same as one process makes.

Blocks are functions of (seed, block): whoever computes one gets the same draws. A task is some of them; where
a worker dies, Dask gives its tasks to others.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from boltzgen.cluster.recipe import Recipe, add_up, begun
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.samples.shards import BLOCK, Range
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.samples.writer import SamplesWriter
from boltzgen.statistics.writer import StatisticsWriter

if TYPE_CHECKING:
    from distributed import Client, Future

#: Blocks of a task whose draws are counted, and of one whose draws are sent.
COUNTED, SENT = 16, 8
#: Tasks whose statistics one task adds up; and how many times that, on a cluster of many workers.
FAN_IN, MANY_WORKERS = 8, 32
#: Tasks that are ordered ahead for each worker.
_AHEAD = 3
#: Tasks for each worker, where little is to be done.
_TASKS = 8
#: How often a task that failed is tried again.
_RETRIES = 3
#: Seconds that what is finished may take to arrive after an interruption.
_PATIENCE = 10


def draw_statistics(
    client: "Client",
    recipe: Recipe,
    generator: BoltzmannGenerator,
    writer: StatisticsWriter,
    move: Callable[[int], None],
) -> None:
    """Have all draws counted that a writer misses.

    Tasks' sums are added up by the workers, in a tree, before they come here. Where this is interrupted, the
    writer has those of all tasks that were finished.

    Args:
        client: of the cluster.
        recipe: of the draws.
        generator: that of the recipe.
        writer: that is open.
        move: is told how many draws were made, as they are.

    Raises:
        Exception: what a worker raised, again and again.
    """
    from distributed import as_completed

    many = len(client.nthreads()) > MANY_WORKERS
    parts = _parts(writer.missing, _blocks(client, writer.missing, COUNTED))
    groups = _groups(parts, FAN_IN**2 if many else FAN_IN)
    pending: dict[Any, _Group] = {}
    finished = as_completed()

    def order() -> None:
        wanted = 2 + _AHEAD * len(client.nthreads()) // FAN_IN  # workers come and go
        while len(pending) < wanted and (parts := next(groups, None)) is not None:
            group = _Group.order(client, recipe, parts, move)
            pending[group.root.key] = group
            finished.add(group.root)

    def take(packed: Any) -> None:
        writer.merge(begun(recipe, generator).unpack(packed))

    try:
        order()
        for root in finished:
            packed = root.result()
            del pending[root.key]
            take(packed)
            order()
    except BaseException:
        for group in pending.values():
            with suppress(Exception):  # the cluster may be gone
                for packed in group.collect(client):
                    take(packed)
        raise


def draw_samples(
    client: "Client", recipe: Recipe, generator: BoltzmannGenerator, writer: SamplesWriter
) -> Iterator[WeightedSamples]:
    """Have all draws made that a writer misses, and write them in order; yield each part once it is written.

    Arguments and errors are those of `draw_statistics`.
    """
    for drawn, spent in in_order(client, recipe, generator, writer.missing):
        writer.n_energy_evaluations += spent
        writer.write(drawn)
        yield drawn


def in_order(
    client: "Client", recipe: Recipe, generator: BoltzmannGenerator, ranges: list[Range]
) -> Iterator[tuple[WeightedSamples, int]]:
    """Have draws made, and yield them in order, part by part, each with the energies that were computed."""
    parts = _parts(ranges, _blocks(client, ranges, SENT))
    ordered: deque[Future] = deque()

    def order() -> None:
        wanted = FAN_IN + _AHEAD * len(client.nthreads())
        while len(ordered) < wanted and (part := next(parts, None)) is not None:
            ordered.append(client.submit(recipe.draws, part, retries=_RETRIES, pure=False))

    order()
    while ordered:
        *arrays, spent = ordered[0].result()
        ordered.popleft()
        order()
        x, u, log_q = (torch.from_numpy(values.copy()) for values in arrays)
        drawn = WeightedSamples.from_energies(x, u, log_q, generator.system, temperature=recipe.temperature)
        yield drawn, spent


@dataclass(frozen=True)
class _Group:
    """Tasks whose statistics are added up.

    Attributes:
        leaves: the tasks.
        root: their sum.
    """

    leaves: "list[Future]"
    root: "Future"

    @classmethod
    def order(
        cls, client: "Client", recipe: Recipe, parts: list[Range], move: Callable[[int], None]
    ) -> "_Group":
        """Have parts drawn and added up."""
        leaves = []
        for part in parts:
            leaf = client.submit(recipe.statistics, part, retries=_RETRIES, pure=False)
            leaf.add_done_callback(_mover(move, part))
            leaves.append(leaf)
        level = leaves
        while len(level) > 1:
            level = [
                client.submit(
                    add_up, recipe, level[k : k + FAN_IN], retries=_RETRIES, pure=False, priority=10
                )
                for k in range(0, len(level), FAN_IN)
            ]
        return cls(leaves, level[0])

    def collect(self, client: "Client") -> list[Any]:
        """What is finished: the sum, or else those of the tasks."""
        if self.root.status == "finished":
            return [self.root.result(timeout=_PATIENCE)]
        done = [leaf for leaf in self.leaves if leaf.status == "finished"]
        found: list[Any] = []
        for leaf in done:
            with suppress(Exception):
                found.append(leaf.result(timeout=_PATIENCE))
        client.cancel([self.root, *self.leaves], force=True)
        return found


def _mover(move: Callable[[int], None], part: Range) -> "Callable[[Future], None]":
    def moved(future: "Future") -> None:
        if future.status == "finished":
            move(part[1] - part[0])

    return moved


def _blocks(client: "Client", ranges: list[Range], most: int) -> int:
    """Blocks of a task: fewer where there is little to do, so that every worker has some of it."""
    n_blocks = sum(stop - start for start, stop in ranges) // BLOCK
    return max(1, min(most, n_blocks // (_TASKS * max(1, len(client.nthreads())))))


def _parts(ranges: list[Range], n_blocks: int) -> Iterator[Range]:
    """The same draws in parts of so many whole blocks, in order."""
    for start, stop in ranges:
        at = start
        while at < stop:
            end = min((at // BLOCK + n_blocks) * BLOCK, stop)
            yield at, end
            at = end


def _groups(parts: Iterator[Range], n: int) -> Iterator[list[Range]]:
    group: list[Range] = []
    for part in parts:
        group.append(part)
        if len(group) == n:
            yield group
            group = []
    if group:
        yield group
