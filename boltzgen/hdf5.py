"""HDF5 files of unknown origin: opened only if they hold plain arrays that their own bytes account for.

An HDF5 file can point to other files, declare arrays of any size, and crash the HDF5 library where its
metadata are damaged. `open_hdf5` refuses all of this before anything is read.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from math import ceil, prod
from pathlib import Path
from typing import Any

import h5py

#: An array may be this many times as large as its bytes in the file, and a few million bytes beyond: labels
#: and the like compress well.
_RATIO, _SMALL = 100, 2**24
#: HDF5 decodes whole chunks.
_LARGEST_CHUNK = 2**26
_MOST_OBJECTS = 1000
_KINDS = {"f": "floats", "i": "integers", "u": "integers", "S": "text"}
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
#: From this version of the superblock on, HDF5 verifies checksums of metadata before it parses them.
_CHECKSUMMED = 3
#: Time in s for a busy machine to begin reading a file, and the least that it reads, in bytes / s.
_PATIENCE, _SLOWEST = 60.0, 1e7
#: Files that a process of their own has read to the end: path, file number, size, time of change.
_harmless: set[tuple[Any, ...]] = set()


@contextmanager
def open_hdf5(path: str | os.PathLike[str], what: str) -> Iterator[h5py.File]:
    """An HDF5 file, open for reading, whose structure is checked.

    It holds groups and arrays of plain numbers or fixed-length text and nothing else: no links, no data
    outside the file, no array whose declared size its bytes in the file cannot account for. A file without
    checksums of its metadata is first read to the end in a process of its own, which may crash in our place.

    Args:
        path: of an existing file.
        what: the file is expected to be, for messages: "a samples file".

    Raises:
        ValueError: it is not such a file.
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"{path} is {'a folder' if path.is_dir() else 'no file'}; expected {what} (.h5)")
    try:
        _read_elsewhere(path)
        file = h5py.File(path, "r")
    except (OSError, _DamagedError) as error:
        raise ValueError(f"{path} cannot be read as {what}: it is {_cause(error)}") from error
    with file:
        try:
            check_structure(file)
        except _UnsafeError as error:
            raise ValueError(f"{path} is refused as {what}: {error}") from error
        except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
            raise ValueError(f"{path} cannot be read as {what}: it is damaged") from error
        yield file


def check_structure(file: h5py.File) -> None:
    """Raise unless a file's groups and arrays are plain and of sizes that their bytes account for."""
    groups, seen = [file["/"]], {h5py.h5o.get_info(file.id).addr}
    while groups:
        group = groups.pop()
        for name in group:
            place = f"{group.name.rstrip('/')}/{name}"
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise _UnsafeError(f"{place} is a link to another place; expected the data themselves")
            member = group[name]
            address = h5py.h5o.get_info(member.id).addr
            if address in seen or len(seen) >= _MOST_OBJECTS:
                raise _UnsafeError(f"{place} is linked twice, or one of more than {_MOST_OBJECTS} objects")
            seen.add(address)
            if isinstance(member, h5py.Group):
                groups.append(member)
            elif isinstance(member, h5py.Dataset):
                _check_dataset(member, place)
            else:
                raise _UnsafeError(f"{place} is neither a group nor an array")


class _UnsafeError(ValueError):
    """A structure that no file of ours, and no trajectory, has."""


class _DamagedError(ValueError):
    """A file that ended the process that read it."""


def _check_dataset(data: h5py.Dataset, place: str) -> None:
    properties = data.id.get_create_plist()
    if properties.get_external_count() or data.is_virtual:
        raise _UnsafeError(f"the data of {place} are in other files; expected them in this one")
    if data.dtype.kind not in _KINDS or data.dtype.hasobject or data.dtype.subdtype is not None:
        raise _UnsafeError(f"{place} holds {data.dtype}; expected plain numbers or text of fixed length")
    declared, stored = data.size * data.dtype.itemsize, data.id.get_storage_size()
    if declared > _SMALL + _RATIO * stored:
        raise _UnsafeError(f"{place} declares {declared:.3g} bytes, of which {stored:.3g} are in the file")
    if data.chunks is None:
        if stored != declared:
            raise _UnsafeError(f"{place} is not whole: it declares {declared} bytes and holds {stored}")
        return
    if prod(data.chunks) * data.dtype.itemsize > _LARGEST_CHUNK:
        raise _UnsafeError(f"{place} has chunks of more than {_LARGEST_CHUNK} bytes")
    expected = prod(ceil(n / size) for n, size in zip(data.shape, data.chunks, strict=True))
    if data.id.get_num_chunks() < expected:
        raise _UnsafeError(f"{place} is not whole: {data.id.get_num_chunks()} of {expected} chunks are there")


def _read_elsewhere(path: Path) -> None:
    """Raise `_DamagedError` if reading a file without checksums of its metadata ends the process that does.

    Each version of a file is read so once.
    """
    with path.open("rb") as file:
        start = file.read(len(_SIGNATURE) + 1)
        status = os.fstat(file.fileno())
    if not start.startswith(_SIGNATURE) or start[-1] >= _CHECKSUMMED:
        return
    key = (path.resolve(), status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
    if key in _harmless:
        return
    command = [sys.executable, "-P", __file__, str(path)]
    limit = _PATIENCE + status.st_size / _SLOWEST
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise _DamagedError(f"reading it does not end within {limit:.0f} s") from error
    if done.returncode not in (0, 1):
        raise _DamagedError(f"reading it crashes HDF5 (exit code {done.returncode})")
    _harmless.add(key)


def _read_to_the_end(path: str) -> None:
    """Check a file and read all of it, a chunk or a few rows at a time."""
    with h5py.File(path, "r") as file:
        check_structure(file)
        members: list[h5py.Group | h5py.Dataset] = [file]
        while members:
            member = members.pop()
            for name in member.attrs:
                with suppress(OSError, TypeError, ValueError):
                    member.attrs[name]
            if isinstance(member, h5py.Group):
                members.extend(member.values())
            elif member.shape:
                rows = max(1, _SMALL // max(1, member.nbytes // max(1, len(member))))
                for start in range(0, len(member), rows):
                    member[start : start + rows]


def _cause(error: Exception) -> str:
    if isinstance(error, _DamagedError):
        return f"damaged: {error}"
    known = {
        "truncated": "cut off",
        "lock": "open in a program that writes it",
        "Permission": "not yours to read",
    }
    return next(
        (cause for word, cause in known.items() if word in str(error)), "not an HDF5 file, or damaged"
    )


if __name__ == "__main__":
    # Errors that are not crashes are met again, and explained, by the process that asked.
    try:
        _read_to_the_end(sys.argv[1])
    except Exception:
        sys.exit(1)
