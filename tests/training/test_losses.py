"""Losses against exact values and gradients on densities that quadrature can handle."""

import copy
import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from boltzgen.training.losses import (
    MAX_WEIGHT,
    clipped_log_z,
    forward_kl,
    importance_kl,
    log_variance_loss,
    reverse_kl,
    reverse_kl_path,
    shortfall_loss,
)
from tests.helpers.toys import (
    ToyTarget,
    by_quadrature,
    check_gradients,
    exact_gradient,
    gradients,
    learned_flow,
    plane,
    target_draws,
    toy_flow,
)


def test_reverse_kl_matches_quadrature() -> None:
    """Acceptance (score term) and shear (pathwise) at once, within 1 % of the largest component, over 2e6
    draws.
    """
    flow, target = toy_flow(), ToyTarget()
    value, exact = exact_gradient(flow, target)
    assert exact.abs().min() > 0.01
    generator = torch.Generator().manual_seed(0)
    flow.zero_grad()
    total, repeats = 0.0, 20
    for _ in range(repeats):
        loss, _ = reverse_kl(flow, target, 100_000, generator=generator)
        (loss / repeats).backward()
        total += float(loss.detach()) / repeats
    assert total == pytest.approx(value, abs=5e-3)
    assert (gradients(flow) - exact).abs().max() < 0.01 * exact.abs().max()


def test_plain_autograd_gives_the_acceptance_nothing() -> None:
    """The trap that the score term avoids: without it the acceptance's gradient is exactly zero."""
    flow, target = toy_flow(), ToyTarget()
    y, log_q, _ = flow.draw((1000,))
    (log_q + target(y)).mean().backward()
    acceptance = flow.base.factors[0].acceptance.theta  # type: ignore[union-attr, union-attr]
    assert acceptance.grad is None
    assert flow.transform.m.grad.abs() > 0  # type: ignore[union-attr]


@pytest.mark.slow
def test_reverse_kl_unbiased_in_small_batches() -> None:
    """The batch mean as baseline must not bias the score term: batches of 4 against quadrature."""
    flow, target = toy_flow(), ToyTarget()
    _, exact = exact_gradient(flow, target)
    generator = torch.Generator().manual_seed(1)
    sums = []
    for _ in range(4000):
        flow.zero_grad()
        reverse_kl(flow, target, 4, generator=generator)[0].backward()
        sums.append(gradients(flow))
    found = torch.stack(sums)
    error = found.std(0) / math.sqrt(len(found))
    assert ((found.mean(0) - exact).abs() / error).max() < 4.5


@pytest.mark.parametrize("objective", [reverse_kl, reverse_kl_path])
def test_reverse_kl_leaves_out_infinite_energies(objective: Callable[..., tuple[Tensor, Tensor]]) -> None:
    flow, target = toy_flow(), ToyTarget(limit=1.0)
    loss, log_w = objective(flow, target, 2000, generator=torch.Generator().manual_seed(2))
    loss.backward()
    assert torch.isfinite(loss)
    assert 0.1 < (log_w == -math.inf).double().mean() < 0.9
    assert torch.isfinite(gradients(flow)).all()
    with pytest.raises(FloatingPointError, match="non-finite"):
        objective(flow, ToyTarget(limit=0.0), 100)


@pytest.mark.parametrize(("n", "batches"), [pytest.param(8, 1500, marks=pytest.mark.slow), (20_000, 60)])
def test_path_gradient_matches_quadrature(n: int, batches: int) -> None:
    """Every kind of parameter at once, unbiased in small batches too; value and weights are those of
    `reverse_kl`.
    """
    flow, target = learned_flow(), ToyTarget()
    _, exact = exact_gradient(flow, target)
    assert len(exact) == 7 and exact.abs().min() > 1e-3
    generator = torch.Generator().manual_seed(8)
    check_gradients(
        flow, lambda: reverse_kl_path(flow, target, n, generator=generator)[0], exact, batches=batches
    )
    loss, log_w = reverse_kl_path(flow, target, 100, generator=torch.Generator().manual_seed(9))
    plain, plain_log_w = reverse_kl(flow, target, 100, generator=torch.Generator().manual_seed(9))
    assert float(loss.detach()) == pytest.approx(float(plain.detach()), abs=1e-12)
    assert torch.equal(log_w, plain_log_w)


def test_path_gradient_vanishes_at_the_optimum() -> None:
    """Draw by draw, where q = p; what is left of `reverse_kl` there is noise."""
    flow = learned_flow()
    twin = copy.deepcopy(flow).requires_grad_(False)

    class Twin(ToyTarget):
        def __call__(self, y: Tensor) -> Tensor:
            return 3.0 - twin.log_prob(y)

    reverse_kl_path(flow, Twin(), 3, generator=torch.Generator().manual_seed(10))[0].backward()
    assert gradients(flow).abs().max() < 1e-13
    flow.zero_grad()
    reverse_kl(flow, Twin(), 3, generator=torch.Generator().manual_seed(10))[0].backward()
    assert gradients(flow).abs().max() > 1e-2


def test_cap_leaves_ordinary_energies_alone_and_bounds_clashes() -> None:
    class Clashing(ToyTarget):
        def __call__(self, y: Tensor) -> Tensor:
            return super().__call__(y) + 1e12 * torch.relu(y[..., 1] - 1.0)

    flow = toy_flow()
    plain, _ = reverse_kl(flow, ToyTarget(), 1000, generator=torch.Generator().manual_seed(3))
    capped, _ = reverse_kl(flow, ToyTarget(), 1000, cap=1e3, generator=torch.Generator().manual_seed(3))
    assert float(plain.detach()) == pytest.approx(float(capped.detach()), abs=1e-12)
    loss, _ = reverse_kl(flow, Clashing(), 1000, cap=10.0, generator=torch.Generator().manual_seed(3))
    assert loss < 100
    loss.backward()
    assert gradients(flow).abs().max() < 1e3


def test_forward_kl_and_its_weights() -> None:
    """From draws of q itself with weights p/q: the gradient of the cross entropy by quadrature, within 4.5
    standard errors of 1 %.
    """
    flow, target = toy_flow(), ToyTarget()
    grid, _ = plane()
    p = torch.softmax(-target(grid), 0)
    (-(p * flow.log_prob(grid)).sum()).backward()
    exact = gradients(flow)
    generator = torch.Generator().manual_seed(4)
    batches = []
    for _ in range(60):
        with torch.no_grad():
            y, log_q, _ = flow.draw((20_000,), generator=generator)
        flow.zero_grad()
        forward_kl(flow.log_prob(y), torch.exp(-target(y) - log_q)).backward()
        batches.append(gradients(flow))
    found = torch.stack(batches)
    error = found.std(0) / math.sqrt(len(found))
    assert error.max() < 0.02 * exact.abs().max()
    assert ((found.mean(0) - exact).abs() / error).max() < 4.5
    log_q = torch.tensor([-1.0, -3.0])
    assert float(forward_kl(log_q)) == 2.0
    assert float(forward_kl(log_q, torch.tensor([3.0, 1.0]))) == 1.5


def test_forward_kl_from_the_target_matches_quadrature() -> None:
    flow, target = toy_flow(), ToyTarget()
    p = torch.softmax(-target(plane()[0]), 0)
    _, exact = by_quadrature(
        flow, lambda grid, log_q, cell: (p * (p.clamp(min=1e-300).log() - math.log(cell) - log_q)).sum()
    )
    assert exact.abs().min() > 0.01
    generator = torch.Generator().manual_seed(11)
    check_gradients(
        flow, lambda: forward_kl(flow.log_prob(target_draws(target, 20_000, generator))), exact, batches=60
    )


def least_dispersed(d: Tensor, weight: Tensor) -> float:
    """Where the weighted mean of a / sqrt(1 + a^2), a = d - c, is zero: by bisection."""
    low, high = float(d.min()), float(d.max())
    for _ in range(100):
        c = (low + high) / 2
        a = d - c
        low, high = (c, high) if (weight * a / torch.sqrt(1 + a.square())).sum() > 0 else (low, c)
    return c


def test_log_variance_loss_matches_quadrature() -> None:
    """Of draws of the target: the mean of sqrt(1 + (d - c)^2) - 1 for the c where it is least."""
    flow, target = toy_flow(), ToyTarget()
    grid, _ = plane()
    u = target(grid)
    p = torch.softmax(-u, 0)
    centre = least_dispersed((flow.log_prob(grid) + u).detach(), p)
    _, exact = by_quadrature(
        flow, lambda _, log_q, cell: (p * (torch.sqrt(1 + (log_q + u - centre).square()) - 1)).sum()
    )
    assert exact.abs().min() > 1e-3
    generator = torch.Generator().manual_seed(12)

    def loss() -> Tensor:
        y = target_draws(target, 50_000, generator)
        return log_variance_loss(flow.log_prob(y), target(y))

    check_gradients(flow, loss, exact, batches=60)


def test_importance_kl_matches_quadrature() -> None:
    """Of draws of the flow: E_q[s grad log q], s = 1 - w but at least -20."""
    flow, target = toy_flow(), ToyTarget()
    log_z = torch.tensor(-4.0, dtype=torch.float64)
    grid, cell = plane()
    log_q = flow.log_prob(grid).detach()
    bound, of_q = 1 - torch.exp(-target(grid) - log_z - log_q), log_q.exp() * cell
    assert of_q.sum() == pytest.approx(1.0, abs=1e-6)
    assert min(of_q[bound < -20].sum(), of_q[bound > 0].sum()) > 1e-3
    _, exact = by_quadrature(flow, lambda _, log_q, cell: (of_q * bound.clamp(min=-20) * log_q).sum())
    assert exact.abs().min() > 1e-3
    generator = torch.Generator().manual_seed(16)

    def loss() -> Tensor:
        y = flow.sample((50_000,), generator=generator)
        return importance_kl(flow.log_prob(y), target(y), log_z)

    check_gradients(flow, loss, exact, batches=60)


def test_importance_kl_of_four_draws() -> None:
    """By hand: q = p; twice too much; a tenth of p; and far too little, whose gradient is bounded."""
    log_q = torch.tensor([-3.0, -1.0, -2.0, -900.0], dtype=torch.float64).requires_grad_()
    u = -log_q.detach() + torch.tensor([0.0, math.log(2), -math.log(10), -886.0], dtype=torch.float64) - 7.0
    each = [
        float(importance_kl(log_q[k : k + 1], u[k : k + 1], torch.tensor(7.0)).detach()) for k in range(4)
    ]
    bounded = 20 - math.log(21) + 20 * (886 - math.log(21))
    assert each == pytest.approx([0.0, -0.5 + math.log(2), 9 - math.log(10), bounded])
    total = importance_kl(log_q, u, torch.tensor(7.0))
    assert float(total.detach()) == pytest.approx(sum(each) / 4)
    (gradient,) = torch.autograd.grad(total, log_q)
    assert (4 * gradient).tolist() == pytest.approx([0.0, 0.5, -9.0, -20.0])


def test_clipped_log_z() -> None:
    """The log of the mean weight where none is large; else the one with which the clipped weights have mean
    one.
    """
    generator = torch.Generator().manual_seed(3)
    normal = torch.randn(1000, generator=generator, dtype=torch.float64)
    assert float(clipped_log_z(normal)) == pytest.approx(float(normal.exp().mean().log()))
    for scale in (3.0, 10.0, 1000.0):
        log_w = scale * normal
        log_w[:5] = -torch.inf
        assert float(torch.exp(log_w - clipped_log_z(log_w)).clamp(max=20).mean()) == pytest.approx(1.0)
        assert (log_w - clipped_log_z(log_w)).max() > math.log(20)
    with pytest.raises(FloatingPointError, match="all of 3 draws"):
        clipped_log_z(torch.full((3,), -torch.inf))
    assert float(clipped_log_z(torch.tensor([5.0, 1.0]))) == pytest.approx(
        math.log((math.exp(5) + math.exp(1)) / 2)
    )


def test_log_variance_loss() -> None:
    """Zero where q = p up to a constant; half the variance where small; the mean deviation from the median
    where large.
    """
    generator = torch.Generator().manual_seed(5)
    u = torch.randn(10_000, generator=generator, dtype=torch.float64)
    assert float(log_variance_loss(-u + 7.0, u)) < 1e-12
    noise = torch.randn(10_000, generator=generator, dtype=torch.float64)
    assert float(log_variance_loss(-u + 1e-3 * noise, u)) == pytest.approx(
        0.5e-6 * float(noise.var()), rel=1e-3
    )
    assert float(log_variance_loss(-u + 1e6 * noise, u)) == pytest.approx(
        1e6 * float((noise - noise.median()).abs().mean()), rel=1e-3
    )


def test_log_variance_loss_of_five_samples() -> None:
    """By hand, about its own centre and another."""
    d = torch.tensor([-6.0, -1.0, 0.0, 2.0, 9.0], dtype=torch.float64)
    for given, centre in ((None, least_dispersed(d, torch.ones_like(d))), (torch.tensor(1.5), 1.5)):
        expected = sum(math.sqrt(1 + (value - centre) ** 2) - 1 for value in d.tolist()) / 5
        assert float(log_variance_loss(d, torch.zeros_like(d), given)) == pytest.approx(expected, rel=1e-6)


def test_a_clash_leaves_the_other_samples_of_log_variance_loss_alone() -> None:
    """About the mean of d, one sample far off would put all others on one side of it."""
    generator = torch.Generator().manual_seed(17)
    log_q = torch.randn(1000, generator=generator, dtype=torch.float64).requires_grad_()
    u = torch.randn(1000, generator=generator, dtype=torch.float64)
    clash = u.clone()
    clash[0] += 1e9
    (calm,) = torch.autograd.grad(log_variance_loss(log_q, u), log_q)
    (disturbed,) = torch.autograd.grad(log_variance_loss(log_q, clash), log_q)
    assert (disturbed - calm)[1:].abs().max() < 0.01 * calm.abs().max()


def test_shortfall_loss_pulls_only_where_q_is_thin() -> None:
    """No gradient where p/q is below 20, at most one anywhere, and the pseudo-Huber loss's between."""
    edge = math.log(MAX_WEIGHT)
    log_ratio = torch.tensor([5.0, 0.0, -edge, -edge - 1, -1e6]).double().requires_grad_()
    loss = shortfall_loss(log_ratio)
    (gradient,) = torch.autograd.grad(loss, log_ratio)
    assert (5 * gradient).tolist() == pytest.approx([0.0, 0.0, 0.0, -1 / math.sqrt(2), -1.0], abs=1e-6)
    assert float(loss.detach()) == pytest.approx((math.sqrt(2) - 1 + 1e6 - edge - 1) / 5, abs=0.1)
