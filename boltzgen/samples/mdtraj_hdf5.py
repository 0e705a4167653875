"""MDTraj's HDF5 layout, written and read without PyTables, which runs code that a file may hold.

`coordinates` (n, n_atoms, 3), float32 in nm or in the unit that its attribute names; `topology`, JSON in one
text; perhaps `cell_lengths`; and attributes that say whose conventions these are.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import h5py
import mdtraj
import numpy as np

from boltzgen import __version__
from boltzgen.hdf5 import open_hdf5
from boltzgen.samples.topology import topology_from_dict, topology_to_dict
from boltzgen.samples.whole_file import add_array
from boltzgen.storage import reading

SUFFIXES = (".h5", ".hdf5")
CHUNK_BYTES = 2**18
#: nm in units of length, as MDTraj names them.
_UNITS = {"nanometers": 1.0, "nanometer": 1.0, "angstroms": 0.1, "angstrom": 0.1}


def describe_frames(file: h5py.File, topology: mdtraj.Topology, *, title: str) -> None:
    """Write MDTraj's attributes, ASCII as PyTables writes them, and the topology."""
    said = {
        "conventions": "Pande",
        "conventionVersion": "1.1",
        "program": "boltzgen",
        "programVersion": __version__,
        "application": "boltzgen",
        "title": title,
    }
    for key, value in said.items():
        file.attrs[key] = np.bytes_(value.encode("ascii", "replace"))
    text = json.dumps(topology_to_dict(topology)).encode("ascii")
    add_array(file, "topology", (1,), f"S{len(text)}", 1)[0] = text


def add_coordinates(file: h5py.File, n_frames: int, n_atoms: int) -> h5py.Dataset:
    """The array of positions, for so many frames or more."""
    rows = max(1, CHUNK_BYTES // (12 * n_atoms))
    rows = min(rows, n_frames) if n_frames else rows
    coordinates = add_array(file, "coordinates", (n_frames, n_atoms, 3), "f4", rows)
    coordinates.attrs["units"] = np.bytes_("nanometers")
    return coordinates


def topology_of(file: h5py.File) -> mdtraj.Topology | None:
    """The topology that a file holds, or None; to be called where errors are expected, see `reading`."""
    return topology_from_dict(json.loads(file["topology"][0])) if "topology" in file else None


def read_topology(path: Path) -> mdtraj.Topology:
    """The topology of a trajectory.

    Raises:
        ValueError: it is no such file, or has no topology.
    """
    with open_hdf5(path, "a trajectory with a topology") as file:
        topology = _topology_at(file, path)
    if topology is None:
        raise ValueError(f"{path} has no topology")
    return topology


def _topology_at(file: h5py.File, path: Path) -> mdtraj.Topology | None:
    with reading(f"{path} has no topology of MDTraj's", "write it again"):
        return topology_of(file)


def read_frames(path: Path, chunk: int) -> Iterator[tuple[np.ndarray, mdtraj.Topology | None, bool]]:
    """Positions, float32 (m, n_atoms, 3) in nm, the topology, and whether there is a periodic box.

    At most `chunk` frames come at a time.

    Raises:
        ValueError: it is no such file, or damaged.
    """
    with open_hdf5(path, "a trajectory") as file:
        data = file.get("coordinates")
        if not isinstance(data, h5py.Dataset) or data.dtype.kind != "f" or data.ndim != 3:
            found = f"{data.dtype} {data.shape}" if isinstance(data, h5py.Dataset) else "none"
            raise ValueError(
                f"{path}: expected coordinates (n, n_atoms, 3) of floats, as MDTraj writes, got {found}"
            )
        unit = data.attrs.get("units", b"nanometers")
        unit = unit.decode(errors="replace") if isinstance(unit, bytes) else str(unit)
        if data.shape[2] != 3 or unit not in _UNITS:
            raise ValueError(
                f"{path}: expected coordinates (n, n_atoms, 3) in nanometers, got {data.shape} in "
                f"{unit[:40]!r}"
            )
        topology, periodic = _topology_at(file, path), "cell_lengths" in file
        for start in range(0, len(data), chunk):
            try:
                x = data[start : start + chunk].astype(np.float32)
            except OSError as error:
                raise ValueError(f"{path} is damaged: frames from {start} on cannot be read") from error
            yield x if _UNITS[unit] == 1.0 else np.float32(_UNITS[unit]) * x, topology, periodic
