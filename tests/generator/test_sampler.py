"""Conformations by any distribution of flow coordinates: exact weights, one image of each angle."""

import math
from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.energy.forcefield import ForceFieldEnergy
from boltzgen.evaluation.evaluate import evaluate
from boltzgen.flow.distribution import Distribution
from boltzgen.flow.elementary import StandardNormal
from boltzgen.generator.sampler import FlowSampler
from boltzgen.molecule.system import System


class WideNormal(Distribution):
    """Independent normals of the coordinates: wide ones of the periodic ones, half a scale of the others."""

    def __init__(self, coordinates: MolecularCoordinates) -> None:
        super().__init__()
        n, m = coordinates.n_periodic, coordinates.n_stiff
        self.event_shape, self.has_rsample = torch.Size((n + m,)), True
        self.log_scale = nn.Parameter(torch.cat((torch.zeros(n) + 1.0, torch.zeros(m) - 0.7)))

    def log_prob(self, z: Tensor) -> Tensor:
        return torch.distributions.Normal(0.0, self.log_scale.exp()).log_prob(z).sum(-1)

    def draw(
        self, shape: Sequence[int] = (), *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        z = torch.randn(*shape, *self.event_shape, generator=generator) * self.log_scale.exp()
        return z, self.log_prob(z), torch.zeros(shape)


@pytest.fixture(scope="module")
def sampler(alanine: System, coordinates: MolecularCoordinates) -> FlowSampler:
    return FlowSampler(alanine, coordinates, WideNormal(coordinates), temperature=300.0)


def test_weights_are_those_of_the_density_of_positions(sampler: FlowSampler, alanine: System) -> None:
    samples = sampler.sample(4096, ForceFieldEnergy(alanine), seed=3)
    inside = samples.log_w.isfinite()
    assert inside.any()
    torch.testing.assert_close(
        sampler.log_prob(samples.x[inside].double()), samples.log_q[inside], atol=0.05, rtol=0
    )


def test_second_images_of_angles_have_no_weight(sampler: FlowSampler, alanine: System) -> None:
    """The shares of draws inside is that of the normal distribution within one turn, times the domain's."""
    samples = sampler.sample(4096, ForceFieldEnergy(alanine), seed=3)
    n = sampler.coordinates.n_periodic
    within = math.erf(math.pi / math.e / math.sqrt(2)) ** n
    assert samples.u.isfinite().double().mean() <= within + 0.02


def test_seeds_and_chunks(sampler: FlowSampler, alanine: System) -> None:
    energy = ForceFieldEnergy(alanine)
    first = sampler.sample(3000, energy, seed=1)
    parts = list(sampler.sample_chunks(3000, energy, seed=1, chunk_size=2048))
    assert len(parts) == 2
    assert torch.equal(first.x, torch.cat([part.x for part in parts]))
    assert not torch.equal(first.x, sampler.sample(3000, energy, seed=2).x)


def test_it_can_be_evaluated(sampler: FlowSampler) -> None:
    result = evaluate(sampler, n=4096)
    assert 0 < result["sampling_efficiency"] < 1


def test_another_event_shape_is_refused(alanine: System, coordinates: MolecularCoordinates) -> None:
    with pytest.raises(ValueError, match=r"of the 60 flow coordinates .* event shape \(3,\)"):
        FlowSampler(alanine, coordinates, StandardNormal(3), temperature=300.0)
