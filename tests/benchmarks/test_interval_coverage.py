"""The laws behind the coverage table are what they are said to be, and its cells count what they should."""

import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from boltzgen.free_energy.intervals import Interval
from tests.helpers.scripts import loaded

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "interval_coverage.py"


@pytest.fixture(scope="module")
def coverage() -> ModuleType:
    return loaded(SCRIPT)


def test_the_means_of_the_laws(coverage: ModuleType) -> None:
    """Of those whose scatter is known well enough to tell."""
    rng = np.random.default_rng(0)
    checked = set()
    for name, laws in coverage.CASES.items():
        for law in laws:
            weights = law.draw(rng, 1_000_000)
            if np.square(weights).max() < 0.1 * np.square(weights).sum():
                assert weights.mean() == pytest.approx(law.mean, rel=0.02), name
                checked.add(name)
    assert checked >= set(coverage.CASES) - {"Pareto 0.5", "Pareto 0.7", "Pareto 0.9"}


def test_half_of_the_repetitions_have_the_effective_draws_asked_for(coverage: ModuleType) -> None:
    law = coverage.log_normal(1.0)
    mean = coverage.mean_draws(law, 30.0)
    rng = np.random.default_rng(1)
    samples = [law.draw(rng, int(rng.poisson(mean))) for _ in range(1000)]
    sizes = [w.sum() ** 2 / np.square(w).sum() for w in samples]
    assert np.median(sizes) == pytest.approx(30.0, rel=0.06)
    assert coverage.mean_draws(coverage.pareto(0.95), 1000.0) == math.inf


def test_cells(coverage: ModuleType) -> None:
    assert coverage.cell([True] * 19 + [False], 100) == "95.0 / 20"
    assert coverage.cell([True], 100) == "- / 1"
    assert coverage.covers(Interval(0.1, 0.2), 0.15)
    assert not coverage.covers(Interval(0.1, 0.2), 0.25)
    assert not coverage.covers(None, 0.15)
    found = coverage.measure("equal", 30.0, 0.1, 100, 0)
    assert list(found) == list(coverage.TITLES)
    for title in ("population", "free-energy difference", "interval or bound of the population"):
        share, given = map(float, found[title].split(" / "))
        assert share >= 87.0 and given == 100.0
    assert found["bound of the population"] == "- / 0"


def test_methods_agree_where_there_are_many_draws(coverage: ModuleType) -> None:
    """Limits of a thousand equal weights are those of the delta method, within what a bootstrap scatters."""
    basin, others = np.ones(1000), coverage.WeightSum.build(np.ones(20_000))
    width = 1.96 * math.sqrt(1 / 1000 + 1 / 20_000)
    found = coverage.bootstraps(basin, others, 1.0)
    found |= {title: limits(basin, others, 1.0) for title, limits in coverage.CLOSED.items()}
    assert len(found) == 8
    for low, high in found.values():
        assert low == pytest.approx(math.log(1 / 20) - width, abs=0.25 * width)
        assert high == pytest.approx(math.log(1 / 20) + width, abs=0.25 * width)
