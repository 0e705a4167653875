"""A simulation's checkpoints: files of recorded frames, each with the state to go on from."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch

from boltzgen.molecule.system import System
from boltzgen.simulation.sampler import Frames, State
from boltzgen.storage import read_tensors, reading, tensors_under, write_tensors

_NAME = "checkpoint_{:06d}.safetensors"
#: What only the first checkpoint's plan holds.
ONCE = ("starts", "preparation")


@dataclass
class Checkpoint:
    """Frames that a simulation recorded since its last checkpoint, and where it stood after them.

    Attributes:
        frames: what was recorded.
        state: the state after the last frame.
        system, fingerprint: name and fingerprint of the system that is simulated.
        burn_in: whether the frames belong to the burn-in, and so to no ensemble.
        plan: how the simulation is set up, with its `temperatures`; the first checkpoint's also holds the
            `starts` of the walkers, and the seconds and energies of their `preparation`.
    """

    frames: Frames
    state: State
    system: str
    fingerprint: str
    burn_in: bool
    plan: dict[str, Any]

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a checkpoint.

        Raises:
            ValueError: the file is broken, or something else.
        """
        metadata, tensors = read_tensors(path)
        advice = "remove it, and go on with `resume=True`"
        with reading(f"{path} is not a checkpoint of a simulation", advice):
            checkpoint = cls(
                Frames(**tensors_under(tensors, "frames."), statistics=metadata["statistics"]),
                State(**tensors_under(tensors, "state.")),
                **{key: metadata[key] for key in ("system", "fingerprint", "burn_in", "plan")},
            )
            checkpoint._check()
        return checkpoint

    def _check(self) -> None:
        """Raise ValueError unless frames and state are of one number of walkers, temperatures and atoms."""
        frames, state = self.frames, self.state
        n_walkers, n_temperatures, n_atoms, _ = shape = tuple(state.x.shape)
        each = (n_walkers, n_temperatures)
        expected = {
            "frames.x": (frames.x, (len(frames.x), *shape)),
            "frames.potential": (frames.potential, (len(frames.x), *each)),
            "frames.replica": (frames.replica, (len(frames.x), *each)),
            "state.x": (state.x, (*each, n_atoms, 3)),
            "state.replica": (state.replica, each),
            "state.end": (state.end, each),
            "state.step": (state.step, (n_temperatures,)),
            "state.v": (state.x if state.v is None else state.v, shape),
        }
        for name, (tensor, wanted) in expected.items():
            if tuple(tensor.shape) != wanted:
                raise ValueError(f"expected {name} of shape {wanted}, got {tuple(tensor.shape)}")
            if not bool(tensor.isfinite().all()):
                raise ValueError(f"{name} holds NaN or infinite numbers")
        if not (isinstance(self.plan, dict) and isinstance(self.frames.statistics, dict)):
            raise TypeError("expected a plan and statistics by name")

    def save(self, folder: Path, index: int) -> None:
        """Write the checkpoint of that index, whole or not at all."""
        tensors = {
            "frames.x": self.frames.x,
            "frames.potential": self.frames.potential,
            "frames.replica": self.frames.replica.to(torch.int16),
        }
        tensors |= {f"state.{name}": tensor for name, tensor in self.state.tensors().items()}
        metadata = {
            "system": self.system,
            "fingerprint": self.fingerprint,
            "burn_in": self.burn_in,
            "plan": self.plan,
            "statistics": self.frames.statistics,
        }
        write_tensors(folder / _NAME.format(index), metadata, tensors)

    def check_system(self, system: System, folder: Path) -> None:
        """Raise ValueError unless the simulation in `folder` is of this system."""
        if self.fingerprint != system.fingerprint:
            raise ValueError(
                f"the simulation in {folder} is of another system than {system.name!r}, or of other "
                f"parameters: {self.system!r}"
            )


def checkpoint_files(folder: Path) -> list[Path]:
    """The checkpoints of a simulation in order, those without a gap before them."""
    files: list[Path] = []
    while (path := folder / _NAME.format(len(files))).is_file():
        files.append(path)
    return files
