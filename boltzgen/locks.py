"""Locks: one process at a time writes into a folder, or a file."""

import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from boltzgen.storage import remove_stale

_log = logging.getLogger(__name__)

if sys.platform == "win32":

    def _lock(descriptor: int) -> None:
        """Nothing: this system has no locks that end with their process."""

else:
    import fcntl

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def lock_of(path: Path) -> Path:
    """The file that is locked for a folder or a file, and is there as long as that lasts."""
    return path / ".lock" if path.is_dir() else path.with_name(f".{path.name}.lock")


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep other processes from what a folder or a file holds, as long as the block lasts.

    A file beside the file, or in the folder, is locked, and removed at the end. The lock ends with the
    process, however that ends. File systems without locks are used without.

    Args:
        path: an existing folder; or a file, which need not exist.

    Raises:
        BlockingIOError: another process holds it.
        OSError: the lock's file cannot be made.
    """
    file = lock_of(path)
    descriptor = _open(file, path)
    try:
        yield
    finally:
        # Removed while it is locked: whoever waits for it sees that it has no name any more.
        file.unlink(missing_ok=True)
        os.close(descriptor)


@contextmanager
def working_folder(folder: Path) -> Iterator[None]:
    """A folder to work in, made if it is missing, for this process alone as long as the block lasts.

    Files that processes have left unfinished in it which are no more are removed. A folder that was made for
    nothing is gone afterwards.

    Raises:
        BlockingIOError: another process works in it.
        OSError: it cannot be made or written to.
    """
    made = not folder.exists()
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with locked(folder):
            remove_stale(folder)
            yield
    finally:
        if made:
            with suppress(OSError):  # there is something in it
                folder.rmdir()


def _open(file: Path, path: Path) -> int:
    """The descriptor of the file, locked, with this process's number in it."""
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(descriptor)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode("ascii", "replace").strip() or "another one"
            os.close(descriptor)
            raise BlockingIOError(
                f"{path} is being written by process {holder}; wait until it ends, or choose another place"
            ) from None
        except OSError as error:
            _log.warning("%s is not locked: %s", path, error.strerror)
        if _is_at(descriptor, file):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
            return descriptor
        os.close(descriptor)  # the one that held it has removed it meanwhile


def _is_at(descriptor: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(file))
    except FileNotFoundError:
        return False
