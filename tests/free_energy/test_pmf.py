"""Potentials of mean force of known densities: values, bands, circles, two coordinates, and refusals."""

import math

import numpy as np
import pytest
from scipy import stats

from boltzgen.free_energy.bandwidth import plug_in_bandwidth
from boltzgen.free_energy.kernel_pmf import kernel_pmf
from boltzgen.free_energy.pmf import Coordinate, Pmf, histogram_pmf

TURN = 2 * math.pi


def von_mises(n: int, seed: int = 0) -> tuple[Coordinate, np.ndarray]:
    """Uniform draws on the circle, any turn, weighted to a von Mises density about pi: over the seam."""
    s = np.random.default_rng(seed).uniform(0, 3 * TURN, n)
    return Coordinate(s, "phi", "rad", TURN), 2.0 * np.cos(s - math.pi)


def plane(n: int, seed: int = 0) -> tuple[list[Coordinate], np.ndarray]:
    """A normal and a von Mises coordinate, independent; weights bring the first from width 1.2 to 1."""
    rng = np.random.default_rng(seed)
    x, y = 1.2 * rng.standard_normal(n), rng.vonmises(0.5, 1.5, n)
    log_w = -0.5 * x**2 * (1 - 1 / 1.2**2)
    return [Coordinate(x, "x", "nm"), Coordinate(y, "y", "rad", TURN)], log_w


def coverage(found: Pmf, exact: np.ndarray) -> float:
    """Share of the points whose band holds the exact density."""
    return float(np.mean((found.low <= exact) & (exact <= found.high)))


@pytest.mark.parametrize("make", [histogram_pmf, kernel_pmf])
def test_a_density_on_a_circle(make) -> None:
    coordinate, log_w = von_mises(20_000)
    found = make([coordinate], log_w, temperature=300.0)
    exact = stats.vonmises.pdf(found.centres[0], 2.0, loc=math.pi)
    assert len(found.centres[0]) == 72 and found.centres[0][0] == pytest.approx(-math.pi * 71 / 72)
    assert (found.density * TURN / 72).sum() == pytest.approx(1.0, abs=2e-3)
    assert np.abs((found.density - exact) / found.error).max() < 4
    assert coverage(found, exact) > 0.85
    assert max(found.at(math.pi).value, found.at(-math.pi).value) < 0.2
    middle = found.at(0.0)
    assert middle.low < 4.0 < middle.high and middle.low < middle.value < middle.high
    assert middle.to("kJ/mol").value == pytest.approx(2.494339 * middle.value)


@pytest.mark.parametrize("make", [histogram_pmf, kernel_pmf])
def test_a_density_of_two_coordinates(make) -> None:
    coordinates, log_w = plane(8000)
    size = {"n_bins": 9} if make is histogram_pmf else {"n_points": 9}
    found = make(coordinates, log_w, ranges=[(-1.5, 1.5), (-1.0, 2.0)], **size)
    x, y = found.centres
    exact = stats.norm.pdf(x)[:, None] * stats.vonmises.pdf(y, 1.5, loc=0.5)
    assert found.density.shape == (9, 9) and found.names == ("x", "y")
    assert coverage(found, exact) > 0.87
    assert np.abs((found.density - exact) / found.error).max() < 4.5
    low, high = found.free_energy_low, found.free_energy_high
    assert np.all((low < found.free_energy) & (found.free_energy < high))


def test_a_histogram_by_hand() -> None:
    values = Coordinate(np.repeat([0.5, 1.5, 9.0], [200, 100, 100]))
    found = histogram_pmf([values], np.zeros(400), n_bins=2, ranges=[(0.0, 2.0)])
    assert found.density == pytest.approx([0.5, 0.25])  # what lies elsewhere counts in the whole
    assert found.free_energy == pytest.approx([0.0, math.log(2)])
    assert found.error == pytest.approx(np.sqrt([0.5 * 0.5 / 399, 0.25 * 0.75 / 399]))


def test_an_empty_bin_has_a_bound() -> None:
    found = histogram_pmf([Coordinate(np.linspace(0, 1, 500))], np.zeros(500), n_bins=2, ranges=[(0.0, 4.0)])
    assert found.density[1] == found.low[1] == 0.0 and found.high[1] == pytest.approx(
        math.log(20) / 1000, rel=0.05
    )
    assert found.free_energy[1] == found.free_energy_high[1] == math.inf
    assert found.free_energy_low[1] > 4.0


def test_the_kernel_takes_its_own_bias_away() -> None:
    """Of bandwidth 0.4, at the top of a normal density, a plain Gaussian kernel is 7 % low, this 1.3 %."""
    z = stats.norm.ppf((np.arange(20_000) + 0.5) / 20_000)
    found = kernel_pmf([Coordinate(z)], np.zeros(20_000), n_points=1, ranges=[(-0.1, 0.1)], bandwidths=[0.4])
    plain = 2 * stats.norm.pdf(0, scale=math.sqrt(1.16)) - stats.norm.pdf(0, scale=math.sqrt(1.32))
    assert found.density[0] == pytest.approx(plain, rel=1e-3)
    assert found.density[0] == pytest.approx(stats.norm.pdf(0), rel=0.014)


@pytest.mark.parametrize("period", [None, TURN])
def test_bandwidths_of_a_normal_density_are_near_the_best(period: float | None) -> None:
    """1.06 s n^(-1/5) minimises the error of a normal density; unequal weights count as fewer draws."""
    rng = np.random.default_rng(0)
    x = 0.3 * rng.standard_normal(4000)
    assert plug_in_bandwidth(x, np.ones(4000), period) == pytest.approx(1.06 * 0.3 * 4000**-0.2, rel=0.15)
    weights = rng.lognormal(sigma=1.2, size=4000)
    n = weights.sum() ** 2 / np.square(weights).sum()
    assert plug_in_bandwidth(x, weights, period) == pytest.approx(1.06 * 0.3 * n**-0.2, rel=0.25)


def test_bandwidths_see_narrow_modes() -> None:
    x = np.random.default_rng(0).standard_normal(6000) * 0.1 + np.repeat([-3.0, 0.0, 3.0], 2000)
    found = plug_in_bandwidth(x, np.ones(6000))
    assert 0.01 < found < 0.03
    assert plug_in_bandwidth(np.array([0.0, 1.0, 1.1]), np.ones(3)) > 0  # where the rule has no solution
    uniform = np.random.default_rng(0).uniform(-math.pi, math.pi, 5000)
    assert plug_in_bandwidth(uniform, np.ones(5000), TURN) <= TURN / 12


def test_draws_without_weight_may_be_anywhere() -> None:
    coordinate, log_w = von_mises(2000)
    padded = Coordinate(np.append(coordinate.values, np.nan), "phi", "rad", TURN)
    for make in (histogram_pmf, kernel_pmf):
        plain = make([coordinate], log_w)
        found = make([padded], np.append(log_w, -np.inf))
        assert found.density == pytest.approx(plain.density)


def test_heavy_weights_warn() -> None:
    x = 0.4 * np.random.default_rng(0).standard_normal(2000)
    assert histogram_pmf([Coordinate(x)], 0.5 * x**2 * (1 / 0.16 - 1)).warnings


@pytest.mark.parametrize(
    ("coordinates", "options", "message"),
    [
        ([], {}, "one or two coordinates"),
        ([Coordinate(np.zeros(3))], {}, "expected 5 values of s"),
        ([Coordinate(np.full(5, np.nan))], {}, "not finite"),
        ([Coordinate(np.arange(5.0))], {"ranges": [(1.0, 1.0)]}, "low < high"),
        ([Coordinate(np.arange(5.0))], {"ranges": [(0.0, 1.0)] * 2}, "a range for each"),
    ],
)
def test_refusals(coordinates, options, message) -> None:
    with pytest.raises(ValueError, match=message):
        histogram_pmf(coordinates, np.zeros(5), **options)


def test_a_point_has_a_value_of_each_coordinate() -> None:
    found = histogram_pmf([von_mises(200)[0]], np.zeros(200))
    with pytest.raises(ValueError, match="a value of each of phi"):
        found.at(0.0, 1.0)
