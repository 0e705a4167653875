"""Weighted samples: parts of them, resampling, and expectations whose answers are known."""

import math
from dataclasses import replace

import mdtraj
import numpy as np
import pytest
import torch

from boltzgen import weights as reweighting
from boltzgen.molecule.system import System
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.weights import with_error
from tests.helpers.posing import made_up_samples

INF = math.inf


def samples(n: int, seed: int = 0, system: object = None) -> WeightedSamples:
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 4, 3, generator=g)
    u, log_q = (
        torch.randn(n, dtype=torch.float64, generator=g),
        torch.randn(n, dtype=torch.float64, generator=g),
    )
    return WeightedSamples.from_energies(x, u, log_q, system)  # type: ignore[arg-type]


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
