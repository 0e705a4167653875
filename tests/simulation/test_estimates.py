"""Estimates over a ladder of temperatures, on systems with known answers."""

import math

import numpy as np
import pytest
from scipy import stats

from boltzgen import units
from boltzgen.simulation.estimates import WalkerBootstrap, correlation_time, mbar

TEMPERATURES = np.array([300.0, 400.0, 550.0])
N_DEGREES = 12


def harmonic_energies(rng: np.random.Generator, n_frames: int, n_walkers: int) -> np.ndarray:
    """Energies of independent harmonic frames, (n_frames, n_walkers, 3) in kJ/mol."""
    kt = units.MOLAR_GAS_CONSTANT * TEMPERATURES
    return rng.gamma(N_DEGREES / 2, 1.0, size=(n_frames, n_walkers, 3)) * kt


def test_mbar_on_a_harmonic_system() -> None:
    """ln Z = (d/2) ln T; the weighted mean energy at any temperature between is d/2 kT."""
    u = harmonic_energies(np.random.default_rng(0), 200, 20) - 700.0
    f, log_w = mbar(u, TEMPERATURES, 340.0)
    beta = 1.0 / (units.MOLAR_GAS_CONSTANT * TEMPERATURES)
    expected = -N_DEGREES / 2 * np.log(TEMPERATURES / 300.0) - (beta - beta[0]) * 700.0
    assert f == pytest.approx(expected, abs=0.06)
    assert log_w.shape == u.shape
    assert np.exp(log_w).sum() == pytest.approx(1.0)
    mean = (np.exp(log_w) * (u + 700.0)).sum()
    assert mean == pytest.approx(N_DEGREES / 2 * units.kt(340.0), rel=0.02)


def test_the_bootstrap_solves_the_same_equations_as_mbar() -> None:
    u = harmonic_energies(np.random.default_rng(1), 300, 16) - 100.0
    f, log_w = mbar(u, TEMPERATURES, 300.0)
    bootstrap = WalkerBootstrap(u, TEMPERATURES, 300.0, n_replicates=20)
    binned, error = bootstrap.free_energies()
    assert binned == pytest.approx(f, abs=2e-4)
    assert (error[1:] > 0).all()
    labels = (u > np.median(u[..., 0])).astype(int)
    share = bootstrap.populations(labels, ("low", "high"))
    assert share.share[1] == pytest.approx(np.exp(log_w)[labels == 1].sum(), abs=2e-4)
    assert share.share.sum() == pytest.approx(1.0)


def correlated_states(
    rng: np.random.Generator, n_frames: int, n_walkers: int, share: float, stay: float
) -> np.ndarray:
    """A two-state chain with population `share` of state 1 and memory `stay`, (n_frames, n_walkers)."""
    states = np.empty((n_frames, n_walkers), dtype=int)
    states[0] = rng.random(n_walkers) < share
    for t in range(1, n_frames):
        fresh = rng.random(n_walkers) < share
        states[t] = np.where(rng.random(n_walkers) < stay, states[t - 1], fresh)
    return states


def test_errors_cover_whatever_the_correlation() -> None:
    """Populations of independent repeats scatter as the bootstrap over walkers says, where frames are
    strongly correlated in time.
    """
    rng, share, found, errors = np.random.default_rng(2), 0.2, [], []
    for _ in range(60):
        states = correlated_states(rng, 100, 32, share, 0.95)[..., None]
        u = rng.gamma(3.0, 1.0, size=states.shape)
        result = WalkerBootstrap(u, TEMPERATURES[:1], 300.0, n_replicates=60).populations(
            states, ("zero", "one")
        )
        found.append(result.share[1])
        errors.append(result.error[1])
    assert np.mean(found) == pytest.approx(share, abs=4 * np.std(found) / math.sqrt(60))
    z = (np.array(found) - share) / np.array(errors)
    assert 0.75 < np.std(z) < 1.35
    # Taken for independent, the same frames would promise an error several times smaller.
    assert np.mean(errors) > 3 * math.sqrt(share * (1 - share) / 3200)


def test_hot_frames_count_with_their_weight() -> None:
    """A state that only hot frames visit: its share at the lowest temperature comes from MBAR's weights,
    against the exact one.
    """
    rng = np.random.default_rng(3)
    kt = units.MOLAR_GAS_CONSTANT * TEMPERATURES
    # A well at 0 and one at 8 kJ/mol of equal width: populations 1 / (1 + exp(8 / kT)).
    upper = rng.random((400, 64, 3)) < 1.0 / (1.0 + np.exp(8.0 / kt))
    u = rng.gamma(3.0, 1.0, size=upper.shape) * kt + 8.0 * upper
    found = WalkerBootstrap(u, TEMPERATURES, 300.0, n_replicates=50).populations(
        upper.astype(int), ("lower", "upper")
    )
    exact = 1.0 / (1.0 + math.exp(8.0 / kt[0]))
    assert abs(found.share[1] - exact) < 4 * found.error[1]
    naive = WalkerBootstrap(u[..., :1], TEMPERATURES[:1], 300.0, n_replicates=50).populations(
        upper[..., :1].astype(int), ("lower", "upper")
    )
    assert found.error[1] < naive.error[1]


def test_correlation_time_of_a_chain() -> None:
    """g = (1 + a) / (1 - a) for correlation a per frame."""
    rng, a = np.random.default_rng(5), 0.8
    x = np.empty((4000, 8))
    x[0] = rng.normal(size=8)
    for t in range(1, len(x)):
        x[t] = a * x[t - 1] + math.sqrt(1 - a**2) * rng.normal(size=8)
    assert correlation_time(x) == pytest.approx((1 + a) / (1 - a), rel=0.15)
    assert correlation_time(rng.normal(size=(1000, 8))) == pytest.approx(1.0, abs=0.15)
    assert correlation_time(np.zeros((10, 2))) == 1.0
    assert stats.kstest(x[-1], "norm").pvalue > 1e-4
