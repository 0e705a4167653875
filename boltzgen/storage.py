"""Files: written whole or not at all, read without running code; and what JSON can hold."""

import json
import math
import os
import re
import shutil
import sys
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

#: What is wrong with the contents of a file shows as one of these when it is read.
_DAMAGE = (
    SafetensorError,
    OSError,
    KeyError,
    TypeError,
    ValueError,
    IndexError,
    AttributeError,
    OverflowError,
    RuntimeError,  # RecursionError, and torch's
)
#: Temporary files and folders, `partial_path`: the number is the process that writes them.
_PARTIAL = re.compile(r"\.(?P<name>.+)\.(?P<process>\d+)\.part")


def tensors_under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those whose names begin with a prefix, by the rest of the name."""
    return {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}


def write_tensors(path: Path, metadata: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    """Write metadata and tensors with a checksum of both, for `read_tensors`.

    The file is in the safetensors format. Its metadata are two texts: `boltzgen`, which is JSON, and `crc32`.

    Raises:
        OSError: the file cannot be written.
    """
    text = json.dumps(metadata)
    # Copies, since the format refuses tensors that share memory.
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    write_atomically(path, save(plain, metadata={"boltzgen": text, "crc32": _checksum(text, plain)}))


def read_tensors(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Metadata and tensors of a file that this package wrote.

    They are compared with the file's checksum. Files of earlier versions have none.

    Raises:
        ValueError: it is anything else, or truncated, or damaged.
    """
    with reading(f"{path} is not a whole boltzgen checkpoint", "copy or train it again"):
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            metadata = json.loads(header["boltzgen"])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        if not isinstance(metadata, dict):
            raise ValueError(f"expected a JSON object of metadata, got {type(metadata).__name__}")
        if "crc32" in header and header["crc32"] != _checksum(header["boltzgen"], tensors):
            raise ValueError("the checksum of its contents is another one: some bytes have changed")
    return metadata, tensors


@contextmanager
def reading(wrong: str, advice: str) -> Iterator[None]:
    """Read the contents of a file; whatever turns out to be wrong with them is said in one way.

    Args:
        wrong: what to say of the file: "x is not a whole reference".
        advice: what to do.

    Raises:
        ValueError: something is wrong with the contents.
        FileNotFoundError: there is no such file.
        MemoryError: there is too little memory, whatever raised it.
    """
    try:
        yield
    except FileNotFoundError:
        raise
    except _DAMAGE as error:
        if out_of_memory(error):
            raise MemoryError(str(error)) from error
        said = " ".join(str(error).split())[:300]
        if not isinstance(error, ValueError):
            said = f"{type(error).__name__}: {said}"
        raise ValueError(f"{wrong} ({said}); {advice}") from error


def out_of_memory(error: Exception) -> bool:
    """Whether an error says that there is too little memory: Python's, numpy's or torch's."""
    said = str(error).lower()
    return isinstance(error, MemoryError) or "can't allocate memory" in said or "out of memory" in said


def _checksum(text: str, tensors: Mapping[str, Tensor]) -> str:
    """CRC-32 of a text, and of names, types, shapes and bytes of tensors, in hexadecimal digits."""
    value = zlib.crc32(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        value = zlib.crc32(f"{name} {tensor.dtype} {list(tensor.shape)}".encode(), value)
        value = zlib.crc32(tensor.reshape(-1).view(torch.uint8).numpy().data, value)
    return f"{value:08x}"


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under a temporary name and rename it: a crash or a full disk leaves the old one whole.

    Raises:
        OSError: it could not be written.
    """
    with atomic_file(path) as file:
        file.write(content)


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """A file to write into, which appears under its name if all goes well, and is gone otherwise.

    What processes that were killed have left of the same file is removed.

    Raises:
        OSError: it could not be written.
    """
    temporary = partial_path(path)
    try:
        remove_stale(path.parent, path.name)
        with open(temporary, "w+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        sync(path.parent)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise OSError(
            error.errno, f"could not write {path}: {error.strerror}; free some space or choose another folder"
        ) from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def partial_path(path: Path) -> Path:
    """Where this process writes a file or folder until it is whole: ``.NAME.PROCESS.part`` beside it."""
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def remove_stale(folder: Path, name: str | None = None) -> None:
    """Remove temporary files that processes of this machine have left which are no more.

    Args:
        folder: where they lie; it may be missing.
        name: of the file that they were to become, or None for any.
    """
    if not folder.is_dir():
        return
    for path in folder.iterdir():
        found = _PARTIAL.fullmatch(path.name)
        if found and name in (None, found["name"]) and not is_alive(int(found["process"])):
            remove(path)


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it, as far as that can be done."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def is_alive(process: int) -> bool:
    """Whether a process of this number exists, as far as the system tells."""
    if sys.platform == "win32":  # where the signal 0 would end it
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:  # another user's
        pass
    return True


def sync(path: Path) -> None:
    """Have a file, or the names in a folder, on the disk: they outlive a power failure.

    Raises:
        OSError: a file's contents could not be written.
    """
    if path.is_dir():
        with suppress(OSError):  # not every system can open folders, or write them
            _fsync(path)
    else:
        _fsync(path)


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_figure(path: Path, figure: Any, **options: Any) -> None:
    """Write a picture of Matplotlib's whole or not at all; the suffix gives the format.

    Args:
        path: of the picture.
        figure: a `matplotlib.figure.Figure`.
        **options: of its `savefig`.

    Raises:
        OSError: it could not be written.
    """
    with atomic_file(path) as file:
        figure.savefig(file, format=path.suffix.removeprefix("."), **options)


def finite_or_none(value: Any) -> Any:
    """The same nested lists and dictionaries, with None for every float that JSON cannot hold (inf, NaN)."""
    if isinstance(value, dict):
        return {key: finite_or_none(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite_or_none(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
