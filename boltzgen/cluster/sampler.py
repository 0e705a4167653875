"""A generator whose draws are made by a cluster, for whatever takes a generator's draws and densities."""

from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from torch import Tensor

from boltzgen.cluster.recipe import Recipe
from boltzgen.cluster.sampling import in_order
from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.energy.base import Energy
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.molecule.system import System
from boltzgen.samples.weighted_samples import WeightedSamples

if TYPE_CHECKING:
    from distributed import Client


class ClusterSampler:
    """A generator as `evaluation.evaluate` takes it, whose draws are made by workers.

    Args:
        client: of the cluster.
        recipe: of the generator's draws; temperature, seed and number are those that are asked for.
        generator: that of the recipe.
    """

    def __init__(self, client: "Client", recipe: Recipe, generator: BoltzmannGenerator) -> None:
        self._client, self._recipe, self._generator = client, recipe, generator

    @property
    def system(self) -> System:
        """The molecule."""
        return self._generator.system

    @property
    def coordinates(self) -> MolecularCoordinates:
        """Its flow coordinates."""
        return self._generator.coordinates

    def log_prob(self, x: Tensor) -> Tensor:
        """log q(x), shape (...), of positions (..., n_atoms, 3) in nm."""
        return self._generator.log_prob(x)

    def sample_chunks(self, n: int, energy: Energy, *, seed: int = 0) -> Iterator[WeightedSamples]:
        """Yield n conformations, weighted to their system's own energy at the temperature of `energy`."""
        recipe = replace(self._recipe, n=n, seed=seed, temperature=energy.temperature)
        for drawn, _ in in_order(self._client, recipe, self._generator, [(0, n)]):
            yield drawn
