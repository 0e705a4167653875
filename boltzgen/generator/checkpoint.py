"""Checkpoint files of generators: safetensors with JSON metadata and a checksum."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from torch import Tensor

from boltzgen import units
from boltzgen.molecule.names import Name, reason
from boltzgen.storage import read_tensors

#: Name of the checkpoint in the folder of a run or a system.
CHECKPOINT = "checkpoint.safetensors"
FORMAT = 7
#: Options of `molecular_flow` of checkpoints of earlier formats.
_6: dict[str, Any] = {"covariance": "whole"}
_5 = _6 | {"stiff_width": 256}
_4 = _5 | {"broad_torsions": 0.0, "broad_stiff": 0.0}
_EARLIER = {3: _4 | {"masks": "three bits"}, 4: _4, 5: _5, 6: _6}

_Layers = Annotated[int, Field(ge=0)]
_Share = Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)]


class _Options(BaseModel):
    """What may be given to `molecular_flow`, any part of it."""

    model_config = ConfigDict(extra="forbid", strict=True)

    resampled: bool = True
    torsion_layers: _Layers = 0
    stiff_layers: _Layers = 0
    stiff_width: _Layers = 128
    masks: Literal["separating", "three bits"] = "separating"
    covariance: Literal["near", "whole"] = "near"
    broad_torsions: _Share | None = None
    broad_stiff: _Share = 0.0


class _Metadata(BaseModel):
    """What the metadata of a checkpoint must hold at least."""

    model_config = ConfigDict(strict=True)

    system: Name
    system_fingerprint: str
    temperature: Annotated[float, AfterValidator(units.kelvin)]
    seed: int
    options: _Options


def read_checkpoint(file: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Metadata and tensors of a checkpoint file, those of earlier formats as this one has them.

    Raises:
        ValueError: the file is broken, has another format, or holds numbers that are not finite.
    """
    metadata, tensors = read_tensors(file)
    found = metadata.get("format")
    if found in (*_EARLIER, FORMAT):
        try:
            _Metadata.model_validate(metadata)
        except ValidationError as error:
            raise ValueError(
                f"{file} is not a checkpoint: {reason(error)}; copy or train it again"
            ) from error
        if lost := [name for name, tensor in tensors.items() if not bool(tensor.isfinite().all())]:
            raise ValueError(
                f"{file} is not a checkpoint: {lost[0]} holds NaN or infinite numbers; copy or train it again"
            )
        return metadata | {"options": _EARLIER.get(found, {}) | metadata["options"]}, tensors
    raise ValueError(
        f"{file} has checkpoint format {found}, this version reads 3 to {FORMAT}; train again, or use "
        f"the version that wrote it, {metadata.get('boltzgen_version', 'which is unknown')}"
    )
