"""Samples on their way to a file: appended chunk by chunk, and whole up to the last chunk at any time.

A journal is a sequence of records, each with its length and CRC-32 before it: what the samples are (JSON),
then chunks of them (safetensors). A process that is killed leaves at most its last record cut off, which is
dropped when the journal is opened again.
"""

import json
import os
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Self

import torch
from safetensors.torch import load, save

from boltzgen.samples.checks import check_samples
from boltzgen.samples.draws import Draws
from boltzgen.samples.whole_file import cannot_write
from boltzgen.storage import reading, sync

_HEAD = struct.Struct("<QI")
_FIELDS = ("x", "u", "log_q", "log_w")


class Journal:
    """Chunks of samples in a file that grows by whole records.

    Attributes:
        path: of the file.
        said: what the samples are, as `header.describe` says it.
        n_samples: in it.
        n_energy_evaluations: spent on them.
    """

    def __init__(self, path: Path, file: BinaryIO, said: Mapping[str, Any]) -> None:
        self.path, self.said = path, dict(said)
        self.n_samples = self.n_energy_evaluations = 0
        self._file, self._end = file, 0

    @classmethod
    def create(cls, path: Path, said: Mapping[str, Any]) -> Self:
        """An empty journal in place of what is at the path.

        Raises:
            OSError: the file cannot be written.
        """
        journal = cls(path, path.open("w+b", buffering=0), said)
        journal._write(json.dumps(journal.said).encode())
        sync(path.parent)
        return journal

    @classmethod
    def open(cls, path: Path) -> Self:
        """A journal to go on with: the whole records that a process has left.

        Raises:
            OSError: the file cannot be read or written.
            ValueError: it does not begin as a journal does.
        """
        file = path.open("r+b", buffering=0)
        try:
            with reading(f"{path} is no journal of samples", "delete it to start afresh"):
                journal = cls(path, file, json.loads(_record(file) or b""))
        except BaseException:
            file.close()
            raise
        journal._end = file.tell()
        for samples, spent in journal._read():
            journal._end = file.tell()
            journal.n_samples += len(samples)
            journal.n_energy_evaluations = spent
        file.truncate(journal._end)
        return journal

    def append(self, samples: Draws, n_energy_evaluations: int) -> None:
        """Add a chunk, and the number of energies spent on all samples so far; it is on the disk then.

        Raises:
            OSError: it could not be written; the chunks before it are whole.
        """
        arrays = {name: getattr(samples, name).detach().cpu().contiguous().clone() for name in _FIELDS}
        self._write(save(arrays | {"n_energy_evaluations": torch.tensor([n_energy_evaluations])}))
        self.n_samples += len(samples)
        self.n_energy_evaluations = n_energy_evaluations

    def chunks(self) -> Iterator[Draws]:
        """The samples, chunk by chunk as they were added.

        Raises:
            OSError: the journal has changed since it was opened.
        """
        self._file.seek(0)
        _record(self._file)
        n_samples = 0
        for samples, _ in self._read():
            n_samples += len(samples)
            yield samples
        if n_samples != self.n_samples:
            raise OSError(f"{self.path} was changed or cut off by another program; draw the samples again")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def remove(self) -> None:
        """Close the file and remove it."""
        self.close()
        self.path.unlink(missing_ok=True)

    def _write(self, payload: bytes) -> None:
        self._file.seek(self._end)
        rest = memoryview(_HEAD.pack(len(payload), zlib.crc32(payload)) + payload)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
            os.fsync(self._file.fileno())
        except BaseException as error:
            self._file.truncate(self._end)
            if isinstance(error, OSError):
                raise cannot_write(error, self.path) from error
            raise
        self._end = self._file.tell()

    def _read(self) -> Iterator[tuple[Draws, int]]:
        """Chunks and the energies spent by then, up to the first record that is not whole."""
        while (payload := _record(self._file)) is not None:
            try:
                with reading("no chunk of samples", "draw them again"):
                    held = load(payload)
                    samples = Draws(held["x"], held["u"], held["log_q"], held["log_w"])
                    check_samples(samples)
                    spent = int(held["n_energy_evaluations"])
            except ValueError:
                return
            yield samples, spent


def _record(file: BinaryIO) -> bytes | None:
    """The next record's contents, or None where there is no whole one."""
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    length, checksum = _HEAD.unpack(head)
    if length > os.fstat(file.fileno()).st_size - file.tell():
        return None
    payload = file.read(length)
    return payload if zlib.crc32(payload) == checksum else None
