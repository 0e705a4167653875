"""The resampled base against that of its authors (Stimper et al. 2022), where their code is at hand.

Their package is not on the index: https://github.com/VincentStimper/resampled-base-flows, on PYTHONPATH.
"""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from boltzgen.flow.acceptance_rate import FixedRate
from boltzgen.flow.elementary import StandardNormal
from boltzgen.flow.resampled import Resampled

pytest.importorskip("normflows")


class Wave(nn.Module):
    """log a = log sigmoid(2 sin(2 z_1) + z_2)."""

    def forward(self, z: Tensor) -> Tensor:
        return nn.functional.logsigmoid(2 * torch.sin(2 * z[..., 0]) + z[..., 1])


class TheirWave(Wave):
    """a, as they want it, (B, 1)."""

    def forward(self, z: Tensor) -> Tensor:
        return super().forward(z).exp().unsqueeze(-1)


@pytest.fixture(scope="module")
def distributions() -> ModuleType:
    """Their module of distributions alone: their package imports data sets, and another `boltzgen`."""
    found = importlib.util.find_spec("larsflow")
    if found is None or not found.submodule_search_locations:
        pytest.skip("the authors' code is missing: put a clone of resampled-base-flows on PYTHONPATH")
    path = Path(found.submodule_search_locations[0]) / "distributions.py"
    spec = importlib.util.spec_from_file_location("larsflow_distributions", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("truncation", [2, 5, 100])
def test_the_density_is_theirs(distributions: ModuleType, truncation: int) -> None:
    """At one and the same Z: theirs is a Monte Carlo estimate, ours a quadrature."""
    ours = Resampled(StandardNormal(2), Wave(), truncation=truncation).double()
    theirs = distributions.ResampledGaussian(2, TheirWave(), truncation, 0.05, trainable=False).double()
    theirs.eval()
    theirs.Z = ours.log_acceptance_rate().exp().detach()
    z = 2 * torch.randn(500, 2, dtype=torch.float64)
    torch.testing.assert_close(ours.log_prob(z), theirs.log_prob(z), rtol=1e-10, atol=1e-10)


def test_their_monte_carlo_rate_is_our_quadrature(distributions: ModuleType) -> None:
    torch.manual_seed(0)
    theirs = distributions.ResampledGaussian(2, TheirWave(), 100, 0.05, trainable=False)
    theirs.estimate_Z(100_000, 10)
    ours = Resampled(StandardNormal(2), Wave()).log_acceptance_rate().exp()
    assert float(theirs.Z) == pytest.approx(float(ours), abs=1.5e-3)


@pytest.mark.parametrize("truncation", [2, 5])
def test_draws_follow_the_same_density(distributions: ModuleType, truncation: int) -> None:
    """Their sampler's and ours, by the mean acceptance of the draws."""
    torch.manual_seed(0)
    ours = Resampled(StandardNormal(2), Wave(), truncation=truncation)
    theirs = distributions.ResampledGaussian(2, TheirWave(), truncation, 0.05, trainable=False)
    theirs.eval()
    theirs.Z = ours.log_acceptance_rate().exp().detach()
    n = 20_000
    wave = Wave()
    found = [wave(draws).exp() for draws in (ours.sample((n,)), theirs(n)[0])]
    error = sum(float(a.var()) / n for a in found) ** 0.5
    assert abs(float(found[0].mean() - found[1].mean())) < 4 * error


def test_their_density_changes_when_it_is_asked_for(distributions: ModuleType) -> None:
    """In training mode their running Z moves with each evaluation; ours never changes."""
    torch.manual_seed(0)
    theirs = distributions.ResampledGaussian(2, TheirWave(), 5, 0.5, trainable=False).train()
    z = torch.randn(10, 2)
    theirs.log_prob(z)
    assert not torch.equal(theirs.log_prob(z), theirs.log_prob(z))
    ours = Resampled(StandardNormal(2), Wave(), rate=FixedRate(torch.tensor(-0.7)))
    assert torch.equal(ours.log_prob(z), ours.log_prob(z))
