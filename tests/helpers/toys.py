"""Small flows and targets whose integrals, and the gradients of these, quadrature gives."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from boltzgen.flow.distribution import Distribution
from boltzgen.flow.elementary import Product, StandardNormal, UniformTorus
from boltzgen.flow.flow import Flow, HierarchicalFlow
from boltzgen.flow.resampled import Resampled
from boltzgen.flow.transform import Transform


class Bump(nn.Module):
    """log acceptance log sigmoid(a cos z + b sin z + c) on a circle."""

    def __init__(self) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor([1.2, -0.7, -0.4], dtype=torch.float64))

    def forward(self, z: Tensor) -> Tensor:
        a, b, c = self.theta
        return nn.functional.logsigmoid(a * torch.cos(z[..., 0]) + b * torch.sin(z[..., 0]) + c)


class LearnedNormal(Distribution):
    """N(mean, scale^2) on the line, a factor of the base with parameters and pathwise draws."""

    def __init__(self) -> None:
        super().__init__()
        self.event_shape, self.has_rsample = torch.Size((1,)), True
        self.mean = nn.Parameter(torch.tensor([-0.3], dtype=torch.float64))
        self.log_scale = nn.Parameter(torch.tensor([0.1], dtype=torch.float64))

    def log_prob(self, z: Tensor) -> Tensor:
        return torch.distributions.Normal(self.mean, self.log_scale.exp()).log_prob(z).sum(-1)

    def draw(
        self, shape: Sequence[int] = (), *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        z = self.mean + self.log_scale.exp() * torch.randn(
            (*shape, 1), generator=generator, dtype=torch.float64
        )
        log_prob = self.log_prob(z)
        return z, log_prob, torch.zeros_like(log_prob)


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
        return torch.stack((t, (r - self.m * torch.cos(t)) * torch.exp(-self.log_s)), -1), -self.log_s.expand(
            t.shape
        )


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
    return Flow(
        Product([Resampled(UniformTorus(1), Bump(), truncation=4).double(), StandardNormal(1).double()]),
        Shear(),
    )


def learned_flow() -> Flow:
    """All three kinds of parameters: of an accept/reject factor, of a pathwise factor and of the
    transform.
    """
    return Flow(
        Product([Resampled(UniformTorus(1), Bump(), truncation=4).double(), LearnedNormal()]), Shear()
    )


class Lean(Transform):
    """r -> m cos t + s r given a context t."""

    def __init__(self) -> None:
        super().__init__()
        self.m = nn.Parameter(torch.tensor(0.3, dtype=torch.float64))
        self.log_s = nn.Parameter(torch.tensor(0.2, dtype=torch.float64))

    def forward(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        assert context is not None
        return self.m * torch.cos(context) + self.log_s.exp() * z, self.log_s.expand(z.shape[:-1])

    def inverse(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        assert context is not None
        return (x - self.m * torch.cos(context)) * torch.exp(-self.log_s), -self.log_s.expand(x.shape[:-1])


def toy_hierarchy() -> HierarchicalFlow:
    """A circle and, given it, a coordinate on the line."""
    leading = Resampled(UniformTorus(1), Bump(), truncation=4).double()
    return HierarchicalFlow(leading, Flow(LearnedNormal(), Lean()), lambda t: t)  # type: ignore[arg-type]


def plane(n_t: int = 200, n_r: int = 1500, reach: float = 14.0) -> tuple[Tensor, float]:
    t = (torch.arange(n_t, dtype=torch.float64) + 0.5) * 2 * math.pi / n_t - math.pi
    r = (torch.arange(n_r, dtype=torch.float64) + 0.5) * 2 * reach / n_r - reach
    return torch.cartesian_prod(t, r), 2 * math.pi / n_t * 2 * reach / n_r


def gradients(flow: Distribution) -> Tensor:
    return torch.cat([p.grad.flatten() for p in flow.parameters() if p.grad is not None])


def by_quadrature(
    flow: Distribution, integral: Callable[[Tensor, Tensor, float], Tensor]
) -> tuple[float, Tensor]:
    """integral(grid, log q on it, cell), and its gradient."""
    grid, cell = plane()
    value = integral(grid, flow.log_prob(grid), cell)
    flow.zero_grad()
    value.backward()
    return float(value.detach()), gradients(flow)


def exact_gradient(flow: Distribution, target: ToyTarget) -> tuple[float, Tensor]:
    """KL(q || p) up to log Z, and its gradient, by quadrature."""
    return by_quadrature(flow, lambda grid, log_q, cell: (log_q.exp() * (log_q + target(grid))).sum() * cell)


def check_gradients(flow: Distribution, loss: Callable[[], Tensor], exact: Tensor, *, batches: int) -> None:
    """The mean gradient of batches agrees with the exact one within 4.5 standard errors, themselves a small
    part of the largest component.
    """
    found = []
    for _ in range(batches):
        flow.zero_grad()
        loss().backward()
        found.append(gradients(flow))
    error = torch.stack(found).std(0) / math.sqrt(batches)
    assert error.max() < 0.02 * exact.abs().max()
    assert ((torch.stack(found).mean(0) - exact).abs() / error).max() < 4.5


def target_draws(target: ToyTarget, n: int, generator: torch.Generator) -> Tensor:
    """Draws of the target, exact but for the grid's spacing."""
    grid, _ = plane()
    return grid[torch.multinomial(torch.softmax(-target(grid), 0), n, replacement=True, generator=generator)]
