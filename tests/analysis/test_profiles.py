"""Weighted means and profiles whose answer is known."""

import csv
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from boltzgen.analysis.profiles import profile, save_profile
from boltzgen.weights import weighted_mean


def weighted_normal(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws of N(1, 1.3^2 0.01) with weights to N(1, 0.01) that sum to one."""
    z = 1.3 * np.random.default_rng(seed).standard_normal(n)
    w = np.exp(-0.5 * z**2 + 0.5 * (z / 1.3) ** 2)
    return 1.0 + 0.1 * z, w / w.sum()


def test_the_mean_and_its_error() -> None:
    found = np.array([weighted_mean(*weighted_normal(300, seed)) for seed in range(400)])
    assert found[:, 0].mean() == pytest.approx(1.0, abs=4 * found[:, 0].std() / 20)
    assert found[:, 1].mean() == pytest.approx(found[:, 0].std(), rel=0.1)
    covered = np.abs(found[:, 0] - 1.0) < 1.96 * found[:, 1]
    assert 0.91 < covered.mean() < 0.985
    values = np.array([1.0, 2.0, 4.0, math.nan])
    assert weighted_mean(values, np.array([0.5, 0.25, 0.25, 0.0]))[0] == pytest.approx(2.0)
    plain = weighted_mean(values[:3], np.full(3, 1 / 3))
    assert plain == (pytest.approx(7 / 3), pytest.approx(stats.sem(values[:3])))
    assert weighted_mean(np.ones(1), np.ones(1)) == (1.0, math.inf)


def test_the_profile_and_its_errors() -> None:
    values, weights = weighted_normal(100_000, 0)
    found = profile(values, weights)
    assert found.probability.sum() == pytest.approx(1.0, abs=1e-5)
    assert abs(found.counts.sum() - len(values)) < 30
    exact = np.diff(stats.norm(1.0, 0.1).cdf(found.edges))
    z = (found.probability - exact)[found.counts > 20] / found.error[found.counts > 20]
    assert np.abs(z).max() < 4.5
    assert z.std() == pytest.approx(1.0, abs=0.35)
    deepest = found.free_energy[found.counts > 0].max()
    assert found.free_energy.min() == 0.0
    assert deepest > 5.0
    assert (found.free_energy_error[found.counts > 0] > 0).all()


def test_the_intervals_of_a_profile_hold_what_is_exact() -> None:
    covered, bounded = [], []
    for seed in range(40):
        values, weights = weighted_normal(2_000, seed)
        found = profile(values, weights, n_bins=20)
        exact = np.diff(stats.norm(1.0, 0.1).cdf(found.edges))
        is_bound = found.low == 0
        assert (found.counts[~is_bound] >= 10).all()
        covered += ((found.low <= exact) & (exact <= found.high))[~is_bound].tolist()
        bounded += (exact <= found.high)[is_bound].tolist()
        low, high = found.free_energy_interval
        assert np.isposinf(high[is_bound]).all()
        assert (low <= found.free_energy).all() and (found.free_energy <= high).all()
    assert 0.93 < np.mean(covered) < 0.98
    assert np.mean(bounded) > 0.93


def test_heavy_weights_leave_the_intervals_of_a_profile_empty(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    weights = (1 - rng.random(5_000)) ** -1.3
    found = profile(rng.standard_normal(5_000), weights / weights.sum(), n_bins=5)
    assert np.isnan(found.free_energy_interval).all()
    save_profile(found, "end_to_end", tmp_path / "p.csv")
    with (tmp_path / "p.csv").open() as file:
        for row in csv.DictReader(file):
            assert row["free_energy_low_kT"] == row["free_energy_high_kT"] == ""
            assert row["free_energy_error_kT"] == row["probability_error"] == ""
            assert float(row["probability"]) > 0


def test_a_profile_of_gaps_and_of_a_single_value(tmp_path: Path) -> None:
    values = np.array([0.5] * 10 + [0.9] * 30 + [math.nan])
    weights = np.array([0.025] * 40 + [0.0])
    found = profile(values, weights, n_bins=10)
    assert found.probability.tolist() == pytest.approx([0.25] + [0.0] * 8 + [0.75])
    assert found.free_energy[0] == pytest.approx(math.log(3))
    assert np.isposinf(found.free_energy[1:9]).all()
    assert np.isnan(found.error).all() and np.isnan(found.free_energy_error).all()  # 40 effective draws
    assert np.isposinf(profile(np.tile(values, 5), np.tile(weights, 5) / 5, 10).free_energy_error[1:9]).all()
    save_profile(found, "end_to_end", tmp_path / "p.csv")
    with (tmp_path / "p.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["count"]) for row in rows] == found.counts.tolist()
    assert [float(row["free_energy_kT"]) for row in rows] == pytest.approx(found.free_energy.tolist())
    np.testing.assert_allclose([float(row["end_to_end_nm"]) for row in rows], found.centres)
    assert profile(np.ones(3), np.full(3, 1 / 3)).probability.max() == pytest.approx(1.0)
