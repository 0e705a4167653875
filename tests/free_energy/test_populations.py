"""Basin populations and their intervals on systems whose populations are known."""

import math
from typing import ClassVar

import numpy as np
import pytest
import torch
from scipy import stats

from boltzgen.free_energy.intervals import MIN_EFFECTIVE
from boltzgen.free_energy.populations import basin_populations, free_energy_difference
from boltzgen.molecule.basins import Basin, assign_basins
from boltzgen.molecule.states import Rotamer
from boltzgen.samples.weighted_samples import WeightedSamples


def weighted_gaussian(n: int, seed: int, sigma: float = 1.3) -> tuple[np.ndarray, np.ndarray]:
    """Labels (0: z < 1, 1: z >= 1) and log-weights of draws from N(0, sigma^2) towards N(0, 1)."""
    z = sigma * np.random.default_rng(seed).standard_normal(n)
    return (z >= 1.0).astype(int), -0.5 * z**2 + 0.5 * (z / sigma) ** 2


def test_values_by_hand() -> None:
    labels = np.array([0] * 30 + [1] * 20 + [-1] * 4 + [1])
    log_w = np.log(np.array([1.0] * 30 + [2.0] * 20 + [2.5] * 4 + [0.0]) + 1e-320) + 500.0
    log_w[-1] = -math.inf
    a, b = basin_populations(labels, log_w, ["a", "b"])
    assert (a.population, b.population) == (pytest.approx(30 / 80), pytest.approx(40 / 80))
    assert (a.n_raw, b.n_raw) == (30, 20)
    assert (a.n_effective, b.n_effective) == (pytest.approx(30), pytest.approx(20))
    assert b.delta_f_kT == b.delta_f_low == b.delta_f_high == 0.0
    assert a.delta_f_kT == pytest.approx(math.log(40 / 30))
    assert a.low < a.population < a.high
    assert a.delta_f_low < a.delta_f_kT < a.delta_f_high
    forward, backward = (
        free_energy_difference(labels, log_w, ["a", "b"], *pair) for pair in (("a", "b"), ("b", "a"))
    )
    assert forward.delta_f == pytest.approx(-backward.delta_f) == pytest.approx(math.log(30 / 40))
    assert forward.times(2.5).delta_f == pytest.approx(2.5 * math.log(30 / 40))


def test_the_effective_count_is_that_of_the_basin() -> None:
    weights = np.array([1.0] * 50 + [4.0, 2.0, 1.0])
    b = basin_populations(np.array([0] * 50 + [1] * 3), np.log(weights), ["a", "b"])[1]
    assert b.n_effective == pytest.approx(49 / 21)


@pytest.mark.parametrize("p", [0.5, 0.05])
def test_intervals_cover_a_binomial(p: float) -> None:
    n, hits = 500, []
    for seed in range(300):
        labels = (np.random.default_rng(seed).random(n) < p).astype(int)
        b = basin_populations(labels, np.zeros(n), ["a", "b"])[1]
        hits.append(b.low <= p <= b.high)
        sd = math.sqrt(
            b.population * (1 - b.population) / n
        )  # what the interval's width must be, normaliser included
        assert (b.high - b.low) / 3.92 == pytest.approx(sd, rel=0.2)
    assert 0.91 < np.mean(hits) < 0.985


def test_intervals_cover_a_reweighted_gaussian() -> None:
    exact = stats.norm.sf(1.0)
    exact_f = math.log((1 - exact) / exact)
    hits, hits_f = [], []
    for seed in range(300):
        b = basin_populations(*weighted_gaussian(800, seed), ["a", "b"])[1]
        hits.append(b.low <= exact <= b.high)
        hits_f.append(b.delta_f_low <= exact_f <= b.delta_f_high)
    assert 0.91 < np.mean(hits) < 0.985
    assert 0.91 < np.mean(hits_f) < 0.985


@pytest.mark.parametrize("expected", [1.0, 4.0, 8.0])
def test_upper_bounds_cover_rare_basins(expected: float) -> None:
    n, seen, hits = 2_000, 0, 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        z = rng.random(n)
        labels = (z < expected / n).astype(int)
        weights = rng.uniform(0.5, 1.5, n)  # independent of the label, so the population is expected / n
        b = basin_populations(labels, np.log(weights), ["a", "b"])[1]
        if b.is_upper_bound:
            assert b.n_effective < MIN_EFFECTIVE
            assert b.low == 0.0
            assert b.delta_f_high == math.inf
            seen, hits = seen + 1, hits + (b.high >= expected / n)
    assert seen > 200
    assert hits / 400 >= 0.93 - (400 - seen) / 400


def test_an_empty_basin_is_bounded_by_the_rule_of_three() -> None:
    a, b = basin_populations(np.zeros(3_000, dtype=int), np.zeros(3_000), ["a", "b"])
    assert b.population == 0.0
    assert b.n_raw == 0
    assert b.n_effective == 0.0
    assert b.high == pytest.approx(math.log(20) / (3_000 + math.log(20)))
    assert b.delta_f_kT == math.inf
    assert b.delta_f_low == pytest.approx(math.log(3_000 / math.log(20)))
    assert (a.low, a.high) == (pytest.approx(1 - b.high), 1.0)
    assert str(b) == "b 0 % (< 0.0998)"


def test_a_rare_basin_bounds_one_side_of_a_difference() -> None:
    labels = np.array([0] * 995 + [1] * 5)
    forward, backward = (
        free_energy_difference(labels, np.zeros(1000), ["a", "b"], *pair) for pair in (("a", "b"), ("b", "a"))
    )
    assert forward.high == math.inf
    assert 0 < forward.low < forward.delta_f
    assert backward.low == -math.inf
    assert backward.high == pytest.approx(-forward.low, abs=0.01)


def test_a_shift_of_the_weights_changes_nothing() -> None:
    labels, log_w = weighted_gaussian(500, 0)
    first = basin_populations(labels, log_w, ["a", "b"])
    shifted = basin_populations(labels, log_w + 3e4, ["a", "b"])
    assert shifted[1].low == pytest.approx(first[1].low, rel=1e-9)
    assert shifted[1].delta_f_high == pytest.approx(first[1].delta_f_high, rel=1e-9)


def test_heavy_weights_have_populations_but_no_intervals() -> None:
    rng = np.random.default_rng(0)
    labels, log_w = (rng.random(20_000) < 0.3).astype(int), -1.2 * np.log1p(-rng.random(20_000))
    a, b = basin_populations(labels, log_w, ["a", "b"])
    assert a.population + b.population == pytest.approx(1.0)
    for row in (a, b):
        assert (row.low, row.high, row.is_upper_bound) == (None, None, False)
        assert str(row).endswith("% (not estimated)")
    found = free_energy_difference(labels, log_w, ["a", "b"], "a", "b")
    assert math.isfinite(found.delta_f)
    assert (found.low, found.high) == (-math.inf, math.inf)


def test_the_reference_of_differences_is_not_known_better_than_they_are() -> None:
    labels, log_w = np.repeat([0, 1], 2_000), np.zeros(4_000)
    known = basin_populations(labels, log_w, ["a", "b"])[0]
    assert (known.delta_f_kT, known.delta_f_low, known.delta_f_high) == (0.0, 0.0, 0.0)
    log_w = np.random.default_rng(0).permuted(1e3 * np.linspace(-1, 1, 4_000))  # few effective draws
    a, b = sorted(basin_populations(labels, log_w, ["a", "b"]), key=lambda basin: basin.delta_f_kT)
    assert (b.delta_f_low, b.delta_f_high) == (-math.inf, math.inf)
    assert (a.delta_f_kT, a.delta_f_low, a.delta_f_high) == (0.0, -math.inf, math.inf)
    assert basin_populations(labels * 0, log_w, ["a"])[0].delta_f_low == 0.0


def test_the_first_basin_that_matches_wins() -> None:
    basins = [
        Basin(name="C7ax", phi=(0, 120), psi=(120, -30)),
        Basin(name="alphaL", phi=(0, 120)),
        Basin(name="wrap", phi=(150, -150)),
    ]
    torsions = {
        "phi": np.radians([60.0, 60.0, 60.0, 60.0, 1.0, 121.0, -179.0, 151.0, -149.0, -1.0]),
        "psi": np.radians([-170.0, -29.0, 119.0, 121.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]),
    }
    assert assign_basins(torsions, basins).tolist() == [0, 1, 1, 0, 1, -1, 2, 2, -1, -1]


def test_samples_know_their_basins() -> None:
    class Molecule:
        torsions = {"phi": (0, 1, 2, 3), "psi": (1, 2, 3, 4)}
        basins = (Basin(name="right", phi=(0, 180)), Basin(name="left"))
        rotamers: ClassVar[dict[str, Rotamer]] = {}

    angle = torch.tensor([0.5] * 60 + [-0.5] * 20)
    zero = torch.zeros_like(angle)
    points = [(0.1, 0.1, 0), (0, 0.1, 0), (0, 0, 0)]
    fixed = [torch.tensor(p).expand(80, 3) for p in points]
    last = torch.stack(
        [0.1 * torch.cos(angle), zero, 0.1 * torch.sin(angle)], -1
    )  # seen along the axis, clockwise is positive
    x = torch.stack([*fixed, last, last + 0.1], 1)
    s = WeightedSamples(x, zero, zero, zero, Molecule())  # type: ignore[arg-type]
    torch.testing.assert_close(s.torsion("phi"), angle, atol=1e-5, rtol=0)
    assert [p.population for p in s.populations()] == pytest.approx([0.75, 0.25])
    with pytest.raises(ValueError, match="no torsion called 'omega'"):
        s.torsion("omega")
    with pytest.raises(ValueError, match=r"no basin called 'C5'.*right, left"):
        s.free_energy_difference("right", "C5")
    assert s.free_energy_difference("right", "left").delta_f == pytest.approx(math.log(3))


@pytest.mark.parametrize(
    ("labels", "log_w", "names", "message"),
    [
        ([0, 0], [0.0], ["a"], "one shape"),
        ([0, 1], [0.0, 0.0], ["a"], "labels from -1 to 0"),
        ([0, 0], [0.0, math.nan], ["a"], "NaN"),
        ([0, 0], [-math.inf, -math.inf], ["a"], "all weights are zero"),
        ([-1], [0.0], [], "at least one basin"),
    ],
)
def test_wrong_input_is_refused(
    labels: list[int], log_w: list[float], names: list[str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        basin_populations(np.array(labels), np.array(log_w), names)
