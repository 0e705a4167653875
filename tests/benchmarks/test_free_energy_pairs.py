"""A small version of the coverage of differences between two samplers."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from boltzgen.free_energy.hamiltonians import independent
from tests.helpers.scripts import loaded

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def pairs() -> ModuleType:
    return loaded(FOLDER / "free_energy_pairs.py")


def repeated(pairs: ModuleType, name: str, n: int, repetitions: int) -> tuple[int, int]:
    """Repetitions without a warning, and those of them whose interval holds the exact value."""
    quiet = hits = 0
    for k in range(repetitions):
        stream = np.random.default_rng(k)
        samplers = enumerate(pairs.PAIRS[name])
        found = independent(*(pairs.draws(i, *sampler, n, stream) for i, sampler in samplers))
        quiet += not found.warnings
        hits += not found.warnings and found.low <= pairs.EXACT <= found.high
    return quiet, hits


def test_good_samplers_are_trusted_and_right(pairs: ModuleType) -> None:
    """Half a width off, 230 of 300 draws are effective: nearly all are trusted."""
    for name, least in (("near", 40), ("half a width off", 34)):
        quiet, hits = repeated(pairs, name, 300, 40)
        assert quiet >= least and hits >= quiet - 6, name


def test_bad_ones_warn(pairs: ModuleType) -> None:
    assert repeated(pairs, "one width off", 300, 20)[0] <= 4
