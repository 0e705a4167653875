"""zuko's flows as ours and ours as zuko's; its splines against ours."""

import math

import pytest
import torch
from torch import Tensor

from boltzgen.flow.acceptance import Acceptance
from boltzgen.flow.coupling import SplineCoupling, real_nvp
from boltzgen.flow.elementary import StandardNormal
from boltzgen.flow.flow import Flow
from boltzgen.flow.resampled import Resampled
from boltzgen.flow.spline import spline_with_tails
from boltzgen.flow.toy import TwoMoons
from boltzgen.flow.transform import Chain
from boltzgen.interop.zuko import flow_from_zuko, flow_to_zuko
from boltzgen.kernels.constants import MIN_DERIVATIVE, MIN_SIZE
from boltzgen.training.losses import forward_kl, reverse_kl, reverse_kl_path

zuko = pytest.importorskip("zuko")


@pytest.mark.parametrize("name", ["NSF", "MAF", "RealNVP", "NICE"])
def test_their_flows_are_ours(name: str) -> None:
    theirs = getattr(zuko.flows, name)(features=3, transforms=2, hidden_features=(16,)).double()
    ours = flow_from_zuko(theirs)
    assert {id(p) for p in ours.parameters()} == {id(p) for p in theirs.parameters()}
    x = torch.randn(2, 4, 3, dtype=torch.float64)
    torch.testing.assert_close(ours.log_prob(x), theirs().log_prob(x))
    drawn, log_q = ours.sample_and_log_prob((50,), generator=torch.Generator().manual_seed(0))
    assert torch.equal(drawn, ours.sample((50,), generator=torch.Generator().manual_seed(0)))
    torch.testing.assert_close(log_q, theirs().log_prob(drawn), rtol=1e-6, atol=1e-5)


def test_their_context_is_ours() -> None:
    theirs = zuko.flows.NSF(features=2, context=3, transforms=1, hidden_features=(8,))
    ours = flow_from_zuko(theirs)
    x, c = torch.randn(5, 2), torch.randn(5, 3)
    torch.testing.assert_close(ours.log_prob(x, c), theirs(c).log_prob(x))
    drawn, log_q, _ = ours.draw((5,), context=c)
    torch.testing.assert_close(log_q, theirs(c).log_prob(drawn), rtol=1e-4, atol=1e-4)


def test_our_flow_is_one_of_theirs() -> None:
    ours = Flow(StandardNormal(2), real_nvp(2)).double()
    theirs = flow_to_zuko(ours)
    assert isinstance(theirs, zuko.lazy.Flow)
    assert {id(p) for p in theirs.parameters()} == {id(p) for p in ours.parameters()}
    x, log_prob = theirs().rsample_and_log_prob((6,))
    torch.testing.assert_close(log_prob, ours.log_prob(x))
    torch.testing.assert_close(theirs().log_prob(x), ours.log_prob(x))
    # And back again.
    torch.testing.assert_close(flow_from_zuko(theirs).log_prob(x), ours.log_prob(x))


def test_our_conditional_flow_is_one_of_theirs() -> None:
    ours = Flow(StandardNormal(2), Chain([SplineCoupling(2, [0], 3), SplineCoupling(2, [1], 3)])).double()
    theirs = flow_to_zuko(ours)
    x, c = torch.randn(7, 2, dtype=torch.float64), torch.randn(7, 3, dtype=torch.float64)
    torch.testing.assert_close(theirs(c).log_prob(x), ours.log_prob(x, c))
    assert theirs(c).sample((4,)).shape == (4, 7, 2)


def test_a_base_without_pathwise_draws_is_none_of_theirs() -> None:
    """zuko's flow claims `rsample` over such a base; the one that comes back does not."""
    ours = Flow(Resampled(StandardNormal(2), Acceptance(2)), real_nvp(2))
    theirs = flow_to_zuko(ours)
    assert theirs().has_rsample
    back = flow_from_zuko(theirs)
    assert not back.has_rsample
    _, _, surrogate = back.draw((5,))
    (gradient,) = torch.autograd.grad(surrogate.sum(), ours.base.acceptance.net.last.bias)  # type: ignore[union-attr]
    assert gradient.abs() > 0


@pytest.mark.parametrize("loss", [reverse_kl, reverse_kl_path])
def test_our_losses_train_theirs(loss: object) -> None:
    flow = flow_from_zuko(zuko.flows.NSF(features=2, transforms=2, hidden_features=(32,)))
    target, optimizer = TwoMoons(), torch.optim.Adam(flow.parameters(), lr=1e-2)
    found = []
    for _ in range(60):
        value, _ = loss(flow, target, 256)  # type: ignore[operator]
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        found.append(float(value.detach()))
    assert sum(found[-10:]) / 10 < sum(found[:3]) / 3 - 1.0
    assert forward_kl(flow.log_prob(target.sample(64))).isfinite()


@pytest.mark.parametrize("inverse", [False, True])
def test_splines_are_theirs(*, inverse: bool) -> None:
    """The same knots and slopes; what differs is how parameters become knots.

    zuko softens widths and heights by x / (1 + |2 x / log 1e-3|) and has no smallest bin; ours have bins of
    at least 1e-3. So theirs are given the logarithms of our knots, softened back.
    """
    k, n = 6, 400
    raw = torch.randn(3 * k - 1, n, dtype=torch.float64)
    x = 6 * (torch.rand(n, dtype=torch.float64) - 0.5) * 2
    expected, expected_log = spline_with_tails(x, raw, bound=5.0, inverse=inverse)

    def sizes(part: Tensor) -> Tensor:
        return (MIN_SIZE + (1 - MIN_SIZE * k) * part.softmax(0)).log()

    slope = 1e-8  # softens little, so that it can be undone
    limit = -math.log(slope)

    def hardened(wanted: Tensor, factor: float) -> Tensor:
        """x with x / (1 + factor |x| / limit) = wanted."""
        return wanted / (1 - factor * wanted.abs() / limit)

    unit = math.log(math.expm1(1 - MIN_DERIVATIVE))
    derivatives = (MIN_DERIVATIVE + torch.nn.functional.softplus(raw[2 * k :] + unit)).log()
    theirs = zuko.transforms.MonotonicRQSTransform(
        hardened(sizes(raw[:k]), 2).T,
        hardened(sizes(raw[k : 2 * k]), 2).T,
        hardened(derivatives, 1).T,
        bound=5.0,
        slope=slope,
    )
    transform = theirs.inv if inverse else theirs
    y = transform(x)
    torch.testing.assert_close(y, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(transform.log_abs_det_jacobian(x, y), expected_log, rtol=1e-7, atol=1e-7)
