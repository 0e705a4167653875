"""A simulation's checkpoints: files of recorded frames, each with the state to go on from."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import torch
from safetensors.torch import save

from boltzgen.molecule.system import System
from boltzgen.simulation.sampler import Frames, State
from boltzgen.storage import read_tensors, write_atomically

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
        try:
            frames = {k.removeprefix("frames."): v for k, v in tensors.items() if k.startswith("frames.")}
            state = {k.removeprefix("state."): v for k, v in tensors.items() if k.startswith("state.")}
            return cls(
                Frames(**frames, statistics=metadata["statistics"]),
                State(**state),
                **{key: metadata[key] for key in ("system", "fingerprint", "burn_in", "plan")},
            )
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"{path} is not a checkpoint of a simulation ({error}); remove it, and go on with "
                "`resume=True`"
            ) from error

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
        content = save(
            {k: v.detach().cpu().contiguous() for k, v in tensors.items()},
            metadata={"boltzgen": json.dumps(metadata)},
        )
        write_atomically(folder / _NAME.format(index), content)

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
