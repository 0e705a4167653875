"""What a simulation writes: one file for each block of frames, with the state to go on from."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from boltzgen.storage import read_tensors, write_atomically

_NAME = "block_{:06d}.safetensors"


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
        named = {"x": self.x, "replica": self.replica, "end": self.end, "step": self.step, "v": self.v}
        return {name: t for name, t in named.items() if t is not None}


@dataclass
class Block:
    """Frames that a simulation recorded, at every temperature.

    Attributes:
        x: positions, float32 (n_frames, n_walkers, n_temperatures, n_atoms, 3) in nm.
        potential: U, float64 (n_frames, n_walkers, n_temperatures) in kJ/mol.
        replica: as in `State`, (n_frames, n_walkers, n_temperatures).
        statistics: figures of the block's moves.
    """

    x: Tensor
    potential: Tensor
    replica: Tensor
    statistics: dict[str, Any] = field(default_factory=dict)


def block_files(folder: Path) -> list[Path]:
    """The blocks of a simulation in order, those without a gap before them."""
    files: list[Path] = []
    while (path := folder / _NAME.format(len(files))).is_file():
        files.append(path)
    return files


def save_block(folder: Path, index: int, block: Block, state: State, metadata: dict[str, Any]) -> None:
    """Write a block with the state after it, at once or not at all."""
    tensors = {
        "frames.x": block.x,
        "frames.potential": block.potential,
        "frames.replica": block.replica.to(torch.int16),
    }
    tensors |= {f"state.{name}": tensor for name, tensor in state.tensors().items()}
    described = json.dumps(metadata | {"statistics": block.statistics})
    content = save(
        {k: v.detach().cpu().contiguous() for k, v in tensors.items()}, metadata={"boltzgen": described}
    )
    write_atomically(folder / _NAME.format(index), content)


def load_block(path: Path) -> tuple[Block, State, dict[str, Any]]:
    """A block, the state after it, and its metadata; raises ValueError if the file is broken."""
    metadata, tensors = read_tensors(path)
    try:
        frames = {k.removeprefix("frames."): v for k, v in tensors.items() if k.startswith("frames.")}
        state = {k.removeprefix("state."): v for k, v in tensors.items() if k.startswith("state.")}
        return Block(**frames, statistics=metadata["statistics"]), State(**state), metadata
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is not a block of a simulation ({error}); remove it, and go on with --resume"
        ) from error
