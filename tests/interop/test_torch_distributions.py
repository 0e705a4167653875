"""Distributions and transforms of torch, both ways."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.distributions import (
    AffineTransform,
    ComposeTransform,
    Distribution,
    Independent,
    MultivariateNormal,
    Normal,
    TransformedDistribution,
    VonMises,
)
from torch.distributions.transforms import SigmoidTransform

from boltzgen.flow.acceptance import Acceptance
from boltzgen.flow.coupling import real_nvp
from boltzgen.flow.elementary import StandardNormal
from boltzgen.flow.flow import Flow
from boltzgen.flow.resampled import Resampled
from boltzgen.flow.toy import TwoMoons
from boltzgen.interop.torch_distributions import (
    distribution_from_torch,
    distribution_to_torch,
    target_from_torch,
    transform_from_torch,
    transform_to_torch,
)
from boltzgen.training.losses import reverse_kl

MEAN, COVARIANCE = torch.tensor([1.0, -0.5]), torch.tensor([[1.0, 0.4], [0.4, 0.6]])


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_torch_distribution_is_one_of_ours() -> None:
    theirs = MultivariateNormal(MEAN, COVARIANCE)
    ours = distribution_from_torch(theirs)
    assert ours.event_shape == (2,) and ours.has_rsample
    z = torch.randn(3, 5, 2)
    torch.testing.assert_close(ours.log_prob(z), theirs.log_prob(z))
    state = torch.random.get_rng_state()
    x, log_prob = ours.sample_and_log_prob((20_000,), generator=seeded(0))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert torch.equal(x, ours.sample((20_000,), generator=seeded(0)))
    assert not torch.equal(x, ours.sample((20_000,), generator=seeded(1)))
    torch.testing.assert_close(log_prob, theirs.log_prob(x))
    torch.testing.assert_close(x.T.cov(), COVARIANCE, atol=0.03, rtol=0)


def test_without_pathwise_draws_the_score_function_is_kept() -> None:
    concentration = torch.tensor([2.0, 3.0], requires_grad=True)

    class OnCircles(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.concentration = nn.Parameter(concentration)

        def forward(self, c: Tensor | None = None) -> Distribution:
            return Independent(VonMises(torch.zeros(2), self.concentration), 1)

    ours = distribution_from_torch(OnCircles())
    assert not ours.has_rsample and len(list(ours.parameters())) == 1
    _, log_prob, surrogate = ours.draw((6,))
    assert not log_prob.requires_grad and surrogate.requires_grad
    torch.testing.assert_close(surrogate.detach(), log_prob)


def test_batches_are_refused() -> None:
    with pytest.raises(ValueError, match=r"without a batch shape, got \(3,\)"):
        distribution_from_torch(Normal(torch.zeros(3), 1.0))
    with pytest.raises(ValueError, match=r"with draws of shape \(n,\), got \(2, 2\)"):
        distribution_from_torch(Independent(Normal(torch.zeros(2, 2), 1.0), 2))


def test_our_flow_is_a_torch_distribution() -> None:
    flow = Flow(StandardNormal(2), real_nvp(2))
    theirs = distribution_to_torch(flow)
    assert isinstance(theirs, Distribution) and theirs.has_rsample
    x = theirs.rsample((4, 3))
    assert x.shape == (4, 3, 2) and x.requires_grad
    torch.testing.assert_close(theirs.log_prob(x), flow.log_prob(x))
    assert not theirs.sample((4,)).requires_grad
    assert theirs.expand((5,)).sample().shape == (5, 2)


def test_our_resampled_base_has_no_rsample_there() -> None:
    theirs = distribution_to_torch(Resampled(StandardNormal(2), Acceptance(2)))
    assert not theirs.has_rsample and theirs.sample((3,)).shape == (3, 2)
    with pytest.raises(NotImplementedError, match="Resampled has no pathwise draws"):
        theirs.rsample((3,))


def test_transforms_from_torch() -> None:
    elementwise = ComposeTransform([AffineTransform(1.0, 3.0), SigmoidTransform()])
    ours = transform_from_torch(elementwise)
    z = torch.randn(2, 3, 4, dtype=torch.float64)
    x, log_det = ours(z)
    assert log_det.shape == (2, 3)
    back, negative = ours.inverse(x)
    torch.testing.assert_close(back, z)
    torch.testing.assert_close(negative, -log_det)
    expected = (3 * x * (1 - x)).log().sum(-1)
    torch.testing.assert_close(log_det, expected)


def test_transforms_to_torch() -> None:
    ours = real_nvp(3).double()
    theirs = transform_to_torch(ours)
    z = torch.randn(5, 3, dtype=torch.float64)
    x = theirs(z)
    torch.testing.assert_close(theirs.inv(x), z)
    torch.testing.assert_close(theirs.log_abs_det_jacobian(z, x), ours(z)[1])
    torch.testing.assert_close(theirs.inv.log_abs_det_jacobian(x, z), -ours(z)[1])
    base = Independent(Normal(torch.zeros(3, dtype=torch.float64), 1.0), 1)
    transformed = TransformedDistribution(base, [theirs])
    torch.testing.assert_close(transformed.log_prob(x), Flow(StandardNormal(3), ours).log_prob(x))


def test_a_torch_distribution_as_target() -> None:
    target = target_from_torch(MultivariateNormal(MEAN, COVARIANCE))
    loss, _ = reverse_kl(distribution_from_torch(MultivariateNormal(MEAN, COVARIANCE)), target, 16)
    assert abs(float(loss)) < 1e-5
    assert math.isfinite(float(reverse_kl(Flow(StandardNormal(2), real_nvp(2)), TwoMoons(), 16)[0]))
