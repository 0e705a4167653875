"""Draws of one seed, and statistics and samples of parts of them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from boltzgen.molecule.system import System
from boltzgen.samples.shards import Shard
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.samples.writer import SamplesWriter
from boltzgen.statistics.file import load_statistics
from boltzgen.statistics.statistics import Statistics
from boltzgen.statistics.writer import StatisticsWriter
from tests.helpers.posing import made_up_samples
from tests.helpers.statistics import ALONG, N


@pytest.fixture(scope="session")
def drawn(system: System) -> WeightedSamples:
    return made_up_samples(system, N, spread=1.0)


@pytest.fixture(scope="session")
def write(system: System, drawn: WeightedSamples) -> Callable[..., Path]:
    """Writes a shard of the draws, as statistics or as samples; keyword arguments make it another run's."""

    def written(path: Path, shard: str = "", *, statistics: bool = True, **changes: object) -> Path:
        share = Shard.parse(shard) if shard else None
        start, stop = (share or Shard(1, 1)).draws(N)
        options = {"seed": 3, "generator": "a generator", "shard": share, "n": N} | changes
        if statistics:
            options = {"along": ALONG, "pairs": [("psi", "phi")]} | options
        writer = (StatisticsWriter if statistics else SamplesWriter)(
            path, system, options.pop("temperature", 300.0), **options
        )
        with writer:
            for first in range(start, stop, 5_000):
                writer.n_energy_evaluations += 5_000
                writer.write(drawn[first : min(first + 5_000, stop)])
        return path

    return written


@pytest.fixture(scope="session")
def whole_file(write: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("whole") / "whole.h5")


@pytest.fixture(scope="session")
def whole(whole_file: Path) -> Statistics:
    return load_statistics(whole_file)
