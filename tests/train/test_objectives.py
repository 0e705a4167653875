"""Objectives against exact values and gradients on densities that quadrature can handle."""

import math

import pytest
import torch
from torch import Tensor, nn

from boltzgen.distribution import Distribution
from boltzgen.flow.base import Product, StandardNormal
from boltzgen.flow.flow import Flow
from boltzgen.flow.resampled import ResampledTorus
from boltzgen.train.objectives import energies_and_data, forward_kl, log_dispersion, reverse_kl
from boltzgen.transform import Transform


class Bump(nn.Module):
    """log acceptance log sigmoid(a cos z + b sin z + c) on a circle."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor([1.2, -0.7, -0.4], dtype=torch.float64))

    def forward(self, z: Tensor) -> Tensor:
        a, b, c = self.theta
        return nn.functional.logsigmoid(a * torch.cos(z[..., 0]) + b * torch.sin(z[..., 0]) + c)


class Shear(Transform):
    """(t, r) -> (t, m cos t + s r): ties a Gaussian coordinate to a circle, with pathwise parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.m = nn.Parameter(torch.tensor(0.3, dtype=torch.float64))
        self.log_s = nn.Parameter(torch.tensor(0.2, dtype=torch.float64))

    def forward(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        t, r = z[..., 0], z[..., 1]
        return torch.stack((t, self.m * torch.cos(t) + self.log_s.exp() * r), -1), self.log_s.expand(t.shape)

    def inverse(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        t, r = x[..., 0], x[..., 1]
        return torch.stack((t, (r - self.m * torch.cos(t)) * torch.exp(-self.log_s)), -1), -self.log_s.expand(t.shape)


class ToyTarget:
    """u(t, r) = 1.5 cos(2 t - 0.5) + (r - sin t)^2; infinite where |r| > limit."""

    def __init__(self, limit: float = math.inf) -> None:
        self.limit = limit

    def __call__(self, y: Tensor) -> Tensor:
        t, r = y[..., 0], y[..., 1]
        u = 1.5 * torch.cos(2 * t - 0.5) + (r - torch.sin(t)).square()
        return torch.where(r.abs() < self.limit, u, math.inf)

    def value_and_gradient(self, y: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            leaf = y.detach().requires_grad_()
            u = self(leaf)
            (gradient,) = torch.autograd.grad(torch.where(u.isfinite(), u, 0.0).sum(), leaf)
        return u.detach(), gradient


def toy_flow() -> Flow:
    return Flow(Product([ResampledTorus(1, Bump(), truncation=4).double(), StandardNormal(1).double()]), Shear())


def plane(n_t: int = 200, n_r: int = 1500, reach: float = 14.0) -> tuple[Tensor, float]:
    t = (torch.arange(n_t, dtype=torch.float64) + 0.5) * 2 * math.pi / n_t - math.pi
    r = (torch.arange(n_r, dtype=torch.float64) + 0.5) * 2 * reach / n_r - reach
    return torch.cartesian_prod(t, r), 2 * math.pi / n_t * 2 * reach / n_r


def gradients(flow: Distribution) -> Tensor:
    return torch.cat([p.grad.flatten() for p in flow.parameters() if p.grad is not None])


def exact_gradient(flow: Distribution, target: ToyTarget) -> tuple[float, Tensor]:
    """KL(q || p) up to log Z, and its gradient, by quadrature."""
    grid, cell = plane()
    log_q = flow.log_prob(grid)
    loss = (log_q.exp() * (log_q + target(grid))).sum() * cell
    flow.zero_grad()
    loss.backward()
    return float(loss.detach()), gradients(flow)


def test_reverse_kl_matches_quadrature() -> None:
    """Acceptance (score term) and shear (pathwise) at once, within 1 % of the largest component, over 2e6 draws."""
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


def test_reverse_kl_leaves_out_infinite_energies() -> None:
    flow, target = toy_flow(), ToyTarget(limit=1.0)
    loss, log_w = reverse_kl(flow, target, 2000, generator=torch.Generator().manual_seed(2))
    loss.backward()
    assert torch.isfinite(loss)
    assert 0.1 < (log_w == -math.inf).double().mean() < 0.9
    assert torch.isfinite(gradients(flow)).all()
    with pytest.raises(FloatingPointError, match="non-finite"):
        reverse_kl(flow, ToyTarget(limit=0.0), 100)


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
    """From draws of q itself with weights p/q: the gradient of the cross entropy by quadrature, within 4.5 standard errors of 1 %."""
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


def test_log_dispersion() -> None:
    """Zero where q = p up to a constant; half the variance where small; width times the mean deviation where large."""
    generator = torch.Generator().manual_seed(5)
    u = torch.randn(10_000, generator=generator, dtype=torch.float64)
    assert float(log_dispersion(-u + 7.0, u)) < 1e-12
    noise = torch.randn(10_000, generator=generator, dtype=torch.float64)
    assert float(log_dispersion(-u + 1e-3 * noise, u)) == pytest.approx(0.5e-6 * float(noise.var()), rel=1e-3)
    assert float(log_dispersion(-u + 1e6 * noise, u, width=2.0)) == pytest.approx(2e6 * float((noise - noise.mean()).abs().mean()), rel=1e-3)


def test_energies_and_data_is_the_weighted_sum() -> None:
    """Value and gradient: forward KL of the draws, forward KL of the data, and the log-dispersion of both about one mean."""
    flow, target = toy_flow(), ToyTarget()
    with torch.no_grad():
        y = flow.draw((50,), generator=torch.Generator().manual_seed(6))[0]
    u, weights = target(y), torch.rand(50, generator=torch.Generator().manual_seed(7)).double()

    def gradient(loss: Tensor) -> Tensor:
        flow.zero_grad()
        loss.backward()
        return gradients(flow)

    def pieces() -> list[Tensor]:
        log_q = flow.log_prob(y)
        return [forward_kl(log_q[:30], weights[:30]), forward_kl(log_q[30:], weights[30:]), log_dispersion(log_q, u)]

    parts = [gradient(pieces()[k]) for k in range(3)]
    loss = energies_and_data(flow.log_prob(y), u, weights, 20, kl_weight=0.3, data_weight=0.7)
    assert float(loss.detach()) == pytest.approx(sum(c * float(p.detach()) for c, p in zip((0.3, 0.7, 1.0), pieces(), strict=True)))
    assert all(p.abs().max() > 0.01 for p in parts)
    assert torch.allclose(gradient(loss), 0.3 * parts[0] + 0.7 * parts[1] + parts[2], atol=1e-12)
