"""The file of a reference: plain HDF5, small tables compressed, written at once or not at all.

A reference is written from its fields and read as its fields, by name.
"""

import io
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from boltzgen import __version__, units
from boltzgen.evaluation.tally import SURFACE_BINS, Surface
from boltzgen.free_energy.histograms import Axis, Histogram
from boltzgen.hdf5 import open_hdf5
from boltzgen.molecule.basins import Basin
from boltzgen.molecule.graph import Quadruple
from boltzgen.molecule.names import check_name
from boltzgen.storage import reading, write_atomically

FORMAT = 1
_COMPRESSED = {"compression": "gzip", "compression_opts": 9, "shuffle": True}
#: Fields that JSON holds as they are.
_PLAIN = ("system", "fingerprint", "temperature", "domain", "metadata", "n_frames", "fraction_outside")


def write(path: Path, fields: Mapping[str, Any]) -> None:
    """Write the fields of a `Reference`.

    Raises:
        OSError: the file cannot be written.
        TypeError: the metadata hold what JSON cannot.
    """
    # Shares of groups are noise in the last digits of a float32 already, and half of the file.
    groups = [histogram.groups for _, histogram in fields["marginals"].values()]
    arrays = {name: fields[name].numpy(force=True) for name in ("x", "u", "walker")}
    arrays |= {"marginals": np.stack(groups).astype(np.float32), "energy": fields["energy"][1].groups}
    plain = {f"states{k}": histogram.groups for k, (_, histogram) in enumerate(fields["states"].values())}
    if fields["populations"] is not None:
        plain["populations"] = fields["populations"].groups
    for k, surface in enumerate(fields["surfaces"]):
        arrays |= {f"surface{k}/probability": surface.probability, f"surface{k}/halves": surface.halves}
    header = json.dumps(_header(fields))
    memory = io.BytesIO()
    # The latest format has checksums of its own for what is not data.
    with h5py.File(memory, "w", libver="latest") as file:
        file.attrs["format"] = FORMAT
        # Text of fixed length is part of what these cover.
        file.attrs["header"] = np.bytes_(header)
        file.attrs["crc32"] = np.bytes_(_checksum(header, arrays | plain))
        for name, values in arrays.items():
            file.create_dataset(name, data=values, **_COMPRESSED)
        for name, values in plain.items():
            file.create_dataset(name, data=values)
    write_atomically(path, memory.getvalue())


def _checksum(header: str, arrays: Mapping[str, np.ndarray]) -> str:
    """CRC-32 of the header, and of names, types, shapes and bytes of arrays, in hexadecimal digits."""
    value = zlib.crc32(header.encode())
    for name in sorted(arrays):
        values = np.ascontiguousarray(arrays[name])
        value = zlib.crc32(f"{name} {values.dtype.str} {values.shape}".encode(), value)
        value = zlib.crc32(values.tobytes(), value)
    return f"{value:08x}"


def read(path: Path) -> dict[str, Any]:
    """The fields of a `Reference`, by name.

    They are compared with the file's checksum. Files of earlier versions have none.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a whole reference file, or a damaged one.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"no reference file at {path}; give another one as `reference`, or make one by a simulation "
            "(`boltzgen.simulate`)"
        )
    with reading(f"{path} is not a whole reference file", "copy or make it again"):
        with open_hdf5(path, "a reference file") as file:
            if int(file.attrs["format"]) != FORMAT:
                raise ValueError(f"it has format {file.attrs['format']}, this version reads {FORMAT}")
            header, arrays = _text(file.attrs["header"]), _arrays(file)
            if "crc32" in file.attrs and _text(file.attrs["crc32"]) != _checksum(header, arrays):
                raise ValueError("the checksum of its contents is another one: some bytes have changed")
        return _read(header, arrays)


def _header(fields: Mapping[str, Any]) -> dict[str, Any]:
    return {name: fields[name] for name in _PLAIN} | {
        "boltzgen_version": __version__,
        "basins": [basin.model_dump() for basin in fields["basins"]],
        "regions": {
            name: [basin.model_dump() for basin in basins] for name, basins in fields["regions"].items()
        },
        "torsions": fields["torsions"],
        "axes": [_axis_to_dict(axis) for axis, _ in fields["marginals"].values()],
        "energy_axis": _axis_to_dict(fields["energy"][0]),
        "states": {name: states for name, (states, _) in fields["states"].items()},
        "surfaces": [
            {"pair": surface.pair, "n_bins": len(surface.probability), "n_effective": surface.n_effective}
            for surface in fields["surfaces"]
        ],
    }


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def _arrays(file: h5py.File) -> dict[str, np.ndarray]:
    """All data sets of a file by their paths."""
    names: list[str] = []
    file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    return {name: file[name][()] for name in names}


def _read(text: str, arrays: Mapping[str, np.ndarray]) -> dict[str, Any]:
    header = json.loads(text)
    x, u, walker = (torch.from_numpy(arrays[name]) for name in ("x", "u", "walker"))
    if x.dim() != 3 or x.shape[2] != 3 or u.shape != x.shape[:1] or walker.shape != x.shape[:1]:
        raise ValueError(
            f"expected x (n, n_atoms, 3), u (n,) and walker (n,), got {tuple(x.shape)}, {tuple(u.shape)} "
            f"and {tuple(walker.shape)}"
        )
    if (x.dtype, u.dtype, walker.dtype) != (torch.float32, torch.float64, torch.int64):
        raise ValueError(f"expected float32, float64 and int64, got {x.dtype}, {u.dtype} and {walker.dtype}")
    if not (x.isfinite().all() and u.isfinite().all()):
        raise ValueError("positions or energies are NaN or infinite")
    axes = [_axis_from_dict(held) for held in header["axes"]]
    energy_axis = _axis_from_dict(header["energy_axis"])
    marginals = arrays["marginals"].astype(np.float64)
    shares = arrays.get("populations")
    return _plain(header) | {
        "basins": tuple(map(Basin.model_validate, header["basins"])),
        "regions": {
            check_name(name): tuple(map(Basin.model_validate, basins))
            for name, basins in header.get("regions", {}).items()
        },
        "torsions": {
            check_name(name): _torsion(atoms, x.shape[1]) for name, atoms in header["torsions"].items()
        },
        "x": x,
        "u": u,
        "walker": walker,
        "populations": None if shares is None else _histogram(shares, len(header["basins"]) + 1),
        "marginals": {
            axis.name: (axis, _histogram(groups, axis.n_bins))
            for axis, groups in zip(axes, marginals, strict=True)
        },
        "energy": (energy_axis, _histogram(arrays["energy"], energy_axis.n_bins)),
        "surfaces": tuple(
            _surface(arrays[f"surface{k}/probability"], arrays[f"surface{k}/halves"], held)
            for k, held in enumerate(header["surfaces"])
        ),
        # Files of earlier versions have neither these nor regions.
        "states": {
            check_name(name): (tuple(states), _histogram(arrays[f"states{k}"], len(states)))
            for k, (name, states) in enumerate(header.get("states", {}).items())
        },
    }


def _plain(header: dict[str, Any]) -> dict[str, Any]:
    """The fields that JSON holds as they are."""
    found = {name: header[name] for name in _PLAIN}
    check_name(found["system"])
    units.kelvin(found["temperature"])
    if not (isinstance(found["domain"], dict) and isinstance(found["metadata"], dict)):
        raise TypeError("expected a domain and metadata by name")
    if not (isinstance(found["n_frames"], int) and math.isfinite(found["fraction_outside"])):
        raise ValueError("expected a number of frames, and a fraction")
    return found


def _torsion(atoms: Sequence[int], n_atoms: int) -> Quadruple:
    a, b, c, d = atoms
    if len({a, b, c, d} & set(range(n_atoms))) != 4:
        raise ValueError(f"expected torsions of four of the {n_atoms} atoms, got {atoms}")
    return a, b, c, d


def _axis_to_dict(axis: Axis) -> dict[str, Any]:
    return {
        "name": axis.name,
        "unit": axis.unit,
        "low": axis.low,
        "high": axis.high,
        "n_bins": axis.n_bins,
        "kind": "circle" if axis.is_periodic else "line",
    }


def _axis_from_dict(held: dict[str, Any]) -> Axis:
    kind = held["kind"]
    if kind not in ("circle", "line"):
        raise ValueError(f"expected an axis of kind circle or line, got {kind!r}")
    if not -math.inf < held["low"] < held["high"] < math.inf:
        raise ValueError(f"expected an axis from low to high, got {held['low']} to {held['high']}")
    return Axis(**{name: held[name] for name in held if name != "kind"}, is_periodic=kind == "circle")


def _histogram(groups: np.ndarray, n_bins: int) -> Histogram:
    if groups.ndim != 2 or groups.shape[1] != n_bins:
        raise ValueError(f"expected shares (n_groups, {n_bins}), got {groups.shape}")
    if not (np.isfinite(groups).all() and (groups >= 0).all()):
        raise ValueError("shares are negative, NaN or infinite")
    return Histogram.normalised(groups)


def _surface(probability: np.ndarray, halves: np.ndarray, held: dict[str, Any]) -> Surface:
    n_bins = int(held["n_bins"])
    if (
        n_bins not in SURFACE_BINS
        or probability.shape != (n_bins, n_bins)
        or halves.shape != (2, n_bins, n_bins)
    ):
        raise ValueError(f"expected surfaces of {SURFACE_BINS} bins a side, got {probability.shape}")
    if not (np.isfinite(probability).all() and np.isfinite(halves).all()):
        raise ValueError("shares of a surface are NaN or infinite")
    return Surface((held["pair"][0], held["pair"][1]), probability, halves, float(held["n_effective"]))
