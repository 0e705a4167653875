"""Reweighting between temperatures, and several generators, on harmonic oscillators; against pymbar."""

import math

import numpy as np
import pymbar
import pytest

from boltzgen.free_energy.state_functions import free_energy
from boltzgen.free_energy.temperature import (
    AtTemperature,
    at_temperatures,
    mixture_log_q,
    reweighted,
    trusted_range,
)

N_DIMS, T = 6, 300.0


def log_normal_density(x: np.ndarray, width: float) -> np.ndarray:
    return -0.5 * np.square(x / width).sum(1) - N_DIMS * math.log(width * math.sqrt(2 * math.pi))


def drawn(widths: list[float], n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """u at T, log-densities (len(widths), n) and the first coordinate of draws of each width, n in all."""
    rng = np.random.default_rng(seed)
    x = np.concatenate([w * rng.standard_normal((n // len(widths), N_DIMS)) for w in widths])
    return 0.5 * np.square(x).sum(1), np.stack([log_normal_density(x, w) for w in widths]), x[:, 0]


def exact_f(temperature: float) -> float:
    return -N_DIMS / 2 * math.log(2 * math.pi * temperature / T)


def exact_share(temperature: float) -> float:
    """Of x > 1, whose standard deviation is sqrt(temperature / T)."""
    return 0.5 * math.erfc(1 / math.sqrt(2 * temperature / T))


def check(points: list[AtTemperature]) -> None:
    for point in points:
        exact = {
            "free_energy": exact_f(point.temperature),
            "energy": N_DIMS / 2,
            "minus_ts": exact_f(point.temperature) - N_DIMS / 2,
            "heat_capacity": N_DIMS / 2,
            "far": exact_share(point.temperature),
        }
        for name, found in point.results.items():
            assert abs(found.value - exact[name]) < 4 * found.error, (point.temperature, name)
            assert found.error < 0.2


def test_state_functions_and_populations_at_other_temperatures() -> None:
    u, log_q, x = drawn([1.15], 20_000)
    at = [280.0, 300.0, 350.0, 400.0]
    points = at_temperatures(u, -u - log_q[0], T, at, conditions={"far": x > 1.0})
    assert [point.temperature for point in points] == at
    check(points)
    assert all(point.is_trusted and not point.warnings for point in points)
    assert points[0].free_energy.temperature == 280.0
    assert points[3].free_energy.to("kJ/mol").value == pytest.approx(3.325785 * points[3].free_energy.value)
    assert trusted_range(points, T) == (280.0, 400.0)


def test_far_temperatures_warn() -> None:
    """Draws of 300 K have not the high energies of 1200 K, and few of the low ones of 60 K."""
    u, log_q, _ = drawn([1.02], 5000)
    points = at_temperatures(u, -u - log_q[0], T, [60.0, 290.0, 300.0, 310.0, 1200.0])
    assert [point.is_trusted for point in points] == [False, True, True, True, False]
    assert trusted_range(points, T) == (290.0, 310.0)
    assert trusted_range(points[-1:], T) is None is trusted_range([], T)
    assert points[0].n_effective < points[1].n_effective


def test_the_same_temperature_changes_nothing() -> None:
    u, log_q, _ = drawn([1.1], 100)
    v, log_w = reweighted(np.append(u, np.inf), np.append(-u - log_q[0], -np.inf), T, T)
    assert np.array_equal(v[:-1], u) and np.allclose(log_w[:-1], -u - log_q[0]) and log_w[-1] == -np.inf


def test_several_generators_are_one_mixture_and_agree_with_mbar() -> None:
    u, log_q, x = drawn([0.8, 1.3], 6000)
    log_w = -u - mixture_log_q(log_q, [3000, 3000])
    check(at_temperatures(u, log_w, T, [250.0, 300.0, 450.0], conditions={"far": x > 1.0}))
    mbar = pymbar.MBAR(-log_q, np.array([3000, 3000]), solver_protocol="robust")
    for temperature in (250.0, 450.0):
        target = np.stack((-log_q[0], u * T / temperature))
        delta = mbar.compute_perturbed_free_energies(target)["Delta_f"][0, 1]
        error = mbar.compute_perturbed_free_energies(target)["dDelta_f"][0, 1]
        found = free_energy(reweighted(u, log_w, T, temperature)[1])
        assert found.value == pytest.approx(delta, abs=3 * error)
        assert found.value == pytest.approx(exact_f(temperature), abs=4 * found.error)


def test_a_mixture_by_hand() -> None:
    log_q = np.log([[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1]])
    assert np.exp(mixture_log_q(log_q, [1, 3])) == pytest.approx([0.325, 0.275, 0.225, 0.175])
    with pytest.raises(ValueError, match="draws of each"):
        mixture_log_q(log_q, [1, 2])
