"""What a worker needs to know to make any of a seed's draws, small enough to be sent with every task."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from boltzgen.energy.base import CountedEnergy, Energy
from boltzgen.energy.choose import energy_for
from boltzgen.generator.annealed_importance import refined_digest
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.molecule.torsional import Pair
from boltzgen.samples.shards import BLOCK, Range
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.statistics.statistics import Statistics

#: One draw at a time in a process, whatever number of threads its worker has.
_alone = threading.Lock()


@dataclass(frozen=True)
class Recipe:
    """How draws are made.

    Attributes:
        source: of the generator: a name, or the absolute path of a folder that every worker sees.
        digest: of the generator, so that no worker draws with another one.
        temperature: of the target in K.
        seed: of the draws.
        n: draws in all.
        unfinished: take the last checkpoint of a run that has not ended.
        device: where a worker computes.
        pairs, along: what statistics count besides, see `StatisticsWriter`.
        refine: moves of each draw, see `FlowSampler.sample_chunks`.
    """

    source: str
    digest: str
    temperature: float
    seed: int
    n: int
    unfinished: bool = False
    device: str = "cpu"
    pairs: tuple[Pair, ...] = ()
    along: tuple[str, ...] = ()
    refine: int = 0

    def statistics(self, part: Range) -> dict[str, np.ndarray]:
        """Draw a part of the draws, and count them: `Statistics.pack`."""
        generator, _ = _loaded(self)
        found = begun(self, generator)
        at = part[0]
        for draws, spent in self._blocks(part):
            found.add(draws, at)
            at += len(draws)
            found.n_energy_evaluations = spent
        return found.pack()

    def draws(self, part: Range) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
        """Draw a part of the draws: x, u and log q, and how many energies were computed."""
        parts = list(self._blocks(part))
        drawn = WeightedSamples.concatenate(draws for draws, _ in parts)
        return drawn.x.numpy(), drawn.u.numpy(), drawn.log_q.numpy(), parts[-1][1]

    def _blocks(self, part: Range) -> Iterator[tuple[WeightedSamples, int]]:
        """Block by block, with the energies spent by then."""
        generator, energy = _loaded(self)
        start, stop = part
        with _alone:
            counted = CountedEnergy(energy)
            for draws in generator.sample_chunks(
                stop, counted, seed=self.seed, start=start, chunk_size=BLOCK, refine=self.refine
            ):
                yield draws, counted.n_evaluations


def begun(recipe: Recipe, generator: BoltzmannGenerator) -> Statistics:
    """Statistics of no draw yet."""
    return Statistics.begin(
        generator.system,
        recipe.temperature,
        n=recipe.n,
        seed=recipe.seed,
        generator=refined_digest(recipe.digest, recipe.refine),
        pairs=recipe.pairs,
        along=recipe.along,
    )


def add_up(recipe: Recipe, parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Statistics of several parts as those of all."""
    generator, _ = _loaded(recipe)
    found = begun(recipe, generator).unpack(parts[0])
    for part in parts[1:]:
        found.merge(begun(recipe, generator).unpack(part))
    return found.pack()


@lru_cache(maxsize=2)
def _loaded(recipe: Recipe) -> tuple[BoltzmannGenerator, Energy]:
    """The generator and the energy, once in each process."""
    with _alone:
        generator = BoltzmannGenerator.load(recipe.source, unfinished=recipe.unfinished, device=recipe.device)
        if generator.digest != recipe.digest:
            raise ValueError(
                f"{recipe.source} holds another generator on this worker than where the work was ordered; "
                "give all machines the same files"
            )
        return generator, energy_for(generator.system, recipe.temperature).to(recipe.device)
