"""Walkers shared out in groups, each of which is advanced wherever there is room."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from boltzgen.molecule.system import System
from boltzgen.simulation.plan import Plan
from boltzgen.simulation.sampler import Frames, OnFrame, Sampler, State

#: Walkers of a group: their replicas are one batch of energies. The same whoever works, so that the
#: simulation is.
WALKERS = 16

#: Applies a function to each of some arguments, anywhere, and returns the results in their order.
Share = Callable[[Callable[[Any], Any], Sequence[Any]], list[Any]]

#: One group at a time in a process, whatever number of threads its worker has.
_alone = threading.Lock()


@dataclass(frozen=True)
class Recipe:
    """What a worker must know of a simulation.

    Attributes:
        source: of the system: a name, or the absolute path of a folder that every worker sees.
        fingerprint: of the system, so that no worker simulates another one.
        plan: how the simulation is set up.
        device: where a worker computes.
    """

    source: str
    fingerprint: str
    plan: Plan
    device: str = "cpu"


@dataclass(frozen=True)
class Part:
    """Frames that are wanted of one group; all but the group and its state as in `Sampler.run`."""

    recipe: Recipe
    group: int
    state: dict[str, np.ndarray]
    index: int
    n_frames: int
    interval: int
    tune: bool


@dataclass(frozen=True)
class Advanced:
    """A group's frames and the state after them."""

    frames: dict[str, np.ndarray]
    statistics: dict[str, Any]
    state: dict[str, np.ndarray]


def advance(part: Part) -> Advanced:
    """Advance a group of walkers: a function of its argument, wherever it is called.

    Raises:
        ValueError: the system found here is another one.
        FloatingPointError: the dynamics broke down.
    """
    with _alone:
        sampler = _sampler(part.recipe)
        sampler.key = (part.group,)
        # Arrays that were sent may be read-only, and the state is advanced in place.
        state = State(**{name: torch.from_numpy(value.copy()) for name, value in part.state.items()})
        state.x = state.x.to(part.recipe.device)
        frames = sampler.run(state, part.index, part.n_frames, part.interval, tune=part.tune)
    recorded = {"x": frames.x, "potential": frames.potential, "replica": frames.replica}
    return Advanced(_arrays(recorded), frames.statistics, _arrays(state.tensors()))


class Grouped(Sampler):
    """A sampler whose walkers are advanced in groups.

    Each group has random numbers of its own. Time steps are tuned by each group, and averaged after each call
    of `run`. The frames do not depend on who advances which group.

    Args:
        sampler: of all walkers, which starts them.
        recipe: that gives the same sampler to workers.
        share: calls `advance`.
    """

    def __init__(self, sampler: Sampler, recipe: Recipe, share: Share) -> None:
        self._sampler, self._recipe, self._share = sampler, recipe, share

    @override
    def start(self, x: Tensor) -> State:
        return self._sampler.start(x)

    @override
    def _run(
        self, state: State, index: int, n_frames: int, interval: int, *, tune: bool, on_frame: OnFrame
    ) -> Frames:
        starts = range(0, len(state.x), WALKERS)
        parts = [
            Part(self._recipe, k, _of_group(state, start), index, n_frames, interval, tune)
            for k, start in enumerate(starts)
        ]
        done = self._share(advance, parts)
        on_frame(n_frames)
        for name in ("x", "replica", "end") + (("v",) if state.v is not None else ()):
            whole = torch.cat([torch.from_numpy(one.state[name].copy()) for one in done])
            setattr(state, name, whole.to(state.x.device))
        steps = np.stack([one.state["step"] for one in done])
        state.step = torch.from_numpy(np.exp(np.log(steps).mean(axis=0)))
        frames = {
            name: torch.from_numpy(np.concatenate([one.frames[name] for one in done], axis=1))
            for name in ("x", "potential", "replica")
        }
        sizes = [len(part.state["x"]) for part in parts]
        return Frames(**frames, statistics=_together([one.statistics for one in done], sizes))


@lru_cache(maxsize=2)
def _sampler(recipe: Recipe) -> Sampler:
    """The sampler of a simulation, once in each process."""
    system = System.load(recipe.source)
    if system.fingerprint != recipe.fingerprint:
        raise ValueError(
            f"{recipe.source} is another system on this worker than where the work was ordered; give all "
            "machines the same files"
        )
    return recipe.plan.sampler(system, recipe.device)


def _of_group(state: State, start: int) -> dict[str, np.ndarray]:
    """The part of a state that is its group's; time steps are common to all."""
    whole = _arrays(state.tensors())
    return {k: v if k == "step" else v[start : start + WALKERS] for k, v in whole.items()}


def _arrays(tensors: dict[str, Tensor]) -> dict[str, np.ndarray]:
    return {name: tensor.numpy(force=True) for name, tensor in tensors.items()}


def _together(statistics: Sequence[dict[str, Any]], sizes: Sequence[int]) -> dict[str, Any]:
    """Statistics of all groups: counts are summed up, rates and lengths are means over walkers."""
    found: dict[str, Any] = {}
    for name, first in statistics[0].items():
        values = [one[name] for one in statistics]
        if isinstance(first, int):
            found[name] = sum(values)
        else:
            found[name] = np.average(np.asarray(values, float), axis=0, weights=sizes).tolist()
    return found
