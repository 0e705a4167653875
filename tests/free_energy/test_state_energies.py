"""Free energies of states and their convergence, on draws whose states are known."""

import math

import numpy as np
import pytest
from scipy import stats

from boltzgen.analysis.states_report import StatesReport
from boltzgen.free_energy.convergence import Convergence, convergence
from boltzgen.free_energy.result import Result
from boltzgen.free_energy.state_energies import StateEnergies


def gaussian(n: int, seed: int, sigma: float = 1.3) -> StateEnergies:
    """States z < 1 and z >= 1 of N(0, 1), from draws of N(0, sigma^2)."""
    z = sigma * np.random.default_rng(seed).standard_normal(n)
    return StateEnergies((z >= 1.0).astype(int), -0.5 * z**2 + 0.5 * (z / sigma) ** 2, ("low", "high"), 300.0)


SHARE = float(stats.norm.sf(1.0))
EXACT = math.log((1 - SHARE) / SHARE)


def test_values_by_hand() -> None:
    labels = np.array([0] * 200 + [1] * 400 + [2] * 3 + [-1] * 100)
    found = StateEnergies(labels, np.full(len(labels), 7.0), ("a", "b", "c"), 300.0)
    assert found.reference == "b"
    a, b, c = found.rows
    assert (a.n_raw, a.n_effective) == (200, pytest.approx(200))
    assert a.population.value == pytest.approx(200 / 703)
    assert a.free_energy.value == pytest.approx(math.log(2))
    assert a.free_energy.error == pytest.approx(math.sqrt(1 / 200 + 1 / 400))
    assert a.free_energy.to("kJ/mol").value == pytest.approx(math.log(2) * 2.494339, rel=1e-6)
    assert (b.free_energy.value, b.free_energy.low, b.free_energy.high) == (0.0, 0.0, 0.0)
    assert a.population.is_trusted and b.free_energy.is_trusted and a.free_energy.is_trusted
    # Three draws give a bound, and warn.
    assert (c.population.low, c.free_energy.high) == (0.0, math.inf)
    assert "state c: only 3 effective draws" in c.population.warnings[0]
    assert "state c: only 3 effective draws" in c.free_energy.warnings[0]
    assert found.difference("a", "b").value == pytest.approx(-math.log(2))
    assert found.difference("c", "a").value == pytest.approx(math.log(3 / 200))


def test_what_is_in_no_state_is_no_reference() -> None:
    labels = np.array([0] * 200 + [1] * 400)
    assert StateEnergies(labels, np.zeros(600), ("a", "other"), 300.0).reference == "a"
    assert StateEnergies(labels * 0 + 1, np.zeros(600), ("a", "other"), 300.0).reference == "other"


def test_an_empty_state_has_a_bound() -> None:
    found = StateEnergies(np.zeros(1000, int), np.zeros(1000), ("a", "b"), 300.0)
    result = found.difference("a", "b")
    assert result.value == math.inf
    assert math.isnan(result.error)
    assert 5.0 < result.low < math.log(1000)
    assert "no draw has any weight" in result.warnings[0]


def test_intervals_cover_and_errors_are_the_scatter() -> None:
    found = [gaussian(1200, seed) for seed in range(250)]
    results, rows = [f.difference("low", "high") for f in found], [f.rows[1] for f in found]
    assert 0.91 < np.mean([r.low <= EXACT <= r.high for r in results]) < 0.985
    values = np.array([r.value for r in results])
    assert values.std() == pytest.approx(np.mean([r.error for r in results]), rel=0.12)
    assert all(r.is_trusted for r in results)
    assert 0.91 < np.mean([r.population.low <= SHARE <= r.population.high for r in rows]) < 0.985
    shares = np.array([r.population.value for r in rows])
    assert shares.std() == pytest.approx(np.mean([r.population.error for r in rows]), rel=0.12)


def test_heavy_weights_warn() -> None:
    found = gaussian(20_000, 0, sigma=0.3)
    assert any("k-hat" in w for w in found.rows[0].population.warnings)
    assert any("k-hat" in w for w in found.difference("low", "high").warnings)


def test_convergence_is_that_of_the_parts() -> None:
    found = gaussian(4000, 1)
    curve = found.convergence("low", "high", points=4)
    assert curve.n_draws == (1000, 2000, 3000, 4000)
    first = StateEnergies(found.labels[:1000], found.log_w[:1000], found.names, 300.0)
    last = StateEnergies(found.labels[-3000:], found.log_w[-3000:], found.names, 300.0)
    assert curve.forward[0] == first.difference("low", "high")
    assert curve.backward[2] == last.difference("low", "high")
    assert curve.forward[-1] == curve.backward[-1] == found.difference("low", "high")
    assert curve.halves_apart < 3
    assert curve.warnings == ()
    assert curve.to("kcal/mol").forward[0].unit == "kcal/mol"
    assert curve.to_dict()["backward_value"][2] == curve.backward[2].value


def test_halves_that_differ_are_seen() -> None:
    """The first half comes from another distribution than the second."""
    labels = np.concatenate([np.arange(1000) % 2, (np.arange(1000) % 4 == 0).astype(int)])
    curve = StateEnergies(labels, np.zeros(2000), ("a", "b"), 300.0).convergence("a", "b")
    assert curve.halves_apart > 5
    assert "two halves" in curve.warnings[0]


def test_a_part_without_weight_is_not_estimated() -> None:
    log_w = np.concatenate([np.full(100, -np.inf), np.zeros(100)])
    curve = StateEnergies(np.arange(200) % 2, log_w, ("a", "b"), 300.0).convergence("a", "b")
    assert math.isnan(curve.forward[0].value)
    assert math.isnan(curve.halves_apart)
    assert curve.warnings == ()


def test_wrong_input() -> None:
    labels, log_w = np.zeros(10, int), np.zeros(10)
    for names, message in (
        (("a", "a"), "different names"),
        ((), "at least one"),
    ):
        with pytest.raises(ValueError, match=message):
            StateEnergies(labels, log_w, names, 300.0)
    with pytest.raises(ValueError, match="no basin called 'b'"):
        StateEnergies(labels, log_w, ("a",), 300.0).convergence("a", "b")
    with pytest.raises(ValueError, match="even number of `points`"):
        convergence(lambda part: Result(0.0, 0.0, 0.0, 0.0), 10, points=3)


def test_few_draws_have_fewer_points() -> None:
    curve = convergence(lambda part: Result.normal(0.0, 1.0), 3)
    assert isinstance(curve, Convergence)
    assert curve.n_draws == (1, 2, 3)


def test_energy_and_entropy_of_harmonic_states() -> None:
    """Two Gaussian wells: each has half a kT above its minimum, the wider one ln 3 more entropy."""
    values, errors = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        labels = (rng.random(4000) < 0.4).astype(int)
        width = np.where(labels == 0, 1.0, 3.0)
        # Drawn too wide, so that weights differ.
        z = 1.2 * width * rng.standard_normal(4000)
        u = 0.5 * (z / width) ** 2 + np.where(labels == 0, 0.0, 1.0)
        share = np.where(labels == 0, 0.6, 0.4)
        log_q = -0.5 * (z / (1.2 * width)) ** 2 - np.log(width) + np.log(share)
        found = StateEnergies(labels, -u - log_q, ("narrow", "wide"), 300.0, u=u)
        narrow, wide = found.rows
        start, end = (narrow, wide) if found.reference == "narrow" else (wide, narrow)
        sign = 1.0 if found.reference == "narrow" else -1.0
        assert start.energy is not None and start.energy.value == start.energy.error == 0.0
        assert end.energy is not None and end.minus_ts is not None
        assert end.energy.value + end.minus_ts.value == pytest.approx(end.free_energy.value)
        values.append((sign * end.energy.value, sign * end.minus_ts.value))
        errors.append((end.energy.error, end.minus_ts.error))
    mean, scatter = np.mean(values, 0), np.std(values, 0, ddof=1)
    np.testing.assert_allclose(mean, (1.0, -math.log(3.0)), atol=4 * scatter.max() / math.sqrt(60))
    np.testing.assert_allclose(np.mean(errors, 0), scatter, rtol=0.3)


def test_a_mean_energy_that_few_draws_decide_is_doubted() -> None:
    """Though all weights are equal: some draws are next to a clash."""
    labels = np.repeat([0, 1], (600, 400))
    u = np.random.default_rng(0).standard_normal(1000)
    u[600:603] += (1e3, 1e4, 1e5)
    rows = StateEnergies(labels, np.zeros(1000), ("a", "b"), 300.0, u=u).rows
    assert rows[1].energy is not None and rows[1].minus_ts is not None
    assert "few draws decide the mean energy of state b" in rows[1].energy.warnings[0]
    assert rows[1].minus_ts.warnings == rows[1].energy.warnings and len(rows[1].energy.warnings) == 1
    assert rows[1].free_energy.is_trusted
    report = StatesReport(StateEnergies(labels, np.zeros(1000), ("a", "b"), 300.0, u=u))
    assert rows[1].energy.warnings[0] in report.warnings
    calm = StateEnergies(labels, np.zeros(1000), ("a", "b"), 300.0, u=np.clip(u, -3, 3))
    assert StatesReport(calm).warnings == ()


def test_energies_of_few_draws_are_not_estimated() -> None:
    labels, u = np.array([0] * 500 + [1] * 5), np.linspace(0.0, 1.0, 505)
    found = StateEnergies(labels, np.zeros(505), ("a", "b"), 300.0, u=u)
    rare = found.rows[1]
    assert rare.energy is not None and math.isnan(rare.energy.value) and rare.energy.low == -math.inf
    assert found.lowest("b") == 500
    assert StateEnergies(labels, np.zeros(505), ("a", "b", "c"), 300.0, u=u).lowest("c") is None
    log_w = np.where((np.arange(505) >= 500) & (np.arange(505) < 501), -math.inf, 0.0)
    assert StateEnergies(labels, log_w, ("a", "b"), 300.0, u=u).lowest("b") == 501
    assert StateEnergies(labels, np.zeros(505), ("a", "b"), 300.0).rows[1].energy is None
    for wrong, message in (({"u": u[1:]}, "expected energies of shape"), ({}, "not given")):
        with pytest.raises(ValueError, match=message):
            StateEnergies(labels, np.zeros(505), ("a", "b"), 300.0, **wrong).lowest("a")
    with pytest.raises(ValueError, match="no state called 'd'"):
        found.lowest("d")
