"""Conditioner networks and the features they see of angles."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class MLP(nn.Module):
    """A SiLU network, (..., n_in) -> (..., n_out), in two parts: the hidden layers `trunk` and the linear layer `last`.

    The last layer starts with zero bias and weights scaled by `last_scale`, so that what it conditions starts at its default.
    """

    def __init__(self, n_in: int, hidden: Sequence[int], n_out: int, *, last_scale: float = 0.01) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for width in hidden:
            layers += [nn.Linear(n_in, width), nn.SiLU()]
            n_in = width
        self.trunk = nn.Sequential(*layers)
        self.last = nn.Linear(n_in, n_out)
        with torch.no_grad():
            self.last.weight.mul_(last_scale)
            self.last.bias.zero_()

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.trunk(x))  # type: ignore[no-any-return]


def circular_features(angle: Tensor, harmonics: int = 2) -> Tensor:
    """cos(k a), sin(k a) for k = 1 ... harmonics of angles (..., n): shape (..., 2 n harmonics)."""
    multiples = torch.cat([k * angle for k in range(1, harmonics + 1)], dim=-1)
    return torch.cat((torch.cos(multiples), torch.sin(multiples)), dim=-1)
