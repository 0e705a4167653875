"""Every metric on pairs of distributions between which it is known."""

import math

import numpy as np
import pytest
from scipy import stats

from boltzgen.evaluation import metrics

N = 200_000


def gaussian_log_w(x: np.ndarray, shift: float, log_z: float = 1.7) -> np.ndarray:
    """log p~(x) - log q(x) for p = N(0, 1) with log Z = log_z, and q = N(shift, 1)."""
    return log_z + stats.norm.logpdf(x) - stats.norm.logpdf(x, loc=shift)


def test_forward_ess_eubo_and_nll_of_shifted_gaussians() -> None:
    """q = p moved by d: KL(p || q) = d^2 / 2, E_p[w] E_p[1/w] = E_q[w^2] = exp(d^2), and NLL is the cross
    entropy.
    """
    x, shift = np.random.default_rng(0).standard_normal(N), 0.7
    log_w = gaussian_log_w(x, shift)
    group = np.arange(N) % 20
    assert metrics.forward_ess(log_w) == pytest.approx(math.exp(-(shift**2)), rel=0.01)
    bound, error = metrics.eubo(log_w, group)
    assert error == pytest.approx(shift / math.sqrt(N), rel=0.4)  # log w is linear in x with slope -shift
    assert abs(bound - (1.7 + shift**2 / 2)) < 4 * error
    nll, error = metrics.grouped_mean(-stats.norm.logpdf(x, loc=shift), group)
    assert abs(nll - (0.5 * math.log(2 * math.pi) + (1 + shift**2) / 2)) < 4 * error


def test_forward_ess_agrees_with_the_reverse_one() -> None:
    rng = np.random.default_rng(1)
    forward = metrics.forward_ess(gaussian_log_w(rng.standard_normal(N), 0.5))
    w = np.exp(gaussian_log_w(rng.standard_normal(N) + 0.5, 0.5))
    assert forward == pytest.approx(w.mean() ** 2 / np.square(w).mean(), rel=0.02)


def test_a_mode_without_density_takes_everything() -> None:
    log_w = np.array([0.0, 0.1, math.inf])
    assert metrics.forward_ess(log_w) == 0.0
    assert metrics.eubo(log_w, np.arange(3))[0] == math.inf
    # One configuration in 1000 whose density is e^12 too low: E_p[w] is e^12 / 1000 and a bit.
    log_w = np.zeros(1000)
    log_w[3] = 12.0
    assert metrics.forward_ess(log_w) == pytest.approx(1 / ((0.999 + math.exp(12) / 1000) * 0.999), rel=1e-3)
    assert metrics.forward_ess(log_w + 500.0) == pytest.approx(metrics.forward_ess(log_w))


def test_errors_of_means_see_correlated_walkers() -> None:
    """Walkers that repeat one value 100 times tell as much as that value."""
    values = np.random.default_rng(0).standard_normal(30)
    mean, error = metrics.grouped_mean(np.repeat(values, 100), np.repeat(np.arange(30), 100))
    assert mean == pytest.approx(values.mean())
    assert error == pytest.approx(values.std(ddof=1) / math.sqrt(30))
    assert math.isnan(metrics.grouped_mean(values, np.zeros(30))[1])


def test_kl_and_tv_of_two_tables() -> None:
    p, q = np.array([0.5, 0.5, 0.0]), np.array([0.25, 0.5, 0.25])
    assert metrics.kl_divergence(p, q) == pytest.approx(0.5 * math.log(2), abs=1e-8)
    assert metrics.total_variation(p, q) == 0.25
    # A bin that only the reference fills costs p ln(p / epsilon); one that only q fills costs nothing.
    assert metrics.kl_divergence(q, p) == pytest.approx(
        -0.25 * math.log(2) + 0.25 * math.log(0.25 / 1e-10), rel=1e-6
    )


def test_distances_of_gaussians() -> None:
    """Finely binned: KL = d^2 / 2, TV = 2 Phi(d / 2) - 1 and W1 = d for a shift d; W1 = E|X| |s - 1| for a
    factor s.
    """
    edges = np.linspace(-12, 12, 4801)
    p, shift = np.diff(stats.norm.cdf(edges)), 0.8
    q = np.diff(stats.norm.cdf(edges, loc=shift))
    assert metrics.kl_divergence(p, q) == pytest.approx(shift**2 / 2, rel=1e-4)
    assert metrics.total_variation(p, q) == pytest.approx(2 * stats.norm.cdf(shift / 2) - 1, rel=1e-4)
    assert metrics.wasserstein_1(p, q, edges) == pytest.approx(shift, rel=1e-4)
    wide = np.diff(stats.norm.cdf(edges, scale=1.5))
    assert metrics.wasserstein_1(p, wide, edges) == pytest.approx(0.5 * math.sqrt(2 / math.pi), rel=1e-4)


def test_wasserstein_where_the_difference_changes_sign_within_a_bin() -> None:
    """F - G runs from 1/4 to -1/4 across a bin of width 2: two triangles of area 1/8; and with the slopes
    beside it 1/8 each.
    """
    assert metrics.wasserstein_1(
        np.array([0.25, 0.0, 0.75]), np.array([0.0, 0.5, 0.5]), np.array([0.0, 1.0, 3.0, 4.0])
    ) == pytest.approx(0.5)
    open_ends = np.array([-np.inf, 0.0, 1.0, np.inf])
    assert metrics.wasserstein_1(
        np.array([1.0, 0.0, 0.0]), np.array([0.0, 1.0, 0.0]), open_ends
    ) == pytest.approx(1.0)


@pytest.mark.parametrize(("n_p", "n_q"), [(20_000, 20_000), (5_000, 50_000)])
def test_noise_floor_is_what_two_samples_of_one_distribution_show(n_p: int, n_q: int) -> None:
    x = np.arange(40)
    truth = np.exp(-((x[:, None] - 15) ** 2 + (x[None] - 25) ** 2) / 2 / 6.0**2).ravel()
    truth /= truth.sum()
    edges = np.linspace(0.0, 1.0, 1601)
    rng = np.random.default_rng(0)
    seen, floors = [], []
    for k in range(60):
        p, q = (rng.multinomial(n, truth) / n for n in (n_p, n_q))
        seen.append(
            [metrics.kl_divergence(p, q), metrics.total_variation(p, q), metrics.wasserstein_1(p, q, edges)]
        )
        if k < 6:
            floors.append(metrics.noise_floor(p, q, n_p, n_q, edges=edges, seed=k))
    for k, (name, rel) in enumerate((("kl", 0.1), ("tv", 0.03), ("wasserstein", 0.2))):
        values = np.array(seen)[:, k]
        assert np.mean([f[name].mean for f in floors]) == pytest.approx(values.mean(), rel=rel)
        assert np.mean([f[name].high for f in floors]) == pytest.approx(
            np.quantile(values, 0.95), rel=rel + 0.05
        )


@pytest.mark.parametrize("dof", [5, 31])
def test_z_scores_are_normal_when_errors_are_uncertain(dof: int) -> None:
    """Means of dof + 1 walkers against an exact value: the share beyond 2.5758 is that of a normal deviate, 1
    %.
    """
    walkers = np.random.default_rng(0).standard_normal((200_000, dof + 1))
    error = walkers.std(axis=1, ddof=1) / math.sqrt(dof + 1)
    z = metrics.z_score(walkers.mean(axis=1), error, dof, 0.0)
    assert (np.abs(z) > 2.5758).mean() == pytest.approx(0.01, abs=0.001)
    assert np.array_equal(np.sign(z), np.sign(walkers.mean(axis=1)))


def test_z_scores_combine_both_errors() -> None:
    rng = np.random.default_rng(0)
    walkers = 2.0 * rng.standard_normal((200_000, 9))
    other = 0.5 * rng.standard_normal(200_000)
    z = metrics.z_score(walkers.mean(axis=1) - other, walkers.std(axis=1, ddof=1) / 3.0, 8, 0.5)
    assert (np.abs(z) > 1.96).mean() == pytest.approx(0.05, abs=0.005)
    assert metrics.z_score(np.array(0.3), np.array(0.0), 8, np.array(0.0)) == 0.0
    assert metrics.z_score(np.array(-30.0), np.array(0.0), 8, np.array(1.0)) == pytest.approx(-30.0, rel=1e-6)
