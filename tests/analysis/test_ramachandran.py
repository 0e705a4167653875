"""Histograms on the circle and the torus against densities that are known."""

import numpy as np
import pytest
from scipy import special

from boltzgen.analysis.ramachandran import bin_centres, ramachandran, suitable_bins, torsion_density
from boltzgen.free_energy.histograms import angle_bins


def torus_draws(n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Uniform angles with weights exp(cos phi + 0.7 cos(psi - 1)): a target whose free energy is known."""
    phi, psi = np.random.default_rng(0).uniform(-np.pi, np.pi, (2, n))
    return phi, psi, np.exp(np.cos(phi) + 0.7 * np.cos(psi - 1.0))


def test_bins_wrap_around_the_circle() -> None:
    degrees = np.array([-180.0, -179.9, -170.1, -169.9, 0.1, 179.9, 180.0, 540.0, 191.0])
    assert angle_bins(np.radians(degrees), 36).tolist() == [0, 0, 0, 1, 18, 35, 0, 0, 1]
    assert angle_bins(np.array([np.nan]), 36).tolist() == [0]
    centres = bin_centres(36)
    assert (centres[0], centres[-1]) == (-175.0, 175.0)
    assert angle_bins(np.radians(centres), 36).tolist() == list(range(36))


def test_the_surface_is_the_weighted_one() -> None:
    phi, psi, weights = torus_draws(2_000_000)
    surface = ramachandran(phi, psi, weights, n_bins=24)
    x, y = np.meshgrid(np.radians(surface.centres), np.radians(surface.centres), indexing="ij")
    exact = -np.cos(x) - 0.7 * np.cos(y - 1.0)
    np.testing.assert_allclose(surface.free_energy, exact - exact.min(), atol=0.09)
    assert surface.probability.sum() == pytest.approx(1.0)
    assert surface.counts.sum() == 2_000_000
    assert surface.counts.std() / surface.counts.mean() < 0.03  # the draws themselves are uniform


def test_an_empty_bin_has_infinite_free_energy_and_zero_weight_is_not_counted() -> None:
    surface = ramachandran(
        np.array([0.1, 0.1, 3.0]), np.array([0.1, 0.1, 3.0]), np.array([1.0, 2.0, 0.0]), n_bins=4
    )
    assert surface.free_energy[2, 2] == 0.0
    assert np.isposinf(np.delete(surface.free_energy.ravel(), 10)).all()
    assert surface.counts.sum() == surface.counts[2, 2] == 2
    with pytest.raises(ValueError, match="only zeros"):
        ramachandran(np.zeros(2), np.zeros(2), np.zeros(2))


def test_marginals_are_the_known_densities_per_degree() -> None:
    phi, psi, weights = torus_draws(1_000_000)
    density = torsion_density(phi, weights, 60)
    exact = np.exp(np.cos(np.radians(density.centres))) / special.i0(1.0) / 360.0
    np.testing.assert_allclose(density.weighted, exact, rtol=0.05)
    np.testing.assert_allclose(density.unweighted, 1 / 360, rtol=0.05)
    surface = ramachandran(phi, psi, weights, 60)
    np.testing.assert_allclose(density.weighted * 6.0, surface.probability.sum(1), rtol=1e-9)
    np.testing.assert_allclose(
        torsion_density(psi, weights, 60).weighted * 6.0, surface.probability.sum(0), rtol=1e-9
    )


def test_draws_without_weight_are_in_neither_density() -> None:
    density = torsion_density(np.array([0.1, 3.0]), np.array([1.0, 0.0]), 4)
    np.testing.assert_allclose(density.unweighted, [0, 0, 1 / 90, 0])


def test_more_samples_get_finer_bins() -> None:
    sizes = [suitable_bins(n) for n in (100.0, 2e4, 1e5, 1e6)]
    assert sizes == sorted(sizes)
    assert sizes[0] < sizes[-1]
    # A few draws fill few cells: 15 degrees wide below 300, 10 below 3,000.
    assert [suitable_bins(n) for n in (3.0, 299.0, 300.0, 2999.0, 3000.0)] == [24, 24, 36, 36, 60]
    assert all(360 % s == 0 for s in sizes)
