"""The loss of a flow in two levels, against exact gradients and where energies are out of bounds."""

import copy
import math

import pytest
import torch
from torch import Tensor

from boltzgen.training.losses import (
    hierarchical_kl,
    importance_kl,
    log_variance_loss,
)
from tests.helpers.toys import (
    Lean,
    ToyTarget,
    check_gradients,
    gradients,
    toy_hierarchy,
)


def test_hierarchical_kl_matches_quadrature() -> None:
    """The rest's gradient, on leading coordinates from a distribution that is neither the flow's nor the
    target's.
    """
    flow, target = toy_hierarchy(), ToyTarget()
    leading = torch.linspace(-3.0, 2.0, 40, dtype=torch.float64).unsqueeze(-1)
    r = (torch.arange(4000, dtype=torch.float64) + 0.5) * 20 / 4000 - 10
    grid = torch.cartesian_prod(leading[:, 0], r)
    log_q = flow.conditional.log_prob(grid[:, 1:], grid[:, :1])
    value = (log_q.exp() * (log_q + target(grid))).sum() * 20 / 4000 / 40
    exact = torch.cat([g.flatten() for g in torch.autograd.grad(value, list(flow.conditional.parameters()))])
    assert exact.abs().min() > 1e-3
    generator = torch.Generator().manual_seed(11)
    many = leading.repeat(20, 1)
    check_gradients(
        flow.conditional,
        lambda: hierarchical_kl(flow, target, many, longest=math.inf, generator=generator)[0],
        exact,
        batches=200,
    )
    loss, log_leading, rest, y = hierarchical_kl(flow, target, leading.repeat(500, 1), generator=generator)
    n = flow.n_leading
    assert torch.equal(y[:, :n], leading.repeat(500, 1)) and not y.requires_grad
    torch.testing.assert_close(
        rest, (flow.conditional.log_prob(y[:, n:], flow.features(y[:, :n])) + target(y)).detach()
    )
    assert (
        float(loss.detach())
        == pytest.approx(float(rest.mean()))
        == pytest.approx(float(value.detach()), abs=0.03)
    )
    assert torch.equal(log_leading, flow.leading.log_prob(leading.repeat(500, 1)))
    assert not rest.requires_grad


def test_hierarchical_kl_vanishes_at_the_optimum() -> None:
    """Draw by draw, for the leading coordinates too, wherever these come from."""
    flow = toy_hierarchy()
    twin = copy.deepcopy(flow).requires_grad_(False)

    class Twin(ToyTarget):
        def __call__(self, y: Tensor) -> Tensor:
            return 3.0 - twin.log_prob(y)

    loss, log_leading, rest, _ = hierarchical_kl(
        flow, Twin(), torch.tensor([[-2.0], [0.1], [0.2]], dtype=torch.float64)
    )
    learned = log_variance_loss(log_leading, rest) + importance_kl(log_leading, rest, torch.tensor(-3.0))
    (loss + learned).backward()
    found = gradients(flow)
    assert len(found) == sum(p.numel() for p in flow.parameters())
    assert found.abs().max() < 1e-13


def test_hierarchical_kl_where_every_draw_clashes() -> None:
    """The median is then no measure of a gradient: each is as long as so many times the root of the number of
    its components, here one.
    """

    class Steep(ToyTarget):
        def __call__(self, y: Tensor) -> Tensor:
            return 1e9 * y[..., 1]

    flow, leading = toy_hierarchy(), torch.zeros(100, 1, dtype=torch.float64)
    hierarchical_kl(flow, Steep(), leading, longest=3.0)[0].backward()
    transform = flow.conditional.transform
    assert isinstance(transform, Lean)
    assert transform.m.grad is not None
    assert float(transform.m.grad) == pytest.approx(3.0)


def test_hierarchical_kl_bounds_clashes_and_leaves_out_infinite_energies() -> None:
    class Clashing(ToyTarget):
        def __call__(self, y: Tensor) -> Tensor:
            return super().__call__(y) + 1e9 * torch.relu(y[..., 1] - 1.5)

    flow, leading = toy_hierarchy(), torch.zeros(3000, 1, dtype=torch.float64)
    plain = hierarchical_kl(flow, ToyTarget(), leading, generator=torch.Generator().manual_seed(12))
    clashing = hierarchical_kl(flow, Clashing(), leading, generator=torch.Generator().manual_seed(12))
    assert 0 < (clashing[2] > 1e3).double().mean() < 0.4
    clashing[0].backward()
    assert gradients(flow.conditional).abs().max() < 10 * len(leading)
    walled = hierarchical_kl(flow, ToyTarget(limit=1.0), leading, generator=torch.Generator().manual_seed(12))
    inside = walled[2].isfinite()
    assert 0.1 < inside.double().mean() < 0.9
    assert torch.equal(walled[2][inside], plain[2][inside])
    assert float(walled[0].detach()) == pytest.approx(float(walled[2][inside].mean()))
    with pytest.raises(FloatingPointError, match="non-finite"):
        hierarchical_kl(flow, ToyTarget(limit=0.0), leading)
