"""Missing modes: bounds that cover, and verdicts on walkers and draws of known shares."""

import math

import numpy as np
import pytest

from boltzgen.evaluation import modes
from boltzgen.evaluation.modes import Drawn
from boltzgen.free_energy.histograms import Histogram

N_BINS = 72


def walkers(
    rng: np.random.Generator, shares: np.ndarray, *, n_walkers: int, n: int, stay: float
) -> Histogram:
    """Histogram of walkers that stay in their bin with probability `stay` and else draw a new one from
    `shares`.
    """
    sums = np.zeros((n_walkers, len(shares)))
    for k in range(n_walkers):
        jumps = rng.random(n) > stay
        jumps[0] = True
        fresh = rng.choice(len(shares), n, p=shares)
        sums[k] = np.bincount(
            fresh[np.maximum.accumulate(np.where(jumps, np.arange(n), 0))], minlength=len(shares)
        )
    return Histogram.normalised(sums)


def draws(rng: np.random.Generator, shares: np.ndarray, n: int, sigma: float = 0.3) -> Drawn:
    """n draws from `shares` with lognormal weights that do not depend on the bin."""
    weights = np.exp(sigma * rng.standard_normal(n))
    return Drawn.build(rng.choice(len(shares), n, p=shares), weights / weights.sum(), len(shares))


def test_weighted_bounds_cover() -> None:
    """A region of share 0.002 under lognormal weights: each bound is missed about as often as it says, or
    less.
    """
    alpha, share, missed = 0.05, 0.002, np.zeros(2)
    for seed in range(1000):
        rng = np.random.default_rng(seed)
        drawn = draws(rng, np.array([1 - share, share]), 5000)
        low, high = modes.weighted_bounds(drawn.weight[1:], drawn.square[1:], drawn.largest, alpha)
        missed += [low[0] > share, high[0] < share]
    assert (missed / 1000 < 1.6 * alpha).all()
    assert missed[0] > 5
    low, high = modes.weighted_bounds(np.zeros(1), np.zeros(1), 1e-3, 0.05)
    assert (low[0], high[0]) == pytest.approx((0.0, -1e-3 * math.log(0.05)))  # the rule of three


@pytest.mark.parametrize("n_walkers", [8, 32])
def test_walker_bounds_cover(n_walkers: int) -> None:
    alpha, missed, share = 0.05, np.zeros(2), 0.05
    for seed in range(400):
        histogram = walkers(
            np.random.default_rng(seed), np.array([1 - share, share]), n_walkers=n_walkers, n=300, stay=0.9
        )
        error = histogram.standard_error[1:]
        low, high = modes.walker_bounds(
            histogram.probability[1:], error, histogram.degrees_of_freedom, histogram.n_effective, alpha
        )
        missed += [low[0] > share, high[0] < share]
    assert (missed / 400 < 1.6 * alpha + 0.02).all()
    low, high = modes.walker_bounds(np.zeros(1), np.zeros(1), 7, 500.0, 0.05)
    assert (low[0], high[0]) == pytest.approx((0.0, -math.log(0.05) / 500))
    # A table without any effective draw bounds nothing.
    low, high = modes.walker_bounds(np.full(1, 0.3), np.full(1, 0.1), 7, 0.0, 0.05)
    assert 0.0 <= low[0] < 0.3 and high[0] == 1.0


def bumps(*centres: float) -> np.ndarray:
    """Shares of bins: a sum of von Mises bumps at these angles [degrees]."""
    angle = np.radians(-180 + 360 * (np.arange(N_BINS) + 0.5) / N_BINS)
    shares = sum(np.exp(20 * (np.cos(angle - math.radians(c)) - 1)) for c in centres)
    return np.asarray(shares / np.sum(shares))


def test_equal_distributions_are_rarely_flagged() -> None:
    """100 correlated references against as many sets of draws: one false alarm in 1000 is aimed at."""
    shares = 0.99 * bumps(-60, 180) + 0.01 * bumps(60)
    flagged = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        histogram = walkers(rng, shares, n_walkers=16, n=500, stay=0.8)
        flagged += bool(modes.missing_arcs("chi", histogram, draws(rng, shares, 5000, sigma=0.6), 1))
    assert flagged <= 1


@pytest.mark.parametrize("share", [0.02, 0.3])
def test_a_missing_rotamer_is_found_where_it_is(share: float) -> None:
    rng = np.random.default_rng(0)
    shares = (1 - share) * bumps(-60, 180) + share * bumps(60)
    histogram = walkers(rng, shares, n_walkers=16, n=2000, stay=0.8)
    (found,) = modes.missing_arcs("chi", histogram, draws(rng, bumps(-60, 180), 20_000), 1)
    assert found.verdict == "missing"
    assert found.generator < 0.3 * found.reference
    assert found.reference == pytest.approx(share, rel=0.3)
    low, high = (float(v) for v in found.region.split("[")[1].split(")")[0].split(","))
    assert (60 - low) % 360 < (high - low) % 360
    assert "the reference has" in str(found)
    (extra,) = modes.missing_arcs(
        "chi", walkers(rng, bumps(-60, 180), n_walkers=16, n=2000, stay=0.8), draws(rng, shares, 20_000), 1
    )
    assert extra.verdict == "extra"


def test_a_mode_that_one_walker_met_once_is_no_evidence() -> None:
    """50 correlated frames of one walker in a region that no draw is in: as one independent observation, it
    proves nothing.
    """
    rng = np.random.default_rng(0)
    sums = rng.multinomial(1000, bumps(-60), size=16).astype(float)
    sums[2] += 50 * bumps(60)
    assert modes.missing_arcs("chi", Histogram.normalised(sums), draws(rng, bumps(-60), 20_000), 1) == []
    spread = rng.multinomial(1000, bumps(-60), size=16) + 50 * bumps(60)
    assert modes.missing_arcs("chi", Histogram.normalised(spread), draws(rng, bumps(-60), 20_000), 1) != []


def test_basins() -> None:
    rng = np.random.default_rng(0)
    truth = np.array([0.6, 0.35, 0.05, 0.0])
    names = ["A", "B", "C"]
    histogram = walkers(rng, truth, n_walkers=16, n=2000, stay=0.5)
    assert modes.missing_basins(histogram, draws(rng, truth, 20_000), names) == []
    (found,) = modes.missing_basins(histogram, draws(rng, np.array([0.62, 0.38, 0.0, 0.0]), 20_000), names)
    assert (found.region, found.verdict, found.generator) == ("basin C", "missing", 0.0)
    # A basin that is off by less than a factor of two is a disagreement, not a missing mode.
    assert modes.missing_basins(histogram, draws(rng, np.array([0.62, 0.35, 0.03, 0.0]), 20_000), names) == []
    (other,) = modes.missing_basins(histogram, draws(rng, np.array([0.6, 0.3, 0.05, 0.05]), 20_000), names)
    assert (other.region, other.verdict) == ("outside every basin", "extra")


def log_weights(rng: np.random.Generator, n: int, sigma: float, *, target: bool) -> np.ndarray:
    """log w of p = N(sigma, 1) against q = N(0, 1), of draws from q or from the target p: normal about -+
    sigma^2 / 2.
    """
    return sigma * (rng.standard_normal(n) + (sigma if target else 0.0)) - sigma**2 / 2


@pytest.mark.parametrize("sigma", [0.3, 1.0])
def test_log_weights_of_the_reference_are_as_the_draws_say(sigma: float) -> None:
    """Efficiencies of 91 and 37 %, 20 seeds each: nothing is flagged; a mode of 0.3 % with a density e^8 too
    low is, each time.
    """
    group = np.arange(5000) % 20
    for seed in range(20):
        rng = np.random.default_rng(seed)
        ours, theirs = (
            log_weights(rng, 20_000, sigma, target=False),
            log_weights(rng, 5000, sigma, target=True),
        )
        assert modes.missing_weights(ours, theirs, group) == []
        assert modes.outliers(ours, theirs) == ""
        blind = np.where(rng.random(5000) < 0.003, theirs + 8.0, theirs)
        assert "reference configurations have log-weights" in modes.outliers(ours, blind)


def test_a_mode_of_high_weight_is_a_region() -> None:
    rng = np.random.default_rng(0)
    ours, theirs = log_weights(rng, 20_000, 0.3, target=False), log_weights(rng, 5000, 0.3, target=True)
    blind = np.where(rng.random(5000) < 0.05, theirs + 5.0, theirs)
    found = modes.missing_weights(ours, blind, np.arange(5000) % 20)
    assert found
    assert found[0].verdict == "missing"
    assert found[0].reference == pytest.approx(0.05, abs=0.01)
    ours[:100] = -math.inf  # draws outside the domain do not disturb
    assert modes.missing_weights(ours, theirs, np.arange(5000) % 20) == []


def test_forward_against_reverse() -> None:
    assert modes.collapsed(0.9, 0.92) == ""
    assert modes.collapsed(0.3, 0.92) == ""
    assert "forward ESS 10 % is far below" in modes.collapsed(0.1, 0.92)
    assert modes.outliers(np.zeros(100), np.array([0.0, math.inf])) != ""
    assert modes.outliers(np.zeros(100), np.array([0.0, 4.0, 4.0])) == ""


def test_small_shares_have_plain_figures() -> None:
    assert "forward ESS < 0.001 % is far below the reverse 0.00691 %" in modes.collapsed(7e-9, 6.91e-5)
