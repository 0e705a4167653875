"""Methods of samples give what the functions on arrays give, for torsions, functions and values."""

import math

import numpy as np
import pytest
import torch

from boltzgen.free_energy import state_functions
from boltzgen.free_energy.means import expectation, probability
from boltzgen.free_energy.pmf import Coordinate
from boltzgen.free_energy.temperature import at_temperatures
from boltzgen.samples.sizes import distance, radius_of_gyration
from boltzgen.samples.weighted_samples import WeightedSamples
from tests.helpers.standin import shipped


@pytest.fixture(scope="module")
def samples() -> WeightedSamples:
    _, generator, energy = shipped()
    return generator.sample(2000, energy, seed=3)


def test_averages_and_state_functions(samples: WeightedSamples) -> None:
    u, log_w = samples.u.numpy(), samples.log_w.numpy()
    assert samples.expectation(radius_of_gyration, unit="nm") == expectation(
        radius_of_gyration(samples).numpy(), log_w, unit="nm"
    )
    resampled = samples.expectation(radius_of_gyration, errors="bootstrap", seed=1)
    assert resampled == expectation(radius_of_gyration(samples).numpy(), log_w, errors="bootstrap", seed=1)
    assert samples.free_energy(temperature=300.0) == state_functions.free_energy(log_w, temperature=300.0)
    assert samples.free_energy().value == pytest.approx(-samples.log_z.value)
    for name in ("energy", "minus_ts", "heat_capacity"):
        expected = getattr(state_functions, name)(u, log_w, errors="bootstrap", seed=2)
        assert getattr(samples, name)(errors="bootstrap", seed=2) == expected
    condition = samples.torsion("phi") > 0
    found = samples.expectation(condition)
    assert 0 < found.value < 0.05
    # Of few draws: a bound, where an average of numbers has no interval.
    assert found == probability(condition.numpy(), log_w) and found.high < 0.01


def test_profiles(samples: WeightedSamples) -> None:
    phi = samples.pmf("phi", temperature=300.0)
    assert (phi.names, phi.units, phi.periods) == (("phi",), ("rad",), (2 * math.pi,))
    same = samples.pmf(Coordinate(samples.torsion("phi").double().numpy(), period=2 * math.pi))
    assert np.array_equal(phi.density, same.density)
    assert samples.kernel_pmf("phi").bandwidths is not None
    sizes = samples.pmf(radius_of_gyration, n_bins=10)
    assert sizes.names == ("radius_of_gyration",) and sizes.periods == (None,) and len(sizes.density) == 10
    both = samples.pmf("phi", distance(0, 5), n_bins=4)
    assert both.density.shape == (4, 4) and both.names == ("phi", "distance 0-5")
    assert samples.coordinate(samples.u).name == "s"


def test_other_temperatures(samples: WeightedSamples) -> None:
    inside = samples.torsion("phi") > 0
    (found,) = samples.at_temperatures(300.0, [310.0], conditions={"right": inside})
    (expected,) = at_temperatures(
        samples.u.numpy(), samples.log_w.numpy(), 300.0, [310.0], conditions={"right": inside.numpy()}
    )
    assert found == expected


def test_distances(samples: WeightedSamples) -> None:
    x = samples.x.numpy()
    assert distance(2, 7)(samples).numpy() == pytest.approx(
        np.linalg.norm(x[:, 2] - x[:, 7], axis=-1), rel=1e-5
    )
    with pytest.raises(ValueError, match="two different atoms"):
        distance(1, 1)
    with pytest.raises(ValueError, match="atoms from 0 to 21"):
        distance(0, 22)(samples)
    with pytest.raises(ValueError, match="no torsion called"):
        samples.pmf("chi9")
    assert isinstance(distance(0, 1)(samples), torch.Tensor)
