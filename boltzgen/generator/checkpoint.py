"""Checkpoint files of generators: safetensors with JSON metadata."""

from pathlib import Path
from typing import Any

from torch import Tensor

from boltzgen.storage import read_tensors

#: Name of the checkpoint in the folder of a run or a system.
CHECKPOINT = "checkpoint.safetensors"
FORMAT = 4


def read_checkpoint(file: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Metadata and tensors of a checkpoint file, those of format 3 as format 4 has them.

    Raises:
        ValueError: the file is broken, or has another format.
    """
    metadata, tensors = read_tensors(file)
    found = metadata.get("format")
    if found == 3:
        # Its couplings were chosen by three bits of the index.
        return metadata | {"options": metadata["options"] | {"masks": "three bits"}}, tensors
    if found != FORMAT:
        raise ValueError(
            f"{file} has checkpoint format {found}, this version reads 3 and {FORMAT}; train again, or use "
            f"the version that wrote it, {metadata.get('boltzgen_version', 'which is unknown')}"
        )
    return metadata, tensors
