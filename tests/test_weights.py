"""Functions of log weights, on densities whose answers are known."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from boltzgen import weights as reweighting
from boltzgen.weights import log_weights

INF = math.inf
ESTIMATORS = [
    reweighting.normalized_weights,
    reweighting.effective_sample_size,
    reweighting.sampling_efficiency,
    reweighting.largest_weight_share,
    reweighting.clip_log_weights,
    reweighting.log_z,
]


def gaussian_log_weights(n: int, seed: int, sigma: float = 1.25) -> torch.Tensor:
    """Draws from q = N(0, sigma^2) for the target exp(-z^2/2) whose log Z is ln(2 pi)/2."""
    z = sigma * torch.randn(n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    log_q = -0.5 * (z / sigma) ** 2 - math.log(sigma) - 0.5 * math.log(2 * math.pi)
    return log_weights(0.5 * z**2, log_q)


@pytest.mark.parametrize("shift", [0.0, 1e4, -1e4])
def test_values_by_hand_whatever_the_scale(shift: float) -> None:
    log_w = torch.tensor([math.log(1.0), math.log(2.0), math.log(5.0), -INF], dtype=torch.float64) + shift
    torch.testing.assert_close(
        reweighting.normalized_weights(log_w), torch.tensor([1, 2, 5, 0], dtype=torch.float64) / 8
    )
    assert reweighting.effective_sample_size(log_w) == pytest.approx(64 / 30)
    assert reweighting.sampling_efficiency(log_w) == pytest.approx(64 / 30 / 4)
    assert reweighting.largest_weight_share(log_w) == pytest.approx(5 / 8)
    estimate, error = reweighting.log_z(log_w)
    assert estimate == pytest.approx(math.log(2.0) + shift)
    assert error == pytest.approx(np.std([1, 2, 5, 0], ddof=1) / math.sqrt(4) / 2)


def test_float32_input_is_computed_in_float64() -> None:
    log_w = torch.full((100_000,), 0.1, dtype=torch.float32)
    assert reweighting.normalized_weights(log_w).dtype == torch.float64
    assert reweighting.effective_sample_size(log_w) == pytest.approx(100_000, rel=1e-12)


def test_efficiency_of_a_gaussian_proposal_is_the_exact_one() -> None:
    # E_q[w]^2 / E_q[w^2] for q = N(0, s^2) and p = N(0, 1) is sqrt(2 s^2 - 1) / s^2.
    assert reweighting.sampling_efficiency(gaussian_log_weights(400_000, 3)) == pytest.approx(
        math.sqrt(2 * 1.25**2 - 1) / 1.25**2, abs=2e-3
    )


def test_log_z_is_right_and_its_error_bar_covers() -> None:
    exact = 0.5 * math.log(2 * math.pi)
    results = np.array([reweighting.log_z(gaussian_log_weights(2_000, seed)) for seed in range(400)])
    z = (results[:, 0] - exact) / results[:, 1]
    assert abs(z.mean()) < 0.2
    assert 0.9 < z.std() < 1.1
    assert 0.92 < np.mean(np.abs(z) < 1.96) < 0.98


@pytest.mark.parametrize("k", [-0.3, 0.2, 0.5, 0.9])
def test_pareto_shape(k: float) -> None:
    shapes = [
        reweighting.pareto_shape(stats.genpareto.rvs(k, scale=3.0, size=1000, random_state=seed))
        for seed in range(20)
    ]
    expected = (1000 * k + 5) / 1010
    assert np.mean(shapes) == pytest.approx(expected, abs=0.03)
    assert np.std(shapes) == pytest.approx(
        (1 + k) / math.sqrt(1000), rel=0.5
    )  # the asymptotic error of the likelihood's k


@pytest.mark.parametrize(("tail", "low", "high"), [(1.2, 0.7, 0.95), (4.0, 0.15, 0.35)])
def test_k_hat_is_the_inverse_tail_index(tail: float, low: float, high: float) -> None:
    log_w = np.random.default_rng(0).exponential(
        1 / tail, 100_000
    )  # w is Pareto of index `tail`: k = 1 / tail = 0.83, 0.25
    assert low < reweighting.psis_k_hat(log_w) < high
    assert reweighting.psis_k_hat(log_w + 300.0) == pytest.approx(reweighting.psis_k_hat(log_w), abs=1e-6)


def test_k_hat_of_light_and_of_no_tails() -> None:
    uniform = np.log(np.random.default_rng(0).random(100_000))
    assert reweighting.psis_k_hat(uniform) < -0.7  # a bounded tail: k = -1
    assert reweighting.psis_k_hat(np.zeros(1000)) == -math.inf
    assert math.isnan(reweighting.psis_k_hat(np.zeros(10)))
    outside = np.concatenate([np.random.default_rng(0).exponential(0.5, 50_000), np.full(50, -math.inf)])
    assert reweighting.psis_k_hat(outside) == pytest.approx(0.5, abs=0.15)


@pytest.mark.filterwarnings("error")
def test_the_shape_of_excesses_that_are_all_alike_is_a_number() -> None:
    """A candidate of the estimator is zero there, at about 100 values: the exponential distribution."""
    for n in range(95, 130):
        assert math.isfinite(reweighting.pareto_shape(np.ones(n)))


def test_blocks_have_the_efficiency_of_their_own_draws() -> None:
    log_w = torch.randn(1_003, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = reweighting.sampling_efficiency_of_blocks(log_w + 2e3)
    expected = [reweighting.sampling_efficiency(block) for block in log_w[:1_000].split(100)]
    assert found.tolist() == pytest.approx(expected)
    log_w[:100] = -INF
    assert reweighting.sampling_efficiency_of_blocks(log_w)[0] == 0.0
    with pytest.raises(ValueError, match="at least one draw for each of 10 blocks, got 9"):
        reweighting.sampling_efficiency_of_blocks(log_w[100:109])


def test_one_draw_has_an_unknown_error() -> None:
    assert reweighting.log_z(torch.tensor([2.0])) == (2.0, INF)


@pytest.mark.parametrize(
    ("n", "fraction", "n_touched"),
    [
        (99, 0.01, 0),
        (100, 0.01, 0),
        (300, 0.01, 2),
        (70_000, 1e-4, 6),
        (100, 0.29, 28),
        (9_999, 1e-4, 0),
        (1000, 0.0, 0),
    ],
)
def test_clipping_sets_the_top_to_its_smallest(n: int, fraction: float, n_touched: int) -> None:
    log_w = torch.randperm(n, generator=torch.Generator().manual_seed(1)).double()
    clipped = reweighting.clip_log_weights(log_w, fraction)
    assert int((clipped != log_w).sum()) == n_touched
    torch.testing.assert_close(clipped, log_w.clamp(max=n - 1 - n_touched))


def test_clipping_keeps_weight_when_few_draws_have_any() -> None:
    log_w = torch.full((1000,), -INF, dtype=torch.float64)
    log_w[3] = 1.0
    torch.testing.assert_close(reweighting.clip_log_weights(log_w, 0.01), log_w)


@pytest.mark.parametrize("function", ESTIMATORS)
@pytest.mark.parametrize(
    ("log_w", "message"),
    [
        (torch.tensor([0.0, math.nan]), "NaN or .inf"),
        (torch.tensor([0.0, INF]), "NaN or .inf"),
        (torch.tensor([-INF, -INF]), "all 2 weights are zero"),
        (torch.zeros(0), "n >= 1"),
        (torch.zeros(2, 1), r"\(2, 1\)"),
    ],
)
def test_weights_that_cannot_be_normalised_are_refused(function, log_w: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        function(log_w)


def test_log_weights() -> None:
    u = torch.tensor([1.0, INF, math.nan, 2.0, INF, -INF])
    log_q = torch.tensor([0.5, 0.0, 0.0, INF, math.nan, 0.0])
    assert log_weights(u, log_q).tolist() == [-1.5, -INF, -INF, -INF, -INF, -INF]
    for bad in (math.nan, -INF):
        with pytest.raises(ValueError, match="1 of 1 draws have a finite energy"):
            log_weights(torch.tensor([0.0]), torch.tensor([bad]))
