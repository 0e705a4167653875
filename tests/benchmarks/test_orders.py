"""What the rest lacks: `benchmarks/orders.py` on errors that are known."""

from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor

from boltzgen.energy.choose import energy_for
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.generator.target import PullbackEnergy
from tests.helpers.scripts import loaded


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return loaded(Path(__file__).parents[2] / "benchmarks" / "orders.py")


SHIFT = torch.tensor([0.5, -0.3, 0.0], dtype=torch.float64)
CURVATURE = torch.tensor([[0.3, 0.2, 0.0], [0.2, -0.4, 0.0], [0.0, 0.0, 0.1]], dtype=torch.float64)


def quadratic(z: Tensor) -> Tensor:
    return z @ SHIFT + 0.5 * ((z @ CURVATURE) * z).sum(-1)


def cubic(z: Tensor) -> Tensor:
    """Of third order alone: Hermite's polynomials in one coordinate."""
    return 0.2 * (z[:, 0] ** 3 - 3 * z[:, 0])


@pytest.mark.parametrize(
    ("error", "first", "second", "variance"),
    [(quadratic, 0.34, 0.17, 0.51), (cubic, 0.0, 0.0, 0.24)],
    ids=["quadratic", "cubic"],
)
def test_orders_of_polynomials(
    script: ModuleType, error: object, first: float, second: float, variance: float
) -> None:
    z = torch.randn(100_000, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = script.orders(*script.with_gradient(error, z))
    assert found.first == pytest.approx(first, abs=0.02)
    assert found.second == pytest.approx(second, abs=0.02)
    assert found.variance == pytest.approx(variance, abs=0.03)


def test_a_quadratic_error_is_corrected_whole_and_a_linear_one_by_the_shift(script: ModuleType) -> None:
    z = torch.randn(1000, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    exact = script.Orders(0.0, 0.0, 0.0, SHIFT, CURVATURE)
    assert float(script.corrected(quadratic, z, exact).std()) < 1e-9
    mean_alone = exact._replace(curvature=torch.zeros_like(CURVATURE))
    assert float(script.corrected(lambda at: at @ SHIFT, z, mean_alone).std()) < 1e-9
    assert float(script.corrected(quadratic, z, mean_alone).std()) > 0.1


def test_the_error_is_that_of_the_flow(script: ModuleType) -> None:
    """f is log p(t, r) - log q(r | t) of the flow's own density, where it has no broad component."""
    generator = BoltzmannGenerator.load("alanine_dipeptide")
    target = PullbackEnergy(energy_for(generator.system), generator.coordinates)
    flow = generator.flow
    t = script.chosen(flow, target, 1, 0)
    z = torch.randn(64, generator.coordinates.n_stiff, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        context = flow.features(t.expand(64, -1))
        r, _ = flow.conditional.transform(z, context)
        y = torch.cat((t.expand(64, -1), r), -1)
        expected = -(target(y) + flow.conditional.log_prob(r, context)).double()
        found = script.error_at(generator, target, t[0])(z)
    assert float((found - expected - (found - expected).mean()).abs().max()) < 1e-3
