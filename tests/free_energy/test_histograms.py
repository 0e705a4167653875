"""Histograms of walkers against distributions and chains whose scatter is known."""

import math

import numpy as np
import pytest

from boltzgen.free_energy.histograms import Axis, Histogram, effective_count, jackknife_error, walker_groups


def tally(bins: np.ndarray, group: np.ndarray, weights: np.ndarray, n_bins: int) -> np.ndarray:
    return np.bincount(group * n_bins + bins, weights, minlength=(int(group.max()) + 1) * n_bins).reshape(
        -1, n_bins
    )


def test_an_axis_has_open_ends_and_equal_bins() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(3.0, 0.5, 100_000)
    axis = Axis.spanning("x", "nm", values, np.ones(100_000), 12)
    assert axis.edges.shape == (13,)
    assert axis.low == pytest.approx(0.5, abs=0.02)
    assert axis.high == pytest.approx(5.5, abs=0.02)
    np.testing.assert_array_equal(
        axis.bins(
            np.array([-1e9, axis.low - 1e-6, axis.low + 1e-6, axis.high - 1e-6, axis.high + 1e-6, 1e9])
        ),
        [0, 0, 1, 10, 11, 11],
    )
    assert axis.bins(np.array([np.nan, np.inf, -np.inf])).tolist() == [0, 11, 0]
    inside = np.searchsorted(axis.edges, values, side="right") - 1
    np.testing.assert_array_equal(axis.bins(values), inside)


def test_a_periodic_axis_closes() -> None:
    axis = Axis.periodic("phi", 4)
    assert axis.bins(np.array([-math.pi, -0.1, 0.1, math.pi])).tolist() == [0, 1, 2, 0]
    np.testing.assert_allclose(np.degrees(axis.edges), [-180, -90, 0, 90, 180])


def test_the_jackknife_of_a_mean_is_its_standard_error() -> None:
    """For groups of equal weight it is exactly the standard deviation of the groups' means over sqrt(G)."""
    means = np.random.default_rng(0).normal(size=(11, 3))
    expected = means.std(axis=0, ddof=1) / math.sqrt(11)
    np.testing.assert_allclose(jackknife_error(means * 4.0, np.full(11, 4.0)), expected, rtol=1e-12)


def test_errors_cover_under_unequal_weights() -> None:
    """Draws with weights 1 + x for x = 0, 1 fair: share of x = 1 is 2/3; the jackknife's errors have the
    scatter of the estimates.
    """
    estimates, errors = [], []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        x = rng.integers(0, 2, 4000)
        histogram = Histogram.normalised(tally(x, rng.integers(0, 16, 4000), 1.0 + x, 2))
        estimates.append(histogram.probability[1])
        errors.append(histogram.standard_error[1])
        assert histogram.halves.sum(axis=1) == pytest.approx(1.0)
    assert np.mean(estimates) == pytest.approx(2 / 3, abs=4 * np.std(estimates) / math.sqrt(300))
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(estimates), rel=0.1)


def chain(rng: np.random.Generator, n: int, stay: float, n_bins: int) -> np.ndarray:
    """A chain that stays where it is with probability `stay` and else jumps to a random bin: statistical
    inefficiency (1 + stay) / (1 - stay).
    """
    jumps = rng.random(n) > stay
    jumps[0] = True
    return rng.integers(0, n_bins, n)[np.maximum.accumulate(np.where(jumps, np.arange(n), 0))]


@pytest.mark.parametrize("stay", [0.0, 0.9])
def test_effective_count_sees_correlation_in_time(stay: float) -> None:
    n, n_walkers, n_bins = 4000, 32, 40
    rng = np.random.default_rng(1)
    sums = np.stack(
        [np.bincount(chain(rng, n, stay, n_bins), minlength=n_bins) for _ in range(n_walkers)]
    ).astype(float)
    expected = n * n_walkers * (1 - stay) / (1 + stay)
    # 31 degrees of freedom in each of 39 bins: a relative error of sqrt(2 / 1200), and both values of `stay`
    # lie far apart.
    assert effective_count(sums) == pytest.approx(expected, rel=0.15)


def test_a_rare_visit_of_one_walker_counts_once() -> None:
    sums = np.tile([1000.0, 0.0], (16, 1))
    sums[3] = [900.0, 100.0]
    histogram = Histogram.normalised(sums)
    assert histogram.standard_error[1] == pytest.approx(histogram.probability[1], rel=0.1)
    assert histogram.degrees_of_freedom == 15


def test_sums_of_bins_have_the_error_of_the_sum() -> None:
    sums = np.random.default_rng(0).gamma(2.0, size=(9, 5))
    histogram = Histogram.normalised(sums)
    merged = Histogram.normalised(np.stack([sums[:, :2].sum(1), sums[:, 2:].sum(1)], axis=1))
    assert histogram.combined_error(np.array([[1, 1, 0, 0, 0]]))[0] == pytest.approx(merged.standard_error[0])


def test_one_walker_has_no_errors() -> None:
    with pytest.raises(ValueError, match="at least two independent walkers, got 1"):
        Histogram.normalised(np.array([[1.0, 2.0], [0.0, 0.0]]))


def test_groups_of_walkers() -> None:
    walker = np.array([7, 7, -2, 100, 7, -2])
    assert walker_groups(walker).tolist() == [1, 1, 0, 2, 1, 0]
    assert walker_groups(np.arange(100)).max() == 31
