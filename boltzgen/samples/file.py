"""The samples file: weighted conformations in MDTraj's HDF5 layout, read in chunks.

`coordinates` (float32, nm) and `topology` are where MDTraj looks for them, so that
``mdtraj.load("samples.h5")`` opens the file; beside them lie `u`, `log_q` and `log_w` (float64) and, as
attributes, what the analysis needs to know of the molecule. `writer.SamplesWriter` makes such a file.
"""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import mdtraj
import torch

from boltzgen.molecule.basins import Basin
from boltzgen.molecule.graph import Quadruple
from boltzgen.molecule.states import Rotamer
from boltzgen.samples.topology import topology_from_dict
from boltzgen.samples.weighted_samples import WeightedSamples

SUFFIXES = (".h5", ".hdf5")
#: Datasets of one number for each sample.
SCALARS = ("u", "log_q", "log_w")
_EXPECTED = "expected a file that `SamplesWriter` or the command `boltzgen sample` wrote; draw it again"


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
        regions, rotamers: those of `System`; empty if the file, of an earlier version, names none.
        mdtraj_topology: atoms and bonds; None if the file holds no topology.
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
    regions: dict[str, tuple[Basin, ...]]
    rotamers: dict[str, Rotamer]
    mdtraj_topology: mdtraj.Topology | None = field(repr=False)


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
    """What the samples file says about its contents; errors as `read_samples`."""
    with _open(path) as file:
        return _header(file, Path(path))


def read_samples(path: str | os.PathLike[str]) -> WeightedSamples:
    """All samples of a file at once, with its `SamplesHeader` as their `system`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not an HDF5 file, cut off, or without what `SamplesWriter` writes.
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
    topology = read_header(path).mdtraj_topology
    if topology is None:
        raise ValueError(f"{path} has no topology; {_EXPECTED}")
    return topology


@contextmanager
def _open(path: str | os.PathLike[str]) -> Iterator[h5py.File]:
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"no samples file at {path}; write one with `SamplesWriter` or the command `boltzgen sample`"
        )
    if path.is_dir():
        raise ValueError(f"{path} is a folder; expected a samples file (.h5)")
    try:
        file = h5py.File(path, "r")
    except OSError as error:
        cause = "cut off" if "truncated" in str(error) else "not an HDF5 file, or damaged"
        raise ValueError(f"{path} cannot be read as a samples file: it is {cause}; {_EXPECTED}") from error
    with file:
        yield file


def _header(file: h5py.File, path: Path) -> SamplesHeader:
    for name in ("coordinates", *SCALARS):
        if not isinstance(file.get(name), h5py.Dataset):
            raise ValueError(f"{path} has no dataset {name!r}; {_EXPECTED}")
    shape = file["coordinates"].shape
    lengths = {name: file[name].shape for name in SCALARS}
    if len(shape) != 3 or shape[2] != 3 or any(s != shape[:1] for s in lengths.values()):
        raise ValueError(
            f"{path}: expected coordinates (n, n_atoms, 3) and n values in each of {', '.join(SCALARS)}, "
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
            basins=tuple(map(Basin.model_validate, json.loads(text["basins"]))),
            torsions={name: tuple(atoms) for name, atoms in json.loads(text["torsions"]).items()},
            regions={
                name: tuple(map(Basin.model_validate, basins))
                for name, basins in json.loads(_text(file.attrs.get("regions", "{}"))).items()
            },
            rotamers={
                name: Rotamer(fields["division"], tuple(map(tuple, fields["torsions"])))
                for name, fields in json.loads(_text(file.attrs.get("rotamers", "{}"))).items()
            },
            mdtraj_topology=topology_from_dict(json.loads(file["topology"][0]))
            if "topology" in file
            else None,
        )
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        detail = str(error).strip().splitlines()[0]
        raise ValueError(f"{path} lacks a valid attribute or topology ({detail}); {_EXPECTED}") from error


def _slice(file: h5py.File, header: SamplesHeader, start: int, stop: int, path: Path) -> WeightedSamples:
    try:
        x, u, log_q, log_w = (torch.from_numpy(file[name][start:stop]) for name in ("coordinates", *SCALARS))
    except OSError as error:
        raise ValueError(
            f"{path} is damaged: samples {start} to {stop} cannot be read; {_EXPECTED}"
        ) from error
    return WeightedSamples(x, u, log_q, log_w, header)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
