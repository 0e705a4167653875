"""Likelihoods of held-out data, and the error that acceptance rates bring into them."""

import math

import pytest
import torch
from torch import Tensor, nn

from boltzgen.flow.acceptance import Acceptance
from boltzgen.flow.acceptance_rate import MonteCarlo
from boltzgen.flow.conditional_resampled import ConditionalResampled
from boltzgen.flow.elementary import Product, StandardNormal
from boltzgen.flow.factorized_resampled import FactorizedResampled
from boltzgen.flow.flow import Flow
from boltzgen.flow.likelihood import Likelihood
from boltzgen.flow.resampled import Resampled
from boltzgen.flow.resampling import log_prob_error, log_unforced_draws, update_rates
from boltzgen.flow.transform import Chain
from tests.helpers.resampled import Bell


class Bells(nn.Module):
    """Several `Bell`s of 20 coordinates, (..., k)."""

    def __init__(self, *k: float) -> None:
        super().__init__()
        self.bells = nn.ModuleList(Bell(each) for each in k)

    def forward(self, z: Tensor) -> Tensor:
        return torch.stack([bell(z) for bell in self.bells], dim=-1)


def exact(*k: float) -> list[float]:
    """log E[a] of each over 20 standard normals."""
    one = torch.ones(20, dtype=torch.float64)
    return [float(Bell(each).exact(0 * one, one).detach()) for each in k]


def test_mean_and_standard_error() -> None:
    """Of a normal under itself: minus its entropy, with the standard deviation of log p over sqrt(n)."""
    flow = Flow(StandardNormal(3), Chain([])).double()
    x = torch.randn(40_000, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    found = Likelihood.of(flow.log_prob(x), flow)
    entropy = 1.5 * math.log(2 * math.pi * math.e)
    assert found.standard_error == pytest.approx(math.sqrt(1.5 / 40_000), rel=0.03)
    assert abs(found.mean + entropy) < 4.5 * found.standard_error
    assert (found.rate_error, found.n) == (0.0, 40_000)
    with pytest.raises(ValueError, match=r"n >= 2 points, got \(1,\)"):
        Likelihood.of(flow.log_prob(x[:1]), flow)


STRENGTHS = (0.05, 0.1, 0.2)


def models() -> dict[str, tuple[nn.Module, float]]:
    """By name: a model of which everything is known, and log Z of one of its draws."""
    log_z = exact(*STRENGTHS)
    plain = Resampled(StandardNormal(20), Bell(STRENGTHS[1]), rate=MonteCarlo())
    parts = FactorizedResampled(StandardNormal(20), Bells(*STRENGTHS), 3, rate=MonteCarlo(n_out=3))
    classes = ConditionalResampled(StandardNormal(20), Bells(*STRENGTHS), 3, rate=MonteCarlo(n_out=3))
    product = Product([parts, Resampled(StandardNormal(20), Bell(STRENGTHS[1]), rate=MonteCarlo())])
    return {
        "plain": (plain, log_z[1]),
        "factorized": (parts, sum(log_z)),
        "classes": (classes, log_z[2]),
        "product in a flow": (Flow(product, Chain([])), sum(log_z) + log_z[1]),
    }


@pytest.mark.parametrize("name", ["plain", "factorized", "classes", "product in a flow"])
def test_error_of_the_acceptance_rates_covers(name: str) -> None:
    """The spread of the log-density over estimates of Z is at most what is stated, and no less than a third.

    It is the sum over factors, since all of them see the same proposals, and the worst class counts.
    """
    model, log_z = models()[name]
    model.double()
    n, size = 40, 20 * {"plain": 1, "factorized": 3, "classes": 1}.get(name, 4)
    z = torch.zeros(size, dtype=torch.float64)
    generator, found, stated = torch.Generator().manual_seed(1), [], []
    for _ in range(n):
        update_rates(model, 4000, generator=generator)
        with torch.no_grad():
            given = (torch.tensor(2),) if name == "classes" else ()
            found.append(float(model.log_prob(z, *given)))  # type: ignore[operator]
        stated.append(log_prob_error(model))
    # At the peak a = 1, and log p = log pi - log Z but for forced draws.
    error = torch.tensor(found, dtype=torch.float64) + 0.5 * size * math.log(2 * math.pi) + log_z
    spread = float(error.square().mean().sqrt())
    mean = sum(stated) / n
    assert mean / 3 < spread < 1.3 * mean


def test_chance_of_an_unforced_draw_of_many() -> None:
    """The log of a product over factors; a mean over classes; nothing where nothing is resampled."""
    kinds = {"truncation": 4, "rate": MonteCarlo(n_out=6)}
    base = ConditionalResampled(StandardNormal(2), Acceptance(2, n_out=6), 3, n_factors=2, **kinds)  # type: ignore[arg-type]
    with torch.no_grad():
        base.acceptance.net.last.bias.copy_(torch.linspace(-3, 1, 6))
    update_rates(base)
    alone = base.log_unforced()
    assert alone.shape == (6,)
    torch.testing.assert_close(log_unforced_draws(base), alone.sum() / 3)
    assert float(log_unforced_draws(StandardNormal(2))) == 0
