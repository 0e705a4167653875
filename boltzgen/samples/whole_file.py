"""HDF5 files written whole or not at all, with checksums of all that is in them."""

import errno
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py

from boltzgen.storage import partial_path, remove_stale, sync

#: HDF5 checks the metadata of files of this version against checksums before it parses them.
_VERSION = ("v110", "v110")


@contextmanager
def new_hdf5(path: Path) -> Iterator[h5py.File]:
    """An HDF5 file to write into, which appears under its name if all goes well, and is gone otherwise.

    Raises:
        OSError: it could not be written (full disk, no permission).
    """
    temporary = partial_path(path)
    sink: _Sink | None = None
    file: h5py.File | None = None
    try:
        remove_stale(path.parent, path.name)
        sink = _Sink(temporary)
        file = h5py.File(sink, "w", libver=_VERSION)
        yield file
        file.close()
        if sink.error is not None:
            raise sink.error
        os.fsync(sink.fileno())
        sink.close()
        os.replace(temporary, path)
        sync(path.parent)
    except BaseException as error:
        _close(file, sink)
        temporary.unlink(missing_ok=True)
        cause = error if sink is None or sink.error is None else sink.error
        if isinstance(error, Exception) and isinstance(cause, OSError) and cause.errno:
            raise cannot_write(cause, path) from error
        raise


def cannot_write(error: OSError, path: Path) -> OSError:
    """An error of the operating system in one line that says what to do."""
    code = error.errno or errno.EIO
    reason = f"cannot write ({os.strerror(code)}); free some space or choose another place"
    return OSError(code, reason, str(path))


def add_array(file: h5py.File, name: str, shape: tuple[int, ...], dtype: str, rows: int) -> h5py.Dataset:
    """An array in a file, in chunks of so many rows, each with a checksum."""
    return file.create_dataset(
        name,
        shape,
        dtype,
        maxshape=(None, *shape[1:]),
        chunks=(max(1, min(rows, shape[0])), *shape[1:]),
        fletcher32=True,
    )


def _close(file: h5py.File | None, sink: "_Sink | None") -> None:
    try:
        if file is not None:
            file.close()
    finally:
        if sink is not None:
            sink.close()


class _Sink(io.FileIO):
    """A file whose writes never fail: the first error is kept in `error`, and what follows it is dropped.

    HDF5 cannot close a file whose disk is full: it repeats the failing write, prints the error and may crash
    the process.
    """

    def __init__(self, path: Path) -> None:
        self.error: OSError | None = None
        super().__init__(path, "w+")

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        done = 0
        while self.error is None and done < len(view):
            try:
                done += super().write(view[done:])
            except OSError as error:
                self.error = error
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        try:
            return super().truncate(size)
        except OSError as error:
            self.error = self.error or error
            return size or 0
