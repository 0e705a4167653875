"""A stand-in for a reference, and collapsed generators. Not an independent reference: the shipped generator's
own draws, reweighted.
"""

import math
from collections.abc import Callable, Iterator
from functools import cache

import torch
from torch import Tensor

from boltzgen.energy.base import Energy
from boltzgen.energy.choose import energy_for
from boltzgen.evaluation.reference import REFERENCE, Reference
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.molecule.system import System
from boltzgen.samples.weighted_samples import WeightedSamples

N_WALKERS = 20


@cache
def shipped() -> tuple[System, BoltzmannGenerator, Energy]:
    system = System.load("alanine_dipeptide")
    return system, BoltzmannGenerator.load(system.folder, system), energy_for(system, 300.0)


@cache
def stand_in(n: int = 32_768, n_configurations: int = 5000) -> Reference:
    """A reference of n independent weighted draws, dealt out to 20 "walkers"."""
    system, generator, energy = shipped()
    draws = generator.sample(n, energy, seed=999)
    walker = torch.arange(n) % N_WALKERS
    metadata = {"made": "for tests"}
    return Reference.from_frames(
        system, draws.x, draws.u, draws.log_w, walker, metadata=metadata, n_configurations=n_configurations
    )


@cache
def simulated() -> Reference:
    """The shipped reference, of an independent simulation."""
    system = shipped()[0]
    assert system.folder is not None
    return Reference.load(system.folder / REFERENCE, system)


class Thinned:
    """A generator that keeps each draw with probability keep(x), its density renormalised: exact, and blind
    where keep is zero.
    """

    def __init__(
        self, generator: BoltzmannGenerator, keep: Callable[[Tensor], Tensor], acceptance: float
    ) -> None:
        self.generator, self.keep, self.log_acceptance = generator, keep, math.log(acceptance)
        self.system, self.coordinates = generator.system, generator.coordinates

    def log_prob(self, x: Tensor) -> Tensor:
        return self.generator.log_prob(x) + self.keep(x).to(x.dtype).log() - self.log_acceptance

    def sample_chunks(self, n: int, energy: Energy, *, seed: int = 0) -> Iterator[WeightedSamples]:
        stream = torch.Generator().manual_seed(seed)
        for chunk in self.generator.sample_chunks(n, energy, seed=seed):
            keep = self.keep(chunk.x.double())
            chosen = torch.rand(len(chunk), generator=stream) < keep
            log_q = chunk.log_q + keep.log() - self.log_acceptance
            yield WeightedSamples.from_energies(chunk.x[chosen], chunk.u[chosen], log_q[chosen], self.system)
