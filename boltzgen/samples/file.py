"""The samples file: weighted conformations in MDTraj's HDF5 layout, written and read in chunks.

`coordinates` (float32, nm) and `topology` are where MDTraj looks for them, so that
``mdtraj.load("samples.h5")`` opens the file; beside them lie `u`, `log_q` and `log_w` (float64) and, as
attributes, what the analysis needs to know of the molecule.
"""

import errno
import io
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import h5py
import mdtraj
import numpy as np
import torch
from mdtraj.formats import HDF5TrajectoryFile

from boltzgen import __version__, units
from boltzgen.molecule.basins import Basin
from boltzgen.molecule.graph import Quadruple
from boltzgen.molecule.system import System
from boltzgen.molecule.torsions import Rotamer
from boltzgen.samples.weighted_samples import WeightedSamples

if TYPE_CHECKING:
    from openmm import app

SUFFIXES = (".h5", ".hdf5")
_SCALARS = ("u", "log_q", "log_w")
_CHUNK_BYTES = 2**18


@dataclass(frozen=True)
class SamplesHeader:
    """What a samples file says about its contents; it serves as the `system` of the samples read from it.

    Attributes:
        n_samples, n_atoms: size.
        system: name of the system.
        fingerprint: `System.fingerprint`, equal for equal target densities.
        temperature: of the target, in K.
        seed: that the samples were drawn with.
        n_energy_evaluations: spent on drawing them.
        version: of boltzgen that wrote the file.
        domain: on which the density is defined.
        basins, torsions: named regions and torsions of the molecule.
        rotamers: the torsions whose states are counted; empty in files of earlier versions.
    """

    n_samples: int
    n_atoms: int
    system: str
    fingerprint: str
    temperature: float
    seed: int
    n_energy_evaluations: int
    version: str
    domain: dict[str, str]
    basins: tuple[Basin, ...]
    torsions: dict[str, Quadruple]
    rotamers: dict[str, Rotamer]


class SamplesWriter:
    """Writes weighted samples of `system` at `temperature` [K] to an HDF5 file, chunk by chunk in constant
    memory.

    The file appears under its name when the `with` block ends without an exception; until then it is a
    temporary file beside it, which any exception (Ctrl-C included) removes. An older file of that name is
    replaced only then.

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
        arrays = {"coordinates": samples.x} | {name: getattr(samples, name) for name in _SCALARS}
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
        for name in _SCALARS:
            scalar = self._file.create_dataset(
                name, (0,), "f8", maxshape=(None,), chunks=(_CHUNK_BYTES // 8,)
            )
            scalar.attrs["units"] = np.bytes_("kT" if name == "u" else "dimensionless")
        topology = json.dumps(topology_to_dict(self._system.topology)).encode("ascii")
        self._file.create_dataset("topology", data=np.array([topology]))
        for key, value in self._attributes().items():
            self._file.attrs[key] = np.bytes_(value) if isinstance(value, str) else value

    def _attributes(self) -> dict[str, Any]:
        """MDTraj's attributes (ASCII, as PyTables writes them), then our own; what is not a number is JSON or
        plain text.
        """
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


def read_header(path: str | os.PathLike[str]) -> SamplesHeader:
    """What the samples file says about its contents; errors as `read_samples`."""
    with _open(path) as file:
        return _header(file, Path(path))


def read_samples(path: str | os.PathLike[str]) -> WeightedSamples:
    """All samples of a file at once, with its `SamplesHeader` as their `system`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not an HDF5 file, cut off, or without the datasets that `boltzgen sample` writes.
    """
    with _open(path) as file:
        header = _header(file, Path(path))
        return _slice(file, header, 0, header.n_samples, Path(path))


def iter_samples(path: str | os.PathLike[str], chunk: int = 16384) -> Iterator[WeightedSamples]:
    """The samples of a file in order, at most `chunk` at a time; errors as `read_samples`."""
    if chunk < 1:
        raise ValueError(f"expected chunks of at least one sample, got {chunk}")
    with _open(path) as file:
        header = _header(file, Path(path))
        for start in range(0, header.n_samples, chunk):
            yield _slice(file, header, start, min(start + chunk, header.n_samples), Path(path))


def read_log_weights(path: str | os.PathLike[str]) -> torch.Tensor:
    """The log-weights alone, float64 (n,); errors as `read_samples`."""
    with _open(path) as file:
        _header(file, Path(path))
        return torch.from_numpy(file["log_w"][:])


def read_topology(path: str | os.PathLike[str]) -> mdtraj.Topology:
    """The molecule's topology, by MDTraj; errors as `read_samples`."""
    with _open(path) as file:
        _header(file, Path(path))
    with HDF5TrajectoryFile(str(path)) as trajectory:
        topology = trajectory.topology
    if topology is None:
        raise ValueError(f"{path} has no topology; expected a file made by `boltzgen sample`, draw it again")
    return topology


def topology_to_dict(topology: "app.Topology") -> dict[str, Any]:
    """An OpenMM topology as MDTraj's HDF5 files hold it."""
    chains = []
    for chain in topology.chains():
        residues = [
            {
                "index": residue.index,
                "name": residue.name,
                "resSeq": int(residue.id) if str(residue.id).lstrip("-").isdigit() else residue.index + 1,
                "segmentID": "",
                "atoms": [
                    {
                        "index": a.index,
                        "name": a.name,
                        "element": a.element.symbol if a.element is not None else "",
                    }
                    for a in residue.atoms()
                ],
            }
            for residue in chain.residues()
        ]
        chains.append({"index": chain.index, "chain_id": chain.id or None, "residues": residues})
    return {"chains": chains, "bonds": [[bond[0].index, bond[1].index] for bond in topology.bonds()]}


def check_target(path: Path, suffixes: tuple[str, ...], *, makes: Path | None = None) -> None:
    """Raise unless a file of this name, with one of these suffixes, can be made: before the work whose result
    it shall hold.

    `makes` is a folder that the work itself makes.
    """
    if path.suffix.lower() not in suffixes:
        raise ValueError(f"expected a file name that ends in {' or '.join(suffixes)}, got {str(path)!r}")
    if not path.parent.is_dir() and path.parent != makes:
        raise FileNotFoundError(
            f"the folder {path.parent} does not exist; create it first, or choose another place for "
            f"{path.name}"
        )
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; give the name of a file")


@contextmanager
def _open(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"no samples file at {path}; make one with `boltzgen sample SYSTEM -n N -o {path}`"
        )
    if path.is_dir():
        raise ValueError(f"{path} is a folder; expected a samples file (.h5)")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        cause = "cut off" if "truncated" in str(error) else "not an HDF5 file, or damaged"
        raise ValueError(
            f"{path} cannot be read as a samples file: it is {cause}; draw it again with `boltzgen sample`"
        ) from error
    with file:
        yield file


def _header(file: h5py.File, path: Path) -> SamplesHeader:
    for name in ("coordinates", *_SCALARS):
        if not isinstance(file.get(name), h5py.Dataset):
            raise ValueError(f"{path} has no dataset {name!r}; expected a file made by `boltzgen sample`")
    shape = file["coordinates"].shape
    lengths = {name: file[name].shape for name in _SCALARS}
    if len(shape) != 3 or shape[2] != 3 or any(s != shape[:1] for s in lengths.values()):
        raise ValueError(
            f"{path}: expected coordinates (n, n_atoms, 3) and n values in each of {', '.join(_SCALARS)}, "
            f"got {shape} and {lengths}"
        )
    try:
        text = {
            key: _text(file.attrs[key])
            for key in ("system", "fingerprint", "boltzgen_version", "domain", "basins", "torsions")
        }
        return SamplesHeader(
            n_samples=shape[0],
            n_atoms=shape[1],
            system=json.loads(text["system"]),
            fingerprint=text["fingerprint"],
            temperature=float(file.attrs["temperature"]),
            seed=int(file.attrs["seed"]),
            n_energy_evaluations=int(file.attrs["n_energy_evaluations"]),
            version=text["boltzgen_version"],
            domain=json.loads(text["domain"]),
            basins=tuple(Basin.model_validate(b, strict=False) for b in json.loads(text["basins"])),
            torsions={name: tuple(atoms) for name, atoms in json.loads(text["torsions"]).items()},
            rotamers={
                name: Rotamer(fields["division"], tuple(map(tuple, fields["torsions"])))
                for name, fields in json.loads(_text(file.attrs.get("rotamers", "{}"))).items()
            },
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        detail = str(error).strip().splitlines()[0]
        raise ValueError(
            f"{path} lacks a valid attribute that `boltzgen sample` writes ({detail}); draw it again"
        ) from error


def _slice(file: h5py.File, header: SamplesHeader, start: int, stop: int, path: Path) -> WeightedSamples:
    try:
        x, u, log_q, log_w = (torch.from_numpy(file[name][start:stop]) for name in ("coordinates", *_SCALARS))
    except OSError as error:
        raise ValueError(
            f"{path} is damaged: samples {start} to {stop} cannot be read; draw it again with `boltzgen "
            "sample`"
        ) from error
    return WeightedSamples(x, u, log_q, log_w, header)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _ascii(text: str) -> str:
    return text.encode("ascii", "replace").decode()
