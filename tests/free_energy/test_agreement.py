"""Tests of agreement have the probabilities that they state, and find differences."""

import numpy as np
import pytest
from scipy.stats import chi2_contingency, kstest

from boltzgen.free_energy.agreement import agreement


def sample(rng: np.random.Generator, p: float, n: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    return rng.choice([0, 1, -1], n, p=[p, 0.9 - p, 0.1]), spread * rng.normal(size=n)


@pytest.mark.parametrize("spread", [0.0, 0.7])
@pytest.mark.parametrize("n_samples", [2, 4])
def test_probabilities_are_uniform_where_all_are_of_one_distribution(spread: float, n_samples: int) -> None:
    rng, found = np.random.default_rng(0), []
    for _ in range(400):
        parts = [sample(rng, 0.3, 2_000 + 1_000 * k, spread) for k in range(n_samples)]
        rows = agreement([p[0] for p in parts], [p[1] for p in parts], ["a", "b"])
        assert rows[0].degrees_of_freedom == n_samples - 1
        found.append([row.probability for row in rows])
    for column in np.array(found, dtype=float).T:
        assert kstest(column, "uniform").pvalue > 0.01
        assert 0.02 < (column < 0.05).mean() < 0.09


def test_a_difference_is_found() -> None:
    rng = np.random.default_rng(1)
    parts = [sample(rng, p, 5_000, 0.5) for p in (0.3, 0.35)]
    first, _ = agreement([p[0] for p in parts], [p[1] for p in parts], ["a", "b"])
    assert first.probability is not None and first.probability < 1e-3
    assert first.populations == pytest.approx([0.3, 0.35], abs=0.03)


def test_equal_weights_give_pearsons_test() -> None:
    labels = [np.repeat([0, 1], [60, 140]), np.repeat([0, 1], [180, 220])]
    (first, second) = agreement(labels, [np.zeros(200), np.zeros(400)], ["a", "b"])
    expected = chi2_contingency([[60, 140], [180, 220]], correction=False)
    # Pearson's takes n p for the variance of each sample, this test the samples' own.
    assert first.chi_squared == pytest.approx(expected.statistic, rel=0.06)
    assert second.chi_squared == pytest.approx(first.chi_squared)
    assert first.standard_errors == pytest.approx([(0.3 * 0.7 / 200) ** 0.5, (0.45 * 0.55 / 400) ** 0.5])


def test_too_few_draws_are_not_tested() -> None:
    labels = [np.repeat([0, 1], [2, 998]), np.repeat([0, 1], [3, 997])]
    rows = agreement(labels, [np.zeros(1_000)] * 2, ["rare", "common"])
    assert [row.chi_squared for row in rows] == [None, None]
    assert rows[0].populations == pytest.approx([0.002, 0.003])


def test_a_state_that_one_sample_lacks_is_tested_by_the_other() -> None:
    labels = [np.repeat([0, 1], [50, 950]), np.ones(1_000, dtype=int)]
    rare, _ = agreement(labels, [np.zeros(1_000)] * 2, ["rare", "common"])
    assert rare.probability is not None and rare.probability < 1e-6


def test_nothing_is_known_of_a_sample_without_weight() -> None:
    rng = np.random.default_rng(3)
    labels, log_w = sample(rng, 0.3, 2_000, 0.5)
    (row, _) = agreement([labels, labels[:500]], [log_w, np.full(500, -np.inf)], ["a", "b"])
    assert row.probability is None
    assert row.standard_errors[0] is not None and row.standard_errors[1] is None
    assert row.populations == pytest.approx([0.3, 0.0], abs=0.03)


def test_weights_that_are_not_to_be_trusted_are_not_tested() -> None:
    rng = np.random.default_rng(2)
    heavy = rng.pareto(0.8, 1_000)
    rows = agreement([np.arange(1_000) % 2] * 2, [np.log(heavy), np.zeros(1_000)], ["a", "b"])
    assert rows[0].chi_squared is None
    assert rows[0].standard_errors[0] is None and rows[0].standard_errors[1] is not None
