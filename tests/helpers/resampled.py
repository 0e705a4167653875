"""Small proposals and acceptances of resampled bases."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from boltzgen.flow.acceptance import Acceptance
from boltzgen.flow.distribution import Distribution
from boltzgen.flow.gaussian import normal_nodes
from boltzgen.flow.nodes import Nodes


class Bell(nn.Module):
    """log a = -k |z|^2 / 2: E[a] over independent N(m, s^2) is known."""

    def __init__(self, k: float = 0.8) -> None:
        super().__init__()
        self.k = nn.Parameter(torch.tensor(k, dtype=torch.float64))

    def forward(self, z: Tensor) -> Tensor:
        return -0.5 * self.k * z.square().sum(-1)

    def exact(self, loc: Tensor, scale: Tensor) -> Tensor:
        widened = 1 + self.k * scale**2
        return (-0.5 * widened.log() - 0.5 * self.k * loc**2 / widened).sum()


class DiagonalNormal(Distribution):
    """Independent normals of mean `loc` and standard deviation exp(`log_scale`), both learned."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.event_shape, self.has_rsample = torch.Size((n,)), True
        self.loc, self.log_scale = nn.Parameter(torch.zeros(n)), nn.Parameter(torch.zeros(n))

    def log_prob(self, z: Tensor) -> Tensor:
        normal = torch.distributions.Normal(self.loc, self.log_scale.exp())
        return normal.log_prob(z).sum(-1)

    def draw(
        self, shape: Sequence[int] = (), *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        noise = torch.randn(*shape, *self.event_shape, generator=generator, dtype=self.loc.dtype)
        z = self.loc + self.log_scale.exp() * noise
        return z, self.log_prob(z), torch.zeros(shape, dtype=z.dtype)

    def quadrature(self, points: int, shift: Tensor) -> Nodes:
        z, log_w = normal_nodes(points, shift, like=self.loc)
        return self.loc + self.log_scale.exp() * z, log_w

    def from_uniform(self, u: Tensor) -> Tensor:
        return self.loc + self.log_scale.exp() * torch.special.ndtri(u)


def moved_normal(n: int) -> DiagonalNormal:
    normal = DiagonalNormal(n).double()
    with torch.no_grad():
        normal.loc.copy_(torch.linspace(-0.5, 0.7, n, dtype=torch.float64))
        normal.log_scale.copy_(torch.linspace(0.2, -0.3, n, dtype=torch.float64))
    return normal


def small_acceptance(n: int) -> Acceptance:
    torch.manual_seed(5)
    acceptance = Acceptance(n, hidden=(3,), waves=0).double()
    with torch.no_grad():
        for p in acceptance.parameters():
            p.copy_(torch.randn_like(p))
    return acceptance
