"""Trajectories and samples files written whole or not at all; HDF5 files with checksums of all they hold."""

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
def new_file(path: Path, *, stand_in: Path | None = None) -> Iterator[Path]:
    """The path of a file to write, which is renamed if all goes well, and gone otherwise.

    Args:
        path: of the file in the end.
        stand_in: another name in the same folder that the temporary one is made of.

    Raises:
        OSError: it could not be written (full disk, no permission).
    """
    like = path if stand_in is None else stand_in
    temporary = partial_path(like)
    try:
        remove_stale(path.parent, like.name)
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
        sync(path.parent)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno:
            raise cannot_write(error, path) from error
        raise


@contextmanager
def new_hdf5(path: Path) -> Iterator[h5py.File]:
    """An HDF5 file to write, as `new_file`."""
    with new_file(path) as temporary:
        sink = _Sink(temporary)
        try:
            file = h5py.File(sink, "w", libver=_VERSION)
            try:
                yield file
            finally:
                file.close()
        except Exception as error:
            raise sink.error or error from error
        finally:
            sink.close()
        if sink.error is not None:
            raise sink.error


def add_array(file: h5py.File, name: str, shape: tuple[int, ...], dtype: str, rows: int) -> h5py.Dataset:
    """An array in a file, which can grow, in chunks of so many rows, each with a checksum."""
    return file.create_dataset(
        name, shape, dtype, maxshape=(None, *shape[1:]), chunks=(rows, *shape[1:]), fletcher32=True
    )


def cannot_write(error: OSError, path: Path) -> OSError:
    """An error of the operating system in one line that says what to do."""
    code = error.errno or errno.EIO
    reason = f"cannot write ({os.strerror(code)}); free some space or choose another place"
    return OSError(code, reason, str(path))


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
