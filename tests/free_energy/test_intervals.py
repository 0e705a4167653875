"""Limits of sums of weights on counts whose limits are known, and when there are none."""

import math

import numpy as np
import pytest
from scipy import stats

from boltzgen.free_energy.intervals import (
    NOT_ESTIMATED,
    Interval,
    WeightSum,
    log_ratio_interval,
    share_interval,
)


def equal(n: int, weight: float = 1.0) -> WeightSum:
    return WeightSum.build(np.full(n, weight))


def region(n: int, n_effective: float, k_hat: float = math.nan) -> WeightSum:
    return WeightSum(n, n_effective, float(n), 1.0, k_hat)


def test_a_sum_by_hand() -> None:
    found = WeightSum.build(np.array([4.0, 0.0, 2.0, 1.0]))
    assert (found.n, found.total, found.largest) == (3, 7.0, 4.0)
    assert found.n_effective == pytest.approx(49 / 21)
    assert math.isnan(found.k_hat)
    none = WeightSum.build(np.zeros(5))
    assert (none.n, none.n_effective, none.total, none.largest) == (0, 0.0, 0.0, 0.0)


@pytest.mark.parametrize("count", [1, 4, 12, 60])
def test_limits_of_equal_weights_are_those_of_a_poisson_count(count: int) -> None:
    """Mid-p: the tail beyond the count and half of the count itself have the probability to be missed."""
    s = equal(count, 0.01)
    low, high = s.lower(0.025) / 0.01, s.upper(0.025, s.largest) / 0.01
    assert stats.poisson.sf(count, low) + stats.poisson.pmf(count, low) / 2 == pytest.approx(0.025)
    assert stats.poisson.cdf(count - 1, high) + stats.poisson.pmf(count, high) / 2 == pytest.approx(0.025)
    assert s.bound(0.05, 0.01) / 0.01 == pytest.approx(stats.chi2.ppf(0.95, 2 * (count + 1)) / 2)


def test_the_bound_of_no_draw_is_the_rule_of_three() -> None:
    assert WeightSum.build(np.zeros(0)).bound(0.05, 0.01) == pytest.approx(0.01 * math.log(20))
    assert WeightSum.build(np.zeros(0)).lower(0.05) == 0.0


@pytest.mark.parametrize("scale", [1e-250, 1.0, 1e200])
def test_limits_scale_with_the_weights(scale: float) -> None:
    weights = np.random.default_rng(0).lognormal(sigma=0.8, size=40)
    plain, scaled = WeightSum.build(weights), WeightSum.build(scale * weights)
    assert scaled.n_effective == pytest.approx(plain.n_effective)
    for alpha in (0.025, 0.3):
        assert scaled.lower(alpha) / scale == pytest.approx(plain.lower(alpha), rel=1e-9)
        assert scaled.upper(alpha, 3.0 * scale) / scale == pytest.approx(plain.upper(alpha, 3.0), rel=1e-9)


@pytest.mark.parametrize("n", [1e3, 1e6, 1e9, 1e12])
def test_limits_of_very_many_draws_are_normal(n: float) -> None:
    s = WeightSum(int(n), n, 1.0, 1.0 / n, -math.inf)
    for limit in (s.lower(0.025), s.upper(0.025, s.largest)):
        assert abs(limit - 1) * math.sqrt(n) == pytest.approx(1.96, rel=0.05)


def test_many_draws_have_the_limits_of_the_delta_method() -> None:
    a, b = equal(40_000), equal(90_000)
    found = log_ratio_interval(a, b, 1.0)
    width = 1.96 * math.sqrt(1 / 40_000 + 1 / 90_000)
    assert found.low == pytest.approx(math.log(4 / 9) - width, abs=1e-4)
    assert found.high == pytest.approx(math.log(4 / 9) + width, abs=1e-4)
    backward = log_ratio_interval(b, a, 1.0)
    assert (backward.low, backward.high) == pytest.approx((-found.high, -found.low))
    share = share_interval(a, b, 1.0)
    assert share is not None
    assert share.low == pytest.approx(1 / (1 + math.exp(-found.low)))
    assert share.high == pytest.approx(1 / (1 + math.exp(-found.high)))


def test_a_heavier_tail_lifts_the_upper_limit_alone() -> None:
    light, heavy = (log_ratio_interval(region(50, 20, k), region(5000, 4000), 1.0) for k in (-0.5, 0.8))
    assert heavy.low == pytest.approx(light.low, abs=1e-3)
    assert heavy.high > light.high + 0.04
    other = log_ratio_interval(region(50, 20, -0.5), region(5000, 4000, 0.6), 1.0)
    assert other.high > light.high


@pytest.mark.parametrize(
    ("a", "b", "estimated"),
    [
        ((50, 20, 0.9), (5000, 4000, 0.2), True),  # few weights: their k-hat says little
        ((50, 20, 1.0), (5000, 4000, 0.2), False),
        ((50, 20, 0.2), (5000, 4000, 0.71), False),
        ((50, 20, 0.2), (5000, 4000, 0.69), True),
        ((9, 9.0, math.nan), (9, 9.0, math.nan), False),
        ((50, 20, 0.2), (5000, 9.9, 0.2), False),
        ((50, 9.9, 0.2), (5000, 4000, 0.2), True),
    ],
)
def test_what_is_not_estimated(a: tuple, b: tuple, estimated: bool) -> None:
    for first, second in ((a, b), (b, a)):
        found = log_ratio_interval(region(*first), region(*second), 1.0)
        assert found.is_estimated == estimated == (found != NOT_ESTIMATED)
        assert (share_interval(region(*first), region(*second), 1.0) is not None) == estimated


def test_a_rare_region_bounds_one_side() -> None:
    rare, common = equal(5), equal(995)
    assert log_ratio_interval(rare, common, 1.0).low == -math.inf
    assert log_ratio_interval(common, rare, 1.0).high == math.inf
    below, above = share_interval(rare, common, 1.0), share_interval(common, rare, 1.0)
    assert below is not None and above is not None
    assert below.low == 0.0
    assert above.high == 1.0
    assert above.low == pytest.approx(1 - below.high)
    wider = share_interval(rare, common, 10.0)  # a draw of ten times the weight may have been missed
    assert wider is not None
    assert wider.high > 2 * below.high
    assert share_interval(equal(0), common, 1.0) == Interval(
        0.0, pytest.approx(math.log(20) / (995 + math.log(20)))
    )


def weighted(law: str, rng: np.random.Generator, n: int) -> np.ndarray:
    return {
        "equal": lambda: np.ones(n),
        "log-normal": lambda: rng.lognormal(sigma=1.0, size=n),
        "Pareto": lambda: (1 - rng.random(n)) ** -0.5,
    }[law]()


@pytest.mark.parametrize(
    ("law", "mean", "n"), [("equal", 1.0, 20), ("log-normal", math.exp(0.5), 60), ("Pareto", 2.0, 50)]
)
def test_intervals_of_few_effective_draws_cover(law: str, mean: float, n: int) -> None:
    """About 20 to 30 effective draws: benchmarks/interval_coverage.py has the whole table."""
    exact = math.log(n / (20 * n))
    hits = []
    for seed in range(600):
        rng = np.random.default_rng(seed)
        a, b = (WeightSum.build(weighted(law, rng, rng.poisson(size))) for size in (n, 20 * n))
        if not a.is_rare:
            found = log_ratio_interval(a, b, max(a.largest, b.largest))
            if found.is_estimated:
                hits.append(found.low <= exact <= found.high)
    assert len(hits) > 450
    assert 0.925 < np.mean(hits) < 0.992


def test_weights_without_a_mean_square_are_hardly_ever_given_an_interval() -> None:
    estimated = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        weights = (1 - rng.random(20_000)) ** -0.95
        a, b = WeightSum.build(weights[:1000]), WeightSum.build(weights[1000:])
        estimated += log_ratio_interval(a, b, float(weights.max())).is_estimated
    assert estimated < 5
