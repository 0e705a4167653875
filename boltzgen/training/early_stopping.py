"""Training that ends where held-out data say so."""

import math
from collections.abc import Callable, Iterator

from torch import Tensor, nn


class EarlyStopping:
    """Steps of a training that end when the loss on held-out data has stopped falling.

        stopping = EarlyStopping(flow, lambda: -float(flow.log_prob(held_out).mean()))
        fit(objective, optimizer, schedule, stopping.steps(10_000))
        flow.load_state_dict(stopping.state)

    Args:
        module: what is trained.
        loss: measures the held-out loss of the module as it is; one that is not a number counts as infinite.
        every: steps between two measurements.
        patience: the training ends when so many measurements in a row are no better than the best.

    Attributes:
        state: of the module where the loss was lowest; its own at the beginning until measured.
        best_loss: the lowest loss.
        best_step: after how many steps it was.
        losses: all of them, in order.
    """

    def __init__(
        self, module: nn.Module, loss: Callable[[], float], *, every: int = 100, patience: int = 10
    ) -> None:
        if every < 1 or patience < 1:
            raise ValueError(f"expected `every` and `patience` of at least 1, got {every} and {patience}")
        self.module, self.loss, self.every, self.patience = module, loss, every, patience
        self.state: dict[str, Tensor] = _copy(module)
        self.best_loss, self.best_step = math.inf, 0
        self.losses: list[float] = []

    def steps(self, n: int) -> Iterator[int]:
        """0, 1, ... up to n - 1, or fewer; the loss is measured after every `every`-th step and the last."""
        since = 0
        for step in range(n):
            yield step
            if (step + 1) % self.every and step + 1 < n:
                continue
            since = 0 if self._measure(step + 1) else since + 1
            if since == self.patience:
                return

    def _measure(self, step: int) -> bool:
        """Whether the loss is the lowest so far, and then remember the module."""
        found = self.loss()
        self.losses.append(found)
        if not found < self.best_loss:
            return False
        self.best_loss, self.best_step, self.state = found, step, _copy(self.module)
        return True


def _copy(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}
