"""The plane densities against quadrature, and their samplers."""

import math

import pytest
import torch
from scipy import stats

from boltzgen.flow.toy import CircleOfGaussians, PlaneDensity, TwoMoons, TwoRings

DENSITIES: list[PlaneDensity] = [TwoMoons(), CircleOfGaussians(), TwoRings()]
IDS = [type(d).__name__ for d in DENSITIES]


@pytest.mark.parametrize("density", DENSITIES, ids=IDS)
def test_normalisation(density: PlaneDensity) -> None:
    """By scipy's adaptive rule, in polar coordinates, over the whole plane."""
    from scipy.integrate import dblquad

    def integrand(radius: float, angle: float) -> float:
        x = torch.tensor([radius * math.cos(angle), radius * math.sin(angle)], dtype=torch.float64)
        return radius * float(torch.exp(-density(x)))

    sector = math.pi / 4
    integral, _ = dblquad(integrand, -sector / 2, sector / 2, 0.0, 5.0, epsabs=1e-9, epsrel=1e-7)
    if isinstance(density, TwoMoons):
        for k in (1, 2):  # a quadrant is enough: symmetric in both coordinates
            integral += dblquad(
                integrand,
                sector * (k - 0.5),
                min(sector * (k + 0.5), math.pi / 2),
                0.0,
                5.0,
                epsabs=1e-9,
                epsrel=1e-7,
            )[0]
        half = dblquad(integrand, 0, sector / 2, 0.0, 5.0, epsabs=1e-9, epsrel=1e-7)[0]
        total = 4 * (integral - half)
    else:
        total = 8 * integral
    assert density.log_z == pytest.approx(math.log(total), abs=1e-6)
    if isinstance(density, CircleOfGaussians):
        assert density.log_z == pytest.approx(math.log(8 * 2 * math.pi * density.scale**2), abs=1e-9)
    grid, cell = density.grid(300)
    assert float(density.log_prob(grid).exp().sum() * cell) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("density", DENSITIES, ids=IDS)
def test_draws_follow_the_density(density: PlaneDensity) -> None:
    n, cells, fine = 30_000, 12, 40
    x = density.sample(n, generator=torch.Generator().manual_seed(0))
    assert x.shape == (n, 2)
    assert (density(x) >= density.lowest).all()
    grid, cell = density.grid(cells * fine)
    masses = density.log_prob(grid).exp().reshape(cells, fine, cells, fine).sum((1, 3)).flatten() * cell
    index = ((x.double() + density.reach) / (2 * density.reach) * cells).long().clamp(0, cells - 1)
    counts = torch.bincount(cells * index[:, 0] + index[:, 1], minlength=cells**2).double()
    kept = masses * n > 8
    expected = masses[kept] * n
    assert stats.chisquare(counts[kept], expected * counts[kept].sum() / expected.sum()).pvalue > 1e-4


@pytest.mark.parametrize("density", DENSITIES, ids=IDS)
def test_gradient(density: PlaneDensity) -> None:
    x = density.sample(20, generator=torch.Generator().manual_seed(1)).double()
    u, gradient = density.value_and_gradient(x)
    torch.testing.assert_close(u, density(x))
    step = 1e-6
    for k in range(2):
        shift = torch.zeros(2, dtype=torch.float64)
        shift[k] = step
        torch.testing.assert_close(
            gradient[:, k], (density(x + shift) - density(x - shift)) / (2 * step), atol=1e-5, rtol=1e-5
        )
