"""Means with errors and intervals: known values, limits that agree with others, warnings where few decide."""

import math

import numpy as np
import pytest

from boltzgen.free_energy.bootstrap import bootstrap_t, resampled_sums
from boltzgen.free_energy.intervals import WeightSum, share_interval
from boltzgen.free_energy.means import expectation, from_influence, mean_interval, probability, tail_warnings
from boltzgen.weights import weighted_mean


def drawn(n: int = 4000, sigma: float = 0.5, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Standard normal values, and log-weights that have nothing to do with them."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal(n), sigma * rng.standard_normal(n)


@pytest.mark.parametrize("errors", ["analytic", "bootstrap"])
def test_an_average_has_the_error_and_nearly_the_interval_of_a_normal_distribution(errors: str) -> None:
    f, log_w = drawn(2000)
    w = np.exp(log_w) / np.exp(log_w).sum()
    mean, error = weighted_mean(f, w)
    found = expectation(f, log_w + 3.0, errors=errors, unit="nm", seed=0)
    assert found.value == pytest.approx(mean)
    assert found.error == pytest.approx(error, rel=1e-9 if errors == "analytic" else 0.1)
    assert (found.high - mean) / error == pytest.approx(1.96, rel=0.15)
    assert (mean - found.low) / error == pytest.approx(1.96, rel=0.15)
    assert found.unit == "nm" and found.is_trusted


def test_the_interval_of_a_condition_is_that_of_its_share() -> None:
    f, log_w = drawn(sigma=1.0)
    w, inside = np.exp(log_w), f > 1.0
    w /= w.sum()
    found = mean_interval(inside.astype(float), w)
    share = share_interval(WeightSum.build(w[inside]), WeightSum.build(w[~inside]), w.max())
    assert share is not None
    assert (found.low, found.high) == pytest.approx((share.low, share.high), rel=1e-3)
    assert probability(inside, log_w).low == pytest.approx(share.low)


def test_a_rare_condition_has_a_bound_that_is_said() -> None:
    inside = np.zeros(1000, dtype=bool)
    inside[:4] = True
    found = probability(inside, np.zeros(1000))
    assert found.low == 0.0 and 0.004 < found.high < 0.012
    assert "one-sided" in found.warnings[0]
    none = probability(np.zeros(1000, dtype=bool), np.zeros(1000))
    assert none.value == 0.0 and none.high == pytest.approx(math.log(20) / 1000, rel=0.05)


def test_a_skewed_mean_has_a_skewed_interval() -> None:
    f = np.random.default_rng(0).exponential(size=200) ** 2
    found = expectation(f, np.zeros(200))
    assert found.high - found.value > 1.2 * (found.value - found.low)


@pytest.mark.parametrize("errors", ["analytic", "bootstrap"])
def test_draws_without_weight_do_not_count_but_in_the_number(errors: str) -> None:
    f, log_w = drawn(1000)
    padded = expectation(
        np.append(f, [np.nan, np.inf]), np.append(log_w, [-np.inf, -np.inf]), errors=errors, seed=0
    )
    plain = expectation(f, log_w, errors=errors, seed=0)
    assert padded.value == pytest.approx(plain.value)
    assert padded.error == pytest.approx(plain.error, rel=1e-3 if errors == "analytic" else 0.1)


def test_equal_values_have_no_error() -> None:
    for errors in ("analytic", "bootstrap"):
        found = expectation(np.full(500, 2.5), drawn(500)[1], errors=errors)
        assert (found.value, found.low, found.high) == pytest.approx((2.5, 2.5, 2.5))
        assert found.error == pytest.approx(0.0, abs=1e-12)


def test_influences_are_those_of_a_mean() -> None:
    f, _ = drawn()
    found, plain = from_influence(float(f.mean()), 7.0 + f), expectation(f, np.zeros(len(f)))
    assert (found.error, found.low, found.high) == pytest.approx(
        (plain.error, plain.low, plain.high), rel=1e-4
    )


def test_heavy_tails_warn() -> None:
    """A density drawn from one of 0.45 times its width; the mean of x^2 is too low, and says so."""
    warned = 0
    for seed in range(8):
        x = 0.45 * np.random.default_rng(seed).standard_normal(2000)
        log_w = 0.5 * x**2 * (1 / 0.45**2 - 1)
        warned += bool(expectation(x**2, log_w).warnings) and bool(
            expectation(x**2, log_w, errors="bootstrap").warnings
        )
    assert warned >= 7
    f, log_w = drawn(90)
    assert "effective draws" in expectation(f, log_w).warnings[0]


def test_a_tail_of_the_contributions_alone_warns() -> None:
    f = np.random.default_rng(0).pareto(1.05, 3000)
    assert any("few draws decide" in w for w in expectation(f, np.zeros(3000)).warnings)
    assert tail_warnings(np.zeros(10)) == ()
    assert tail_warnings(drawn()[0]) == () == tail_warnings(drawn()[0], "bootstrap")
    # Of too few for a shape none is said.
    assert tail_warnings(np.arange(9.0)) == ("few draws decide: 6.35 effective contributions",)


def test_too_few_draws_on_one_side_are_no_interval() -> None:
    f = np.zeros(500)
    f[:3] = 1.0
    found = expectation(f, np.zeros(500))
    assert (found.low, found.high) == (-math.inf, math.inf)
    assert any("not estimated" in w for w in found.warnings)


def test_resampled_sums_have_multinomial_moments() -> None:
    columns = np.stack((np.ones(50), np.arange(50.0)), axis=1)
    sums = resampled_sums(columns, 50, seed=3, n_replicates=4000)
    assert np.all(sums[:, 0] == 50)
    assert sums[:, 1].mean() == pytest.approx(columns[:, 1].sum(), rel=0.01)
    assert sums[:, 1].var() == pytest.approx(50 * columns[:, 1].var(), rel=0.1)
    fewer = resampled_sums(columns, 100, seed=3, n_replicates=4000)[:, 0]  # half have no weight
    assert fewer.mean() == pytest.approx(50, rel=0.01) and fewer.var() == pytest.approx(25, rel=0.1)
    assert np.array_equal(sums, resampled_sums(columns, 50, seed=3, n_replicates=4000))


def test_studentised_limits_by_hand() -> None:
    t = np.linspace(-1.0, 3.0, 401)
    low, high = bootstrap_t(10.0, 2.0, 10.0 + 0.5 * t, np.full(401, 0.5))
    assert (low, high) == pytest.approx((10 - 2 * 2.9, 10 - 2 * -0.9))
    assert bootstrap_t(1.0, 0.0, t, t) == (1.0, 1.0)


@pytest.mark.parametrize(
    ("values", "log_w", "message"),
    [
        (np.ones(3), np.zeros(4), "one value for each of 4"),
        (np.array([1.0, np.nan]), np.zeros(2), "1 values are not finite"),
        (np.ones(2), np.full(2, -np.inf), "all weights are zero"),
        (np.ones(2), np.array([0.0, np.inf]), "NaN or"),
        (np.ones(0), np.zeros(0), "n >= 1"),
    ],
)
def test_refusals(values: np.ndarray, log_w: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        expectation(values, log_w)


def test_no_such_errors() -> None:
    with pytest.raises(ValueError, match="analytic, bootstrap"):
        expectation(np.ones(3), np.zeros(3), errors="jackknife")  # type: ignore[arg-type]
