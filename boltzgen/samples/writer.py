"""Writing the samples file in chunks, whole or not at all; `samples.file` says what is in it."""

import errno
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import h5py
import numpy as np

from boltzgen import __version__, units
from boltzgen.molecule.system import System
from boltzgen.samples.file import SCALARS, SUFFIXES, check_target
from boltzgen.samples.topology import topology_to_dict
from boltzgen.samples.weighted_samples import WeightedSamples

_CHUNK_BYTES = 2**18


class SamplesWriter:
    """Writes weighted samples to an HDF5 file, chunk by chunk in constant memory.

    The file appears under its name when the `with` block ends without an exception; until then it is a
    temporary file beside it, which any exception (Ctrl-C included) removes. An older file of that name is
    replaced only then.

    Args:
        path: of the file, .h5 or .hdf5.
        system: the molecule.
        temperature: of the target, in K.
        seed: that the samples are drawn with.

    Attributes:
        n_energy_evaluations: spent on drawing; to be set before the `with` block ends.
        n_samples: written so far.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: the name does not end in .h5 or .hdf5.
        OSError: the file cannot be written (full disk, no permission).

    Example:
        with SamplesWriter("samples.h5", system, 300.0, seed=1) as writer:
            for chunk in generator.sample_chunks(n, energy, seed=1):
                writer.write(chunk)
            writer.n_energy_evaluations = energy.n_evaluations
    """

    def __init__(
        self, path: str | os.PathLike[str], system: System, temperature: Any, *, seed: int = 0
    ) -> None:
        self.path = Path(path)
        self.n_energy_evaluations = 0
        self.n_samples = 0
        self._system, self._seed = system, seed
        self._temperature = float(units.strip_units(temperature, "kelvin"))
        units.kt(self._temperature)
        check_target(self.path, SUFFIXES)
        self._partial = self.path.with_name(f".{self.path.name}.{os.getpid()}.part")
        self._sink: _Sink | None = None
        self._file: h5py.File | None = None

    def __enter__(self) -> Self:
        try:
            with self._clear_errors():
                self._sink = _Sink(self._partial)
                self._file = h5py.File(self._sink, "w")
                self._create()
        except BaseException:
            self._discard()
            raise
        return self

    def write(self, samples: WeightedSamples) -> None:
        """Append samples to the file."""
        if self._file is None:
            raise ValueError("the samples file is not open; use `with SamplesWriter(...) as writer:`")
        if samples.x.shape[1] != self._system.n_atoms:
            raise ValueError(
                f"expected positions of {self._system.n_atoms} atoms ({self._system.name}), got "
                f"{samples.x.shape[1]}"
            )
        stop = self.n_samples + len(samples)
        arrays = {"coordinates": samples.x} | {name: getattr(samples, name) for name in SCALARS}
        with self._clear_errors():
            for name, values in arrays.items():
                self._file[name].resize(stop, axis=0)
                self._file[name][self.n_samples : stop] = values.numpy(force=True)
        self.n_samples = stop

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if kind is not None:
            self._discard()
            return
        assert self._file is not None
        assert self._sink is not None
        try:
            with self._clear_errors():
                self._file.attrs["n_energy_evaluations"] = self.n_energy_evaluations
                self._file.close()
                os.fsync(self._sink.fileno())
                self._sink.close()
            with self._clear_errors():
                os.replace(self._partial, self.path)
        except BaseException:
            self._discard()
            raise

    def _create(self) -> None:
        assert self._file is not None
        n_atoms = self._system.n_atoms
        rows = max(1, _CHUNK_BYTES // (12 * n_atoms))
        coordinates = self._file.create_dataset(
            "coordinates", (0, n_atoms, 3), "f4", maxshape=(None, n_atoms, 3), chunks=(rows, n_atoms, 3)
        )
        coordinates.attrs["units"] = np.bytes_("nanometers")
        for name in SCALARS:
            scalar = self._file.create_dataset(
                name, (0,), "f8", maxshape=(None,), chunks=(_CHUNK_BYTES // 8,)
            )
            scalar.attrs["units"] = np.bytes_("kT" if name == "u" else "dimensionless")
        topology = json.dumps(topology_to_dict(self._system.topology)).encode("ascii")
        self._file.create_dataset("topology", data=np.array([topology]))
        for key, value in self._attributes().items():
            self._file.attrs[key] = np.bytes_(value) if isinstance(value, str) else value

    def _attributes(self) -> dict[str, Any]:
        """MDTraj's attributes (ASCII, as PyTables writes them), then our own, as numbers, text or JSON."""
        system = self._system
        return {
            "conventions": "Pande",
            "conventionVersion": "1.1",
            "program": "boltzgen",
            "programVersion": __version__,
            "application": "boltzgen",
            "title": _ascii(f"Weighted samples of {system.name}; frames do not have equal weight, see log_w"),
            "boltzgen_version": __version__,
            "system": json.dumps(system.name),
            "fingerprint": system.fingerprint,
            "temperature": self._temperature,
            "seed": self._seed,
            "n_energy_evaluations": 0,
            "domain": json.dumps(system.domain.model_dump()),
            "basins": json.dumps([b.model_dump() for b in system.basins]),
            "torsions": json.dumps(system.torsions),
            "regions": json.dumps({k: [b.model_dump() for b in v] for k, v in system.regions.items()}),
            "rotamers": json.dumps({name: asdict(rotamer) for name, rotamer in system.rotamers.items()}),
        }

    def _discard(self) -> None:
        if self._file is not None:
            self._file.close()
        if self._sink is not None:
            self._sink.close()
        self._partial.unlink(missing_ok=True)

    @contextmanager
    def _clear_errors(self) -> Iterator[None]:
        """One line that names file and cause, for an error that HDF5 reports or the sink has kept."""
        try:
            yield
        except (OSError, RuntimeError) as error:
            raise self._explain(
                self._sink.error if self._sink is not None and self._sink.error is not None else error
            ) from error
        if self._sink is not None and self._sink.error is not None:
            raise self._explain(self._sink.error)

    def _explain(self, error: Exception) -> OSError:
        code = getattr(error, "errno", None) or errno.EIO
        reason = (
            os.strerror(code)
            if isinstance(error, OSError) and error.errno
            else str(error).strip().splitlines()[0]
        )
        return OSError(
            code,
            f"cannot write ({reason}), nothing was saved; free some space or choose another place",
            str(self.path),
        )


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


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode()
