"""What a flow is trained by."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

from torch import Tensor

Metrics = dict[str, float]


class Objective(ABC):
    """Makes one loss after another, for `fit`."""

    @abstractmethod
    def step(self) -> tuple[Tensor, Metrics]:
        """The loss of the next training step, to be differentiated in the flow's parameters, and metrics.

        Where several ranks train together, the value is that of all and the gradient this rank's part.
        """

    def replays(self) -> Iterator[Tensor]:
        """Losses of what the last steps have computed, each for an update of its own after the step's.

        None by default. Of several ranks, all have losses of the same parameters.
        """
        return iter(())

    def state_dict(self) -> dict[str, Tensor]:
        """Tensors that `load_state_dict` needs to go on from here."""
        return {}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:  # noqa: B027 - there may be no state
        """Go on from where a state was taken."""


class FunctionObjective(Objective):
    """A loss that needs no state: a function of the number of steps taken so far.

    Args:
        loss: called with 0, 1, 2, ...; returns a scalar tensor with a graph.
    """

    def __init__(self, loss: Callable[[int], Tensor]) -> None:
        self.loss, self.n_steps = loss, 0

    def step(self) -> tuple[Tensor, Metrics]:
        """`loss` of the number of steps so far."""
        loss = self.loss(self.n_steps)
        self.n_steps += 1
        return loss, {}
