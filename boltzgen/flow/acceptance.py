"""Learned acceptance probabilities: modules that map z (..., n) to log a(z), shape (...), or (..., k) where
there are k of them.
"""

import math
from collections.abc import Collection, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from boltzgen.flow.networks import MLP, periodic_features


class Acceptance(nn.Module):
    """log a(z) = log sigmoid(net(features of z)) of coordinates z (..., n).

    Args:
        n: coordinates.
        circles: which of them are angles; the network sees their cos(k z) and sin(k z), k = 1 ...
            `harmonics`, so that a is periodic. The others, of order one, it sees as they are and with cos(k
            z) and sin(k z), k = 1 ... `waves`: from z alone it learns sharp edges slowly.
        hidden: widths of the network's hidden layers.
        start: a before training. Near one, nothing is rejected until the network has learned something.
        n_out: k, for several acceptance probabilities of shape (..., k); one, of shape (...), if it is not
            given.
    """

    angles: Tensor
    others: Tensor

    def __init__(
        self,
        n: int,
        *,
        circles: Collection[int] = (),
        hidden: Sequence[int] = (64, 64),
        harmonics: int = 2,
        waves: int = 4,
        start: float = 0.5,
        n_out: int | None = None,
    ) -> None:
        super().__init__()
        if not set(circles) <= set(range(n)):
            raise ValueError(f"circles must be indices of the {n} coordinates, got {sorted(circles)}")
        if not 0 < start < 1:
            raise ValueError(
                f"the acceptance before training must be a probability between 0 and 1, got {start}"
            )
        self.several, self.harmonics, self.waves = n_out is not None, harmonics, waves
        self.register_buffer("angles", torch.tensor(sorted(circles), dtype=torch.long), persistent=False)
        self.register_buffer(
            "others",
            torch.tensor([i for i in range(n) if i not in set(circles)], dtype=torch.long),
            persistent=False,
        )
        self.net = MLP(
            2 * harmonics * len(self.angles) + (1 + 2 * waves) * len(self.others), hidden, n_out or 1
        )
        nn.init.constant_(self.net.last.bias, math.log(start / (1 - start)))

    def forward(self, z: Tensor) -> Tensor:
        circles, others = z[..., self.angles], z[..., self.others]
        features = [periodic_features(circles, self.harmonics)] if self.angles.numel() else []
        if self.others.numel():
            features += [others, periodic_features(others, self.waves)] if self.waves else [others]
        log_a = functional.logsigmoid(self.net(torch.cat(features, dim=-1)))
        return log_a if self.several else log_a.squeeze(-1)
