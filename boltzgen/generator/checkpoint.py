"""Checkpoint files of generators: safetensors with JSON metadata."""

from pathlib import Path
from typing import Any

from torch import Tensor

from boltzgen.storage import read_tensors

#: Name of the checkpoint in the folder of a run or a system.
CHECKPOINT = "checkpoint.safetensors"
FORMAT = 5
#: Options of `molecular_flow` of checkpoints of earlier formats.
_EARLIER = {
    3: {"masks": "three bits", "broad_torsions": 0.0, "broad_stiff": 0.0},
    4: {"broad_torsions": 0.0, "broad_stiff": 0.0},
}


def read_checkpoint(file: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Metadata and tensors of a checkpoint file, those of earlier formats as this one has them.

    Raises:
        ValueError: the file is broken, or has another format.
    """
    metadata, tensors = read_tensors(file)
    found = metadata.get("format")
    if found in _EARLIER:
        return metadata | {"options": _EARLIER[found] | metadata["options"]}, tensors
    if found != FORMAT:
        raise ValueError(
            f"{file} has checkpoint format {found}, this version reads 3 to {FORMAT}; train again, or use "
            f"the version that wrote it, {metadata.get('boltzgen_version', 'which is unknown')}"
        )
    return metadata, tensors
