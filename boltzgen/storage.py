"""Files: written whole or not at all, read without running code; and what JSON can hold."""

import json
import math
import os
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from torch import Tensor


def tensors_under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those whose names begin with a prefix, by the rest of the name."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def read_tensors(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Metadata and tensors of a file that this package wrote.

    Raises:
        ValueError: it is anything else, or truncated.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = json.loads((file.metadata() or {})["boltzgen"])
            return metadata, {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, ValueError) as error:
        raise ValueError(
            f"{path} is not a whole boltzgen checkpoint ({type(error).__name__}: {error}); copy or train it "
            "again"
        ) from error


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it: a crash or a full disk leaves the old one whole.

    Raises:
        OSError: it could not be written.
    """
    temporary = path.with_name(path.name + ".partial")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OSError(
            error.errno, f"could not write {path}: {error.strerror}; free some space or choose another folder"
        ) from error


def finite_or_none(value: Any) -> Any:
    """The same nested lists and dictionaries, with None for every float that JSON cannot hold (inf, NaN)."""
    if isinstance(value, dict):
        return {key: finite_or_none(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite_or_none(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
