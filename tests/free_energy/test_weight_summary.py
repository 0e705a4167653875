"""The summary of log-weights is that of the estimators it quotes, however the weights come in."""

import math

import pytest
import torch

from boltzgen import weights
from boltzgen.free_energy.result import warnings_of
from boltzgen.free_energy.weight_summary import WeightTally, weight_summary

INF = math.inf


def heavy(n: int, seed: int = 0, shift: float = 0.0) -> torch.Tensor:
    """Log-weights with a power-law tail, one in a hundred of weight zero."""
    generator = torch.Generator().manual_seed(seed)
    log_w = -torch.rand(n, dtype=torch.float64, generator=generator).log() / 2.5 + shift
    log_w[::100] = -INF
    return log_w


@pytest.mark.parametrize("n", [1, 2, 9, 99, 100, 1_003, 30_000])
@pytest.mark.parametrize("shift", [0.0, -3e4])
def test_the_summary_is_that_of_the_estimators(n: int, shift: float) -> None:
    log_w = heavy(n, shift=shift) if n > 1 else torch.tensor([shift], dtype=torch.float64)
    found = weight_summary(log_w)
    k_hat = weights.psis_k_hat(log_w.numpy())
    blocks = weights.sampling_efficiency_of_blocks(log_w) if n >= 100 else None
    expected = {
        "n_samples": n,
        "effective_sample_size": weights.effective_sample_size(log_w),
        "sampling_efficiency": weights.sampling_efficiency(log_w),
        "sampling_efficiency_blocks_low": None if blocks is None else float(blocks.min()),
        "sampling_efficiency_blocks_high": None if blocks is None else float(blocks.max()),
        "sampling_efficiency_clipped": weights.sampling_efficiency(weights.clip_log_weights(log_w)),
        "largest_weight_share": weights.largest_weight_share(log_w),
        "psis_k_hat": k_hat if math.isfinite(k_hat) else None,
        "log_z": weights.log_z(log_w)[0],
        "log_z_error": None if warnings_of(log_w.numpy()) else weights.log_z(log_w)[1],
        "fraction_outside_domain": float((log_w == -INF).double().mean()),
    }
    unknown = {name for name, value in expected.items() if value is None}
    assert {name for name, value in found.items() if value is None} == unknown
    for name in expected.keys() - unknown:
        assert found[name] == pytest.approx(expected[name], rel=1e-9, abs=1e-12), name
    assert found.keys() == expected.keys()


def test_one_draw_of_large_weight_shows_in_its_block() -> None:
    log_w = torch.zeros(5_000, dtype=torch.float64)
    log_w[4_999] = 9.0
    found = weight_summary(log_w)
    assert found["sampling_efficiency_blocks_low"] < 0.1 < 0.99 < found["sampling_efficiency_blocks_high"]
    assert weight_summary(torch.zeros(1_000))["psis_k_hat"] is None


def test_the_error_of_log_z_is_not_given_where_it_would_mean_nothing() -> None:
    """One effective draw of many, a tail without a variance, few draws; and weights that are well."""
    even = torch.zeros(20_000, dtype=torch.float64)
    single, tail = even.clone(), 1.5 * torch.distributions.Exponential(1.0).sample((20_000,)).double()
    single[7] = 30.0
    for log_w in (single, tail, even[:99]):
        assert weight_summary(log_w)["log_z_error"] is None
    assert weight_summary(heavy(20_000))["log_z_error"] > 0


@pytest.mark.parametrize("chunk", [1, 7, 1_000, 16_384])
def test_chunks_give_the_same_and_few_weights_are_kept(chunk: int) -> None:
    log_w = heavy(3_000 if chunk == 1 else 50_000, seed=1)
    tally = WeightTally(len(log_w))
    for part in log_w.split(chunk):
        tally.add(part)
    assert tally.summary() == pytest.approx(weight_summary(log_w), rel=1e-9)
    assert len(tally._largest) <= 3 * math.sqrt(len(log_w)) + 2


@pytest.mark.parametrize(
    ("log_w", "n", "message"),
    [
        ([0.0, math.nan], 2, "1 of 2 log-weights are NaN"),
        ([INF], 1, r"1 of 1 log-weights are NaN or \+inf"),
        ([-INF, -INF], 2, "all 2 weights are zero"),
        ([0.0], 2, "expected 2 log-weights, at least one, got 1"),
        ([], 0, "at least one, got 0"),
        ([0.0, 0.0], 1, "expected 1 log-weights, got 2 or more"),
    ],
)
def test_what_cannot_be_summed_up_is_said(log_w: list[float], n: int, message: str) -> None:
    tally = WeightTally(n)
    with pytest.raises(ValueError, match=message):
        tally.add(torch.tensor(log_w, dtype=torch.float64))
        tally.summary()
