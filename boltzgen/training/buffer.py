"""Weighted samples of p^2 / q that stay usable while q is trained (FAB: Midgley et al. 2023,
arXiv:2208.01893, algorithm 1).
"""

import math

import torch
from torch import Tensor


class PrioritisedBuffer:
    """The last samples made towards g = p^2 / q, drawn in proportion to their weights.

    A sample's weight w was right for the flow q_old that it was last used with. Under another flow the target
    of the very same sample is p^2 / q_new, and its weight

        w_new = w q_old(y) / q_new(y).

    So samples are drawn with probability proportional to w, count q_old / q_new in an average over p^2 /
    q_new, and are put back with w_new and
    q_new: the buffer costs no energies, and what was drawn stays exactly weighted, however old.

    Attributes:
        y: flow coordinates, (n, n_dims), oldest first, n <= capacity.
        log_w: log-weights, float64 (n,).
        log_q: log-densities under the flow that the weights are for, float64 (n,).
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"expected a capacity of at least one sample, got {capacity}")
        self.capacity = capacity
        self.y, self.log_w, self.log_q = (
            torch.empty(0),
            torch.empty(0, dtype=torch.float64),
            torch.empty(0, dtype=torch.float64),
        )

    def __len__(self) -> int:
        return len(self.log_w)

    def add(self, y: Tensor, log_w: Tensor, log_q: Tensor) -> None:
        """Append samples y (n, n_dims) with their log-weights and log-densities (n,); the oldest give way.
        Those of weight zero count as samples.
        """
        new = (y.detach(), log_w.detach().double(), log_q.detach().double())
        if len(self):
            old = (self.y, self.log_w, self.log_q)
            new = tuple(torch.cat(pair) for pair in zip(old, new, strict=True))  # type: ignore[assignment]
        self.y, self.log_w, self.log_q = (t[-self.capacity :] for t in new)

    def draw(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Indices (n,) of samples drawn with replacement with probability proportional to w.

        Raises:
            ValueError: the buffer holds no sample of positive weight.
        """
        if not (self.log_w > -math.inf).any():
            raise ValueError(
                f"none of the buffer's {len(self)} samples has a positive weight; add samples of the "
                "target's domain first"
            )
        return torch.multinomial(torch.softmax(self.log_w, 0), n, replacement=True, generator=generator)

    def correct(self, index: Tensor, log_q: Tensor) -> Tensor:
        """What drawn samples count under the present flow, log(q_old / q_new), float64 (n,); their weights in
        the buffer become those for it.

        Args:
            index: of the samples, (n,); one drawn twice has the same log_q twice.
            log_q: their log-densities under the present flow, (n,).
        """
        log_q = log_q.detach().double()
        correction = self.log_q[index] - log_q
        self.log_w[index] = self.log_w[index] + correction
        self.log_q[index] = log_q
        return correction
