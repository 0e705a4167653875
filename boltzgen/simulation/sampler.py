"""What every way to simulate has in common: a state that it advances, and the frames that it records."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

#: Told how many frames there are so far.
OnFrame = Callable[[int], None]


@dataclass
class State:
    """Where a simulation stands.

    Attributes:
        x: positions, (n_walkers, n_temperatures, n_atoms, 3) in nm.
        replica: which replica of its walker stands at each temperature, int64 (n_walkers, n_temperatures).
        end: the end of the ladder that each replica came from, int64 (n_walkers, n_temperatures): 0 none, 1
            lowest, 2 highest after lowest.
        step: time steps in ps, float64 (n_temperatures,).
        v: velocities like x in nm/ps, where the method carries them on.
    """

    x: Tensor
    replica: Tensor
    end: Tensor
    step: Tensor
    v: Tensor | None = None

    def tensors(self) -> dict[str, Tensor]:
        """The state's tensors by name, without those it does not have."""
        named = {"x": self.x, "replica": self.replica, "end": self.end, "step": self.step, "v": self.v}
        return {name: t for name, t in named.items() if t is not None}


@dataclass
class Frames:
    """What a simulation recorded, at every temperature.

    Attributes:
        x: positions, float32 (n_frames, n_walkers, n_temperatures, n_atoms, 3) in nm.
        potential: U, float64 (n_frames, n_walkers, n_temperatures) in kJ/mol.
        replica: as in `State`, (n_frames, n_walkers, n_temperatures).
        statistics: sums and means over the moves that led to these frames.
    """

    x: Tensor
    potential: Tensor
    replica: Tensor
    statistics: dict[str, Any] = field(default_factory=dict)


class Sampler(ABC):
    """A way to simulate independent walkers, each at one temperature or a ladder of them.

    Attributes:
        key: of the random streams, beside the seed and the index of the run: which group of walkers this is.
    """

    key: tuple[int, ...] = ()

    @abstractmethod
    def start(self, x: Tensor) -> State:
        """The state in which walker w stands at x[w], (n_walkers, n_atoms, 3) in nm, at every temperature."""

    def run(
        self,
        state: State,
        index: int,
        n_frames: int,
        interval: int,
        *,
        tune: bool = False,
        on_frame: OnFrame | None = None,
    ) -> Frames:
        """Advance `state`, in place, and return the frames recorded on the way.

        Args:
            state: where the simulation stands.
            index: number of this call, from which its random stream derives: the same state and index give
                the same frames.
            n_frames: frames to record.
            interval: moves (replica exchange) or time steps (dynamics) before each of them.
            tune: whether to adapt the time steps: not where frames are to be used.
            on_frame: called with the number of frames recorded so far, after each of them.

        Raises:
            FloatingPointError: the dynamics broke down.
        """
        report = on_frame or (lambda done: None)
        return self._run(state, index, n_frames, interval, tune=tune, on_frame=report)

    @abstractmethod
    def _run(
        self, state: State, index: int, n_frames: int, interval: int, *, tune: bool, on_frame: OnFrame
    ) -> Frames:
        """What `run` does."""
