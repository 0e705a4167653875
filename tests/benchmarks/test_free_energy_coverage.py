"""A small version of the coverage table: exact values, intervals, warnings with heavy tails."""

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from scipy import stats

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "free_energy_coverage.py"
N = 40


@pytest.fixture(scope="module")
def coverage() -> ModuleType:
    spec = importlib.util.spec_from_file_location("coverage_of_estimators", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


LIGHT = [
    *(pytest.param(name, marks=pytest.mark.slow) for name in ("double well", "Gaussian mixture")),
    *("harmonic, 60 dimensions", "torsion rotor", "molecule in internal coordinates"),
]
#: Coverage may be as low as this by chance in one estimator of a thousand.
LEAST = stats.binom.ppf(1e-3, N, 0.95) / N


@pytest.mark.parametrize("name", LIGHT)
def test_every_estimator_finds_the_exact_value(coverage: ModuleType, name: str) -> None:
    """Of 40 samples: values without bias, scatter as large as the errors, intervals that hold them."""
    found = coverage.measure(name, 500, N, 1, ("analytic",))
    assert len(found) == 13
    for title, tally in found.items():
        assert tally.quiet >= 0.3 * N, title
        assert tally.hits >= LEAST * N - (N - tally.quiet), title
        mean = tally.scores / tally.quiet
        # The errors of few draws are skewed: low estimates have small ones.
        assert abs(mean) < 4 / math.sqrt(tally.quiet) + 0.15, title
        assert tally.quiet < N or 0.5 < tally.squares / N < 2.0, title


def test_bootstraps(coverage: ModuleType) -> None:
    found = coverage.measure("torsion rotor", 1000, 30, 1, ("bootstrap",))
    assert len(found) == 5
    for title, tally in found.items():
        assert tally.quiet >= 20 and tally.hits >= tally.quiet - 6, title


def test_heavy_tails_warn(coverage: ModuleType) -> None:
    """Six oscillators drawn from densities of 0.6 of their width."""
    found = coverage.measure("harmonic, too narrow", 1000, 20, 1, ("analytic",))
    for title in ("U", "-T S", "heat capacity", "U at 330 K"):
        assert found[title, "analytic"].quiet <= 4, title


def test_exact_values_by_hand(coverage: ModuleType) -> None:
    """Of the oscillators, and of the molecule, whose stiff coordinates are nearly independent of b^2."""
    exact = coverage.EXAMPLES["harmonic, 60 dimensions"]().exact()
    k = np.geomspace(1.0, 100.0, 60)
    assert exact["F"] == pytest.approx(-0.5 * np.log(2 * math.pi / k).sum())
    assert exact["U at 330 K"] == pytest.approx(30.0) == exact["heat capacity"]
    assert exact["population"] == pytest.approx(stats.norm.cdf(0.9) - stats.norm.cdf(0.5), abs=1e-4)
    assert exact["PMF, kernel"] == pytest.approx(-stats.norm.logpdf(0.7), abs=1e-4)
    molecule = coverage.EXAMPLES["molecule in internal coordinates"]().exact()
    rotor = coverage.EXAMPLES["torsion rotor"]().exact()
    sigma = [0.005] * 3 + [0.08] * 2
    stiff = np.log([math.sqrt(2 * math.pi) * s for s in sigma]).sum()
    measure = 3 * math.log(0.15**2 + 0.005**2) + 2 * math.log(math.sin(1.95) * math.exp(-(0.08**2) / 2))
    assert molecule["F"] == pytest.approx(rotor["F"] - stiff - measure, abs=1e-6)
