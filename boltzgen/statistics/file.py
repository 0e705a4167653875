"""Files of statistics: HDF5 with checksums, and nothing but arrays of numbers."""

import json
import os
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from boltzgen.hdf5 import open_hdf5
from boltzgen.samples.contents import STATISTICS
from boltzgen.samples.draws import known_topology
from boltzgen.samples.header import describe, parse
from boltzgen.samples.mdtraj_hdf5 import SUFFIXES, describe_frames, topology_of
from boltzgen.samples.whole_file import add_array, new_hdf5
from boltzgen.statistics.statistics import Statistics
from boltzgen.storage import reading

#: Of the file.
FORMAT = 1
_EXPECTED = "expected a file that `boltzgen sample --statistics-only` wrote; draw it again"
#: Rows of an array that share a checksum.
_ROWS = 8192


def save_statistics(statistics: Statistics, path: Path) -> None:
    """Write statistics as a file, whole or not at all; one that exists is replaced.

    Raises:
        OSError: it cannot be written.
    """
    header, plan = statistics.header, statistics.plan
    said = describe(
        header,
        header.temperature,
        seed=header.seed,
        generator=header.generator,
        shard=header.shard,
        n_whole=header.n_whole,
        doubt=header.doubt,
    ) | {
        STATISTICS: FORMAT,
        "pairs": json.dumps(plan.pairs),
        "along": json.dumps(list(plan.along)),
    }
    with new_hdf5(path) as file:
        describe_frames(file, known_topology(header), title=f"Statistics of draws of {header.system}")
        for key, value in said.items():
            file.attrs[key] = np.bytes_(value) if isinstance(value, str) else value
        for name, values in statistics.pack().items():
            rows = max(1, min(_ROWS, len(values)))
            add_array(file, name, values.shape, values.dtype.str, rows)[...] = values


def is_statistics(path: str | os.PathLike[str]) -> bool:
    """Whether a file says that it holds statistics; False of what cannot be read."""
    if Path(path).suffix.lower() not in SUFFIXES or not Path(path).is_file():
        return False
    try:
        with open_hdf5(path, "a file of statistics") as file:
            return STATISTICS in file.attrs
    except (ValueError, OSError, RuntimeError):  # HDF5's own, of damaged attributes
        return False


def load_statistics(path: str | os.PathLike[str]) -> Statistics:
    """The statistics of a file that `boltzgen sample --statistics-only` or `boltzgen merge` wrote.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is another file, or damaged.
    """
    if not Path(path).exists():
        raise FileNotFoundError(f"no statistics at {path}; `boltzgen sample --statistics-only` writes some")
    with open_hdf5(path, "a file of statistics") as file:
        with reading(f"{path} lacks valid attributes", _EXPECTED):
            is_such = STATISTICS in file.attrs
        if not is_such:
            raise ValueError(f"{path} holds no statistics; {_EXPECTED}")
        with reading(f"{path} does not hold whole statistics", _EXPECTED):
            said = {key: _plain(value) for key, value in file.attrs.items()}
            if int(said[STATISTICS]) != FORMAT:
                raise ValueError(f"format {said[STATISTICS]}, this version of boltzgen reads {FORMAT}")
            topology = topology_of(file)
            if topology is None:
                raise ValueError("no topology")
            header = parse(
                said | {"ranges": "[]"},
                n_samples=0,
                n_atoms=topology.n_atoms,
                n_energy_evaluations=0,
                topology=topology,
            )
            pairs = [(str(a), str(b)) for a, b in json.loads(said["pairs"])]
            statistics = Statistics(header, pairs=pairs, along=json.loads(said["along"]))
            if statistics.plan.pairs != pairs:
                raise ValueError("surfaces of other torsions than the molecule's")
            arrays = {name: _array(file, name) for name in file if name != "topology"}
            return statistics.unpack(arrays)


def _array(file: h5py.File, name: str) -> np.ndarray:
    data = file[name]
    if not isinstance(data, h5py.Dataset):
        raise ValueError(f"{name} is no array")
    return data[...]


def _plain(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value
