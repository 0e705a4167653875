"""Exact sums: right, and the same to the last bit in any order and grouping."""

import math
from fractions import Fraction

import numpy as np
import pytest

from boltzgen.statistics.exact import ExactSums, Terms, powers_of_two


def added(mantissa: np.ndarray, exponent: np.ndarray, cells: np.ndarray, n: int) -> ExactSums:
    found = ExactSums.zeros(n)
    found.add(cells[None], Terms.of(mantissa, exponent))
    return found


def same(a: ExactSums, b: ExactSums) -> bool:
    return a.top == b.top and np.array_equal(a.limbs, b.limbs)


def exact(sums: ExactSums, k: int) -> Fraction:
    if sums.top is None:
        return Fraction(0)
    return sum(
        (
            Fraction(int(limb)) * Fraction(2) ** (26 * (sums.top - j))
            for j, limb in enumerate(sums.limbs[k].tolist())
        ),
        Fraction(0),
    )


@pytest.mark.parametrize("value", [1.0, -1.0, math.pi, 2.0**26, 2.0**-26, 1 / 3, -(2.0**53) + 1, 5e-324, 0.0])
@pytest.mark.parametrize("exponent", [0, 1, 25, 26, 27, -1, -26, 1000, -100_000])
def test_one_term_is_kept_exactly(value: float, exponent: int) -> None:
    found = added(np.array([value]), np.array([exponent]), np.array([0]), 1)
    assert exact(found, 0) == Fraction(value) * Fraction(2) ** exponent


@pytest.mark.parametrize("spread", [1.0, 20.0, 60.0])
def test_sums_do_not_depend_on_order_or_grouping(spread: float) -> None:
    rng = np.random.default_rng(0)
    n = 3_000
    mantissa, exponent = rng.normal(size=n), rng.normal(scale=spread, size=n).astype(np.int64)
    cells = rng.integers(0, 5, n)
    whole = added(mantissa, exponent, cells, 5)
    plain = [0.0] * 5
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(n)
        merged = ExactSums.zeros(5)
        for part in np.array_split(order, seed + 2):
            merged.merge(added(mantissa[part], exponent[part], cells[part], 5))
        assert same(whole, merged)
    for m, e, c in zip(mantissa.tolist(), exponent.tolist(), cells.tolist(), strict=True):
        plain[c] += m * 2.0**e
    largest = float(np.abs(np.ldexp(mantissa, exponent)).max())
    for k in range(5):
        here = zip(mantissa[cells == k].tolist(), exponent[cells == k].tolist(), strict=True)
        right = sum((Fraction(m) * Fraction(2) ** e for m, e in here), Fraction(0))
        assert abs(float(exact(whole, k) - right)) <= n * 2.0**-78 * largest
        assert float(exact(whole, k)) == pytest.approx(plain[k], rel=1e-9, abs=1e-12 * largest)


def test_a_float_sum_does_depend_on_the_order() -> None:
    """Else the test above would show nothing."""
    values = np.random.default_rng(0).lognormal(sigma=5.0, size=1_000)
    assert len({float(np.cumsum(np.random.default_rng(k).permutation(values))[-1]) for k in range(9)}) > 1


def test_what_is_below_the_places_kept_is_lost_whenever_it_comes() -> None:
    small, large = (np.array([1.0]), np.array([0])), (np.array([1.0]), np.array([26 * 4 + 5]))
    first, last = ExactSums.zeros(1), ExactSums.zeros(1)
    for sums, order in ((first, (small, large)), (last, (large, small))):
        for mantissa, exponent in order:
            sums.merge(added(mantissa, exponent, np.array([0]), 1))
    assert same(first, last)
    assert exact(first, 0) == Fraction(2) ** (26 * 4 + 5)


def test_logarithms_and_ratios() -> None:
    log_w = np.random.default_rng(1).normal(-3e4, 20.0, 500)
    cells = np.arange(500) % 3
    sums = added(*powers_of_two(log_w), cells, 4)
    expected = [np.logaddexp.reduce(log_w[cells == k]) for k in range(3)]
    found = sums.logarithms()
    assert found[:3] == pytest.approx(expected, rel=1e-15)
    assert found[3] == -math.inf
    total = sums.total()
    assert sums.over(total).sum() == pytest.approx(1.0, rel=1e-14)
    shares = np.exp(np.array(expected) - np.logaddexp.reduce(log_w))
    assert sums.over(total)[:3] == pytest.approx(shares, rel=1e-9)


def test_powers_of_two_are_the_weights() -> None:
    log_w = np.concatenate([np.linspace(-700, 700, 9_999), [0.0, math.log(2.0), -math.log(2.0)]])
    mantissa, exponent = powers_of_two(log_w)
    assert ((mantissa >= 1 - 1e-15) & (mantissa < 2 + 1e-14)).all()
    assert np.ldexp(mantissa, exponent) == pytest.approx(np.exp(log_w), rel=1e-14)


def test_subtraction_takes_away_what_was_added() -> None:
    rng = np.random.default_rng(2)
    mantissa, exponent = rng.random(100), rng.integers(-50, 0, 100)
    cells = np.zeros(100, dtype=int)
    sums = added(mantissa, exponent, cells, 1)
    sums.merge(added(mantissa[:40], exponent[:40], cells[:40], 1), sign=-1)
    rest = added(mantissa[40:], exponent[40:], cells[40:], 1)
    assert exact(sums, 0) == exact(rest, 0)
