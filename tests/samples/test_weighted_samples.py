"""Weights and their estimators on densities whose answers are known."""

import math
from dataclasses import replace

import mdtraj
import numpy as np
import pytest
import torch
from scipy import stats

from boltzgen import weights as reweighting
from boltzgen.molecule.system import System
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.weights import log_weights, with_error
from tests.helpers.posing import made_up_samples

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


def samples(n: int, seed: int = 0, system: object = None) -> WeightedSamples:
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 4, 3, generator=g)
    u, log_q = (
        torch.randn(n, dtype=torch.float64, generator=g),
        torch.randn(n, dtype=torch.float64, generator=g),
    )
    return WeightedSamples.from_energies(x, u, log_q, system)  # type: ignore[arg-type]


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


def test_samples_hold_float32_positions_and_float64_scalars() -> None:
    s = WeightedSamples.from_energies(
        torch.zeros(2, 4, 3, dtype=torch.float64), torch.zeros(2), torch.zeros(2)
    )
    assert s.x.dtype == torch.float32
    assert {s.u.dtype, s.log_q.dtype, s.log_w.dtype} == {torch.float64}


@pytest.mark.parametrize("wrong", ["x", "u", "log_q", "log_w"])
def test_samples_refuse_wrong_shapes(wrong: str) -> None:
    arrays = {
        "x": torch.zeros(3, 4, 3),
        "u": torch.zeros(3),
        "log_q": torch.zeros(3),
        "log_w": torch.zeros(3),
    }
    arrays[wrong] = torch.zeros(3, 1)
    with pytest.raises(ValueError, match=rf"expected .*{wrong} of shape"):
        WeightedSamples(**arrays)


def test_slices_and_concatenation_are_inverse() -> None:
    molecule = object()
    whole = samples(10, system=molecule)
    joined = WeightedSamples.concatenate([whole[:4], whole[4:9], whole[torch.tensor([9])]])
    assert len(joined) == 10
    assert joined.system is molecule
    for name in ("x", "u", "log_q", "log_w"):
        torch.testing.assert_close(getattr(joined, name), getattr(whole, name), rtol=0, atol=0)
    with pytest.raises(ValueError, match="at least one"):
        WeightedSamples.concatenate([])


@pytest.mark.parametrize(("index", "place"), [(0, 0), (9, 9), (-1, 9), (-10, 0), (np.int64(3), 3)])
def test_one_conformation_is_a_sample_of_one(index: int, place: int) -> None:
    whole = samples(10, system=object())
    one = whole[index]
    assert isinstance(one, WeightedSamples)
    assert one.system is whole.system
    for name in ("x", "u", "log_q", "log_w"):
        torch.testing.assert_close(getattr(one, name), getattr(whole, name)[[place]], rtol=0, atol=0)


@pytest.mark.parametrize("index", [10, -11])
def test_a_conformation_that_is_not_there_is_an_index_error(index: int) -> None:
    with pytest.raises(IndexError, match=f"no conformation {index} of 10"):
        samples(10)[index]


def test_masks_of_numpy_and_iteration() -> None:
    whole = samples(10)
    mask = whole.u.numpy() > 0
    assert torch.equal(whole[mask].u, whole.u[whole.u > 0])
    assert torch.equal(torch.cat([one.u for one in whole]), whole.u)
    for wrong in ("0", 1.0, True, None):
        with pytest.raises(TypeError, match="expected a number, a slice, a boolean mask"):
            whole[wrong]  # type: ignore[index]


def test_parts_are_of_one_temperature() -> None:
    cold, warm = (replace(samples(4), temperature=t) for t in (300.0, 500.0))
    assert WeightedSamples.concatenate([cold[:2], cold[2:]]).temperature == 300.0
    assert cold[0].temperature == cold.resample(3).temperature == 300.0
    assert WeightedSamples.concatenate([cold, samples(2)]).temperature is None
    with pytest.raises(ValueError, match="one temperature, got 300 K and 500 K"):
        WeightedSamples.concatenate([cold, warm])


def test_weights_sum_to_one_and_give_the_mean() -> None:
    s = reweighted_gaussian(500, 0)
    weights = s.weights
    assert weights.dtype == torch.float64
    assert float(weights.sum()) == pytest.approx(1.0)
    assert torch.all(weights[::10] == 0)
    ratios = weights[1:9] / weights[1]
    torch.testing.assert_close(ratios.log(), s.log_w[1:9] - s.log_w[1])
    found = s.mean(square)
    assert found.value == pytest.approx(float(weights @ square(s).nan_to_num().double()))
    assert found == s.expectation(square)


def test_resampling_draws_in_proportion_to_the_weights() -> None:
    log_w = torch.tensor([-INF, math.log(1.0), math.log(3.0), -INF, math.log(6.0), -INF], dtype=torch.float64)
    base = samples(6)
    weighted = WeightedSamples(base.x, torch.arange(6), base.log_q, log_w)
    drawn = weighted.resample(20_000, seed=4)
    counts = torch.bincount(drawn.u.long(), minlength=6) / 20_000
    torch.testing.assert_close(counts, torch.tensor([0, 0.1, 0.3, 0, 0.6, 0]), atol=0.012, rtol=0)
    assert drawn.effective_sample_size == pytest.approx(20_000)
    torch.testing.assert_close(drawn.x, base.x[drawn.u.long()], rtol=0, atol=0)
    assert torch.equal(drawn.u, weighted.resample(20_000, seed=4).u)
    assert not torch.equal(drawn.u, weighted.resample(20_000, seed=5).u)


def reweighted_gaussian(n: int, seed: int) -> WeightedSamples:
    """Draws of z ~ N(0, 1.3^2) towards N(0, 1), z in x[:, 0, 0]; one in ten has no weight, its z NaN."""
    z = 1.3 * torch.randn(n, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    u, log_q = 0.5 * z**2, -0.5 * (z / 1.3) ** 2
    x = torch.zeros(n, 2, 3)
    x[:, 0, 0] = z.float()
    u[::10], x[::10] = INF, math.nan
    return WeightedSamples.from_energies(x, u, log_q)


def z(s: WeightedSamples) -> torch.Tensor:
    return s.x[:, 0, 0]


def square(s: WeightedSamples) -> torch.Tensor:
    return s.x[:, 0, 0] ** 2


def test_expectations_are_right_and_their_error_bars_cover() -> None:
    """E[z] = 0, E[z^2] = 1 and P(z > 1) = 0.1587 under the target."""
    exact = np.array([0.0, 1.0, 0.158655])
    results = []
    for seed in range(400):
        s = reweighted_gaussian(1_000, seed)
        found = [s.expectation(f) for f in (z, square, lambda s: s.x[:, 0, 0] > 1)]
        results.append([[f.value for f in found], [f.error for f in found]])
    value, error = np.array(results).swapaxes(0, 1)
    scores = (value - exact) / error
    assert np.abs(scores.mean(0)).max() < 0.2
    assert 0.9 < scores.std(0).min() <= scores.std(0).max() < 1.12
    covered = (np.abs(scores) < 1.96).mean(0)
    assert 0.92 < covered.min() <= covered.max() < 0.98


def test_expectations_of_functions_and_arrays_agree() -> None:
    s = reweighted_gaussian(500, 0)
    found = s.expectation(square)
    for given in (square(s), square(s).numpy(), square(s).tolist()):
        assert s.expectation(given) == found
    assert found.low < found.value < found.high and found.is_trusted
    assert str(found) == f"{found.value:.3f} ± {found.error:.3f}"
    assert str(s.expectation(square, unit="nm²")).endswith(" nm²")
    one = s.expectation(torch.ones(500))
    assert (one.value, one.error) == (pytest.approx(1.0), pytest.approx(0.0))


def test_what_is_wrong_is_part_of_the_result() -> None:
    """Of few draws, and of weights whose variance is infinite."""
    few, heavy = reweighted_gaussian(60, 0), replace(samples(4000), log_w=2.0 * torch.randn(4000).exp())
    assert "effective draws" in few.expectation(z).warnings[0]
    assert "effective draws" in few.log_z.warnings[0]
    assert "k-hat" in "".join(heavy.log_z.warnings)


def test_log_z_is_the_logarithm_of_the_mean_weight() -> None:
    s = reweighted_gaussian(2000, 3)
    found, (value, error) = s.log_z, reweighting.log_z(s.log_w)
    assert (found.value, found.error, found.unit) == (pytest.approx(value), pytest.approx(error), "")
    f = s.free_energy()
    assert (found.low, found.high) == (-f.high, -f.low)
    assert str(found) == with_error(found.value, found.error)


def test_expectations_of_wrong_values_are_refused() -> None:
    s = reweighted_gaussian(50, 0)
    for wrong in (torch.zeros(49), torch.zeros(50, 2), lambda s: torch.tensor(1.0)):
        with pytest.raises(ValueError, match="one value for each of 50 draws"):
            s.expectation(wrong)
    with pytest.raises(ValueError, match="45 values are not finite although"):
        s.expectation(torch.full((50,), math.nan))


def test_an_estimate_is_printed_with_the_digits_of_its_error() -> None:
    for pair, text in {
        (0.26134, 0.0021): "0.2613 ± 0.0021",
        (-181.98154, 0.00012): "-181.98154 ± 0.00012",
        (1234.5, 56.7): "1234 ± 57",
        (2.5, INF): "2.5 ± inf",
        (2.5, 0.0): "2.5 ± 0",
    }.items():
        assert with_error(*pair) == text


def test_to_mdtraj_is_a_copy_with_the_topology() -> None:
    system = System.load("alanine_dipeptide")
    s = made_up_samples(system, 20)
    trajectory = s.to_mdtraj()
    np.testing.assert_array_equal(trajectory.xyz, s.x.numpy())
    assert trajectory.topology == mdtraj.Topology.from_openmm(system.topology)
    np.testing.assert_allclose(mdtraj.compute_phi(trajectory)[1][:, 0], s.torsion("phi"), atol=1e-5)
    before = s.x.clone()
    trajectory.xyz += 1.0
    assert torch.equal(s.x, before)


def test_samples_without_a_molecule_name_what_is_missing() -> None:
    with pytest.raises(ValueError, match="carry no molecule"):
        samples(3).free_energy_difference("a", "b")
    with pytest.raises(ValueError, match="carry no molecule"):
        samples(3).to_mdtraj()
