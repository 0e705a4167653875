"""What is in a samples file: weighted conformations in MDTraj's HDF5 layout, read in chunks.

`coordinates` (float32, nm) and `topology` are where MDTraj looks for them, so that
``mdtraj.load("samples.h5")`` opens the file; beside them lie `u`, `log_q` and `log_w` (float64) and, as
attributes, what the analysis needs to know of the molecule. `writer.SamplesWriter` makes such a file, and
`file` reads it as `WeightedSamples`.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import h5py
import mdtraj
import torch

from boltzgen.hdf5 import open_hdf5
from boltzgen.samples.checks import check_samples, check_weights
from boltzgen.samples.draws import Draws
from boltzgen.samples.header import SamplesHeader, parse
from boltzgen.samples.mdtraj_hdf5 import topology_of
from boltzgen.storage import reading

#: Datasets of one number for each sample.
SCALARS = ("u", "log_q", "log_w")
#: The attribute by which a file of statistics, which holds no samples, is told from others.
STATISTICS = "statistics"
#: Samples that are read at once.
CHUNK = 16384
_EXPECTED = "expected a file that `SamplesWriter` or the command `boltzgen sample` wrote; draw it again"


def check_target(path: Path, suffixes: tuple[str, ...], *, makes: Path | None = None) -> None:
    """Raise unless a file of this name, with one of these suffixes, can be made.

    To be called before the work whose result it shall hold; `makes` is a folder that the work itself makes.
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


def read_header(path: str | os.PathLike[str]) -> SamplesHeader:
    """What the samples file says about its contents; errors as `read_draws`."""
    with _open(path) as file:
        return _header(file, Path(path))


def read_draws(path: str | os.PathLike[str]) -> Draws:
    """All samples of a file at once, with its `SamplesHeader` as their `system`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not an HDF5 file, cut off, damaged, or without what `SamplesWriter` writes.
    """
    with _open(path) as file:
        header = _header(file, Path(path))
        return _slice(file, header, 0, header.n_samples, Path(path))


def iter_draws(path: str | os.PathLike[str], chunk: int = CHUNK) -> Iterator[Draws]:
    """The samples of a file in order, at most `chunk` at a time; errors as `read_draws`."""
    if chunk < 1:
        raise ValueError(f"expected chunks of at least one sample, got {chunk}")
    with _open(path) as file:
        header = _header(file, Path(path))
        for start in range(0, header.n_samples, chunk):
            yield _slice(file, header, start, min(start + chunk, header.n_samples), Path(path))


def read_log_weights(path: str | os.PathLike[str]) -> torch.Tensor:
    """The log-weights alone, float64 (n,); errors as `read_draws`."""
    with _open(path) as file:
        n_samples = _header(file, Path(path)).n_samples
        log_w = torch.empty(n_samples, dtype=torch.float64)
        for start in range(0, n_samples, CHUNK):
            stop = min(start + CHUNK, n_samples)
            with _damage(Path(path), start, stop):
                u, log_q, log_w[start:stop] = (torch.from_numpy(file[name][start:stop]) for name in SCALARS)
                check_weights(u, log_q, log_w[start:stop], start)
        return log_w


def read_topology(path: str | os.PathLike[str]) -> mdtraj.Topology:
    """The molecule's topology, by MDTraj; errors as `read_draws`."""
    topology = read_header(path).mdtraj_topology
    if topology is None:
        raise ValueError(f"{path} has no topology; {_EXPECTED}")
    return topology


@contextmanager
def _open(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    if not Path(path).exists():
        raise FileNotFoundError(
            f"no samples file at {path}; `boltzgen sample` writes one, which is there when all draws are made"
        )
    with ExitStack() as stack:
        try:
            file = stack.enter_context(open_hdf5(path, "a samples file"))
        except ValueError as error:
            raise ValueError(f"{error}; {_EXPECTED}") from error
        yield file


def _header(file: h5py.File, path: Path) -> SamplesHeader:
    with reading(f"{path} lacks valid attributes", _EXPECTED):
        is_statistics = STATISTICS in file.attrs
    if is_statistics:
        raise ValueError(
            f"{path} holds statistics of draws and no conformations; `boltzgen.analyze` and `boltzgen.merge` "
            "take it"
        )
    for name, dtype in {"coordinates": "float32", **dict.fromkeys(SCALARS, "float64")}.items():
        data = file.get(name)
        if not isinstance(data, h5py.Dataset):
            raise ValueError(f"{path} has no dataset {name!r}; {_EXPECTED}")
        if data.dtype != dtype:
            raise ValueError(f"{path}: expected {name} to be {dtype}, got {data.dtype}; {_EXPECTED}")
    shape = file["coordinates"].shape
    lengths = {name: file[name].shape for name in SCALARS}
    if len(shape) != 3 or shape[2] != 3 or any(s != shape[:1] for s in lengths.values()):
        raise ValueError(
            f"{path}: expected coordinates (n, n_atoms, 3) and n values in each of {', '.join(SCALARS)}, "
            f"got {shape} and {lengths}"
        )
    with reading(f"{path} lacks a valid attribute or topology", _EXPECTED):
        said = {key: _plain(value) for key, value in file.attrs.items()}
        return parse(
            said,
            n_samples=shape[0],
            n_atoms=shape[1],
            n_energy_evaluations=said.get("n_energy_evaluations"),
            topology=topology_of(file),
        )


def _slice(file: h5py.File, header: SamplesHeader, start: int, stop: int, path: Path) -> Draws:
    with _damage(path, start, stop):
        x, u, log_q, log_w = (torch.from_numpy(file[name][start:stop]) for name in ("coordinates", *SCALARS))
        samples = Draws(x, u, log_q, log_w, header, header.temperature)
        check_samples(samples, start)
    return samples


@contextmanager
def _damage(path: Path, start: int, stop: int) -> Iterator[None]:
    """What is wrong with samples start to stop, in one line."""
    try:
        yield
    except OSError as error:
        raise ValueError(
            f"{path} is damaged: samples {start} to {stop} cannot be read; {_EXPECTED}"
        ) from error
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}; {_EXPECTED}") from error


def _plain(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
