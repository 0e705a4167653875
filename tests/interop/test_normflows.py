"""normflows' flows, bases and targets as ours and ours as theirs; its splines against ours."""

import math

import pytest
import torch

from boltzgen.flow.coupling import real_nvp
from boltzgen.flow.elementary import StandardNormal
from boltzgen.flow.flow import Flow
from boltzgen.flow.spline import periodic_spline, spline_with_tails
from boltzgen.flow.toy import TwoMoons
from boltzgen.interop.normflows import (
    base_from_normflows,
    flow_from_normflows,
    flow_to_normflows,
    target_from_normflows,
)
from boltzgen.kernels.constants import MIN_DERIVATIVE
from boltzgen.training.losses import reverse_kl

nf = pytest.importorskip("normflows")


def their_flow(*, trainable: bool = False) -> torch.nn.Module:
    layers = []
    for _ in range(2):
        layers += [
            nf.flows.CoupledRationalQuadraticSpline(2, 1, 16, tail_bound=4.0),
            nf.flows.AffineCouplingBlock(nf.nets.MLP([1, 16, 2])),
            nf.flows.Permute(2, mode="swap"),
        ]
    model = nf.NormalizingFlow(nf.distributions.DiagGaussian(2, trainable=trainable), layers)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


def test_their_flows_are_ours() -> None:
    theirs = their_flow()
    ours = flow_from_normflows(theirs)
    assert {id(p) for p in ours.parameters()} == {id(p) for p in theirs.parameters()}
    x = torch.randn(3, 5, 2)
    torch.testing.assert_close(ours.log_prob(x).flatten(), theirs.log_prob(x.reshape(-1, 2)))
    drawn, log_q = ours.sample_and_log_prob((40,), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(log_q, theirs.log_prob(drawn), rtol=1e-4, atol=1e-4)
    assert torch.equal(drawn, ours.sample((40,), generator=torch.Generator().manual_seed(0)))


def test_log_determinants_are_summed_in_the_dtype_of_the_layers() -> None:
    """normflows sums float64 ones in float32: its own path from z to x is off by that, ours is not."""
    theirs = their_flow().double()
    ours = flow_from_normflows(theirs)
    z = torch.randn(200, 2, dtype=torch.float64)
    _, log_det = ours.transform(z)
    rows = torch.stack(
        [torch.autograd.functional.jacobian(lambda v: theirs.forward(v[None])[0], row) for row in z[:20]]
    )
    assert log_det.dtype == torch.float64
    torch.testing.assert_close(rows.slogdet()[1], log_det[:20], rtol=1e-10, atol=1e-10)
    assert theirs.forward_and_log_det(z)[1].dtype == torch.float32


def test_a_base_with_parameters_learns_by_the_score_function() -> None:
    base = base_from_normflows(nf.distributions.DiagGaussian(2))
    assert not base.has_rsample
    assert base_from_normflows(nf.distributions.DiagGaussian(2, trainable=False)).has_rsample
    _, log_prob, surrogate = base.draw((7,))
    assert not log_prob.requires_grad and surrogate.requires_grad
    # Cov(A, score) is the gradient of E[A]: of E[z_1] by the mean of z_1 it is one.
    torch.manual_seed(0)
    z, _, surrogate = base.draw((40_000,))
    value = z[:, 0]
    loss = ((value - value.mean()) * surrogate).mean()
    (gradient,) = torch.autograd.grad(loss, base.module.loc)  # type: ignore[union-attr]
    torch.testing.assert_close(gradient, torch.tensor([[1.0, 0.0]]), atol=0.03, rtol=0)


def test_our_flow_is_one_of_theirs() -> None:
    ours = Flow(StandardNormal(2), real_nvp(2))
    theirs = flow_to_normflows(ours, TwoMoons())
    assert isinstance(theirs, nf.NormalizingFlow)
    x, log_q = theirs.sample(30)
    torch.testing.assert_close(log_q, ours.log_prob(x), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(theirs.log_prob(x), ours.log_prob(x))
    optimizer = torch.optim.Adam(theirs.parameters(), lr=1e-2)
    found = []
    for _ in range(60):
        loss = theirs.reverse_kld(256)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        found.append(float(loss.detach()))
    assert sum(found[-10:]) / 10 < sum(found[:3]) / 3 - 1.0
    assert theirs.forward_kld(TwoMoons().sample(64)).isfinite()


def test_their_targets_are_ours() -> None:
    """Their two moons are ours but for log Z, which ours subtract."""
    target = target_from_normflows(nf.distributions.TwoMoons())
    y = 2 * torch.randn(50, 2)
    u, gradient = target.value_and_gradient(y)
    assert u.shape == (50,) and gradient.shape == (50, 2)
    moons = TwoMoons()
    expected, expected_gradient = moons.value_and_gradient(y)
    torch.testing.assert_close(u - u.mean(), expected - expected.mean(), rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-3, atol=1e-3)
    assert reverse_kl(Flow(StandardNormal(2), real_nvp(2)), target, 16)[0].isfinite()


@pytest.mark.parametrize("inverse", [False, True])
@pytest.mark.parametrize("tails", ["linear", "circular"])
def test_splines_are_theirs(tails: str, *, inverse: bool) -> None:
    """The same parameters, the same spline: our zero of a slope's parameter is where theirs has slope one."""
    k, n = 7, 500
    unit = math.log(math.expm1(1 - MIN_DERIVATIVE))
    circular = tails == "circular"
    raw = torch.randn(3 * k - (0 if circular else 1), n, dtype=torch.float64)
    bound = math.pi if circular else 5.0
    x = bound * (1.0 if circular else 1.3) * (2 * torch.rand(n, dtype=torch.float64) - 1)
    theirs, their_log = nf.utils.splines.unconstrained_rational_quadratic_spline(
        x, raw[:k].T, raw[k : 2 * k].T, raw[2 * k :].T + unit, inverse=inverse, tails=tails, tail_bound=bound
    )
    if circular:
        rotated = torch.cat((raw, torch.zeros_like(raw[:1])))
        ours, our_log = periodic_spline(x, rotated, inverse=inverse)
    else:
        ours, our_log = spline_with_tails(x, raw, bound=bound, inverse=inverse)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(our_log, their_log, rtol=1e-7, atol=1e-7)
