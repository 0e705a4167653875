"""Learned acceptance probabilities: modules that map z (..., n) to log a(z), shape (...) or (..., k)."""

import math
from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from boltzgen.flow.networks import MLP, periodic_features


class Acceptance(nn.Module):
    """log a(z) = log sigmoid(net(features of z)) of coordinates z (..., n).

    Args:
        n: number of coordinates.
        periodic: indices of those that are angles in radians. Of them the network sees cos(k z) and
            sin(k z), k = 1 ... `harmonics`, so that a is periodic. The others, of order one, it sees as
            they are and with cos(k z) and sin(k z), k = 1 ... `waves`: from z alone it learns sharp edges
            slowly.
        hidden: widths of the network's hidden layers.
        harmonics: number of harmonics of each periodic coordinate.
        waves: number of harmonics of each of the others.
        start: a before training. Near one, nothing is rejected until the network has learned something.
        n_out: k, for several acceptance probabilities of shape (..., k); None for one of shape (...).

    Raises:
        ValueError: `periodic` has other indices, or `start` is no probability between 0 and 1.
    """

    angles: Tensor
    others: Tensor

    def __init__(
        self,
        n: int,
        *,
        periodic: Collection[int] = (),
        hidden: Sequence[int] = (64, 64),
        harmonics: int = 2,
        waves: int = 4,
        start: float = 0.5,
        n_out: int | None = None,
    ) -> None:
        super().__init__()
        if not set(periodic) <= set(range(n)):
            raise ValueError(f"`periodic` must be indices of the {n} coordinates, got {sorted(periodic)}")
        if not 0 < start < 1:
            raise ValueError(
                f"the acceptance before training must be a probability between 0 and 1, got {start}"
            )
        self.several, self.harmonics, self.waves = n_out is not None, harmonics, waves
        others = [i for i in range(n) if i not in set(periodic)]
        self.register_buffer("angles", torch.tensor(sorted(periodic), dtype=torch.long), persistent=False)
        self.register_buffer("others", torch.tensor(others, dtype=torch.long), persistent=False)
        self.net = MLP(
            2 * harmonics * len(self.angles) + (1 + 2 * waves) * len(self.others), hidden, n_out or 1
        )
        nn.init.constant_(self.net.last.bias, math.log(start / (1 - start)))

    def forward(self, z: Tensor) -> Tensor:
        """Log a at z (..., n), shape (...), or (..., k) where there are k acceptance probabilities."""
        periodic, others = z[..., self.angles], z[..., self.others]
        features = [periodic_features(periodic, self.harmonics)] if self.angles.numel() else []
        if self.others.numel():
            features += [others, periodic_features(others, self.waves)] if self.waves else [others]
        log_a = functional.logsigmoid(self.net(torch.cat(features, dim=-1)))
        return log_a if self.several else log_a.squeeze(-1)
