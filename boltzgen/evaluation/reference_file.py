"""The file of a reference: plain HDF5, small tables compressed, written at once or not at all.

A reference is written from its fields and read as its fields, by name.
"""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from boltzgen import __version__
from boltzgen.evaluation.tally import SURFACE_BINS, Surface
from boltzgen.free_energy.histograms import Axis, Histogram
from boltzgen.molecule.basins import Basin
from boltzgen.storage import write_atomically

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
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        file.attrs["format"] = FORMAT
        file.attrs["header"] = json.dumps(_header(fields))
        for name in ("x", "u", "walker"):
            file.create_dataset(name, data=fields[name].numpy(force=True), **_COMPRESSED)
        # Shares of groups are noise in the last digits of a float32 already, and half of the file.
        groups = [histogram.groups for _, histogram in fields["marginals"].values()]
        file.create_dataset("marginals", data=np.stack(groups).astype(np.float32), **_COMPRESSED)
        file.create_dataset("energy", data=fields["energy"][1].groups, **_COMPRESSED)
        if fields["populations"] is not None:
            file.create_dataset("populations", data=fields["populations"].groups)
        for k, (_, histogram) in enumerate(fields["states"].values()):
            file.create_dataset(f"states{k}", data=histogram.groups)
        for k, surface in enumerate(fields["surfaces"]):
            file.create_dataset(f"surface{k}/probability", data=surface.probability, **_COMPRESSED)
            file.create_dataset(f"surface{k}/halves", data=surface.halves, **_COMPRESSED)
    write_atomically(path, memory.getvalue())


def read(path: Path) -> dict[str, Any]:
    """The fields of a `Reference`, by name.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a whole reference file.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"no reference file at {path}; give another one as `reference`, or make one by a simulation "
            "(`boltzgen.simulate`)"
        )
    try:
        with h5py.File(path, "r") as file:
            if int(file.attrs["format"]) != FORMAT:
                raise ValueError(f"it has format {file.attrs['format']}, this version reads {FORMAT}")
            return _read(file)
    except (OSError, KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        detail = str(error).strip().splitlines()[0]
        raise ValueError(f"{path} is not a whole reference file ({detail}); copy or make it again") from error


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


def _read(file: h5py.File) -> dict[str, Any]:
    header = json.loads(file.attrs["header"])
    x, u, walker = (torch.from_numpy(file[name][:]) for name in ("x", "u", "walker"))
    if x.dim() != 3 or x.shape[2] != 3 or u.shape != x.shape[:1] or walker.shape != x.shape[:1]:
        raise ValueError(
            f"expected x (n, n_atoms, 3), u (n,) and walker (n,), got {tuple(x.shape)}, {tuple(u.shape)} "
            f"and {tuple(walker.shape)}"
        )
    axes = [_axis_from_dict(held) for held in header["axes"]]
    energy_axis = _axis_from_dict(header["energy_axis"])
    marginals = file["marginals"][:].astype(np.float64)
    shares = file["populations"][:] if "populations" in file else None
    return {name: header[name] for name in _PLAIN} | {
        "basins": tuple(map(Basin.model_validate, header["basins"])),
        "regions": {
            name: tuple(map(Basin.model_validate, basins))
            for name, basins in header.get("regions", {}).items()
        },
        "torsions": {name: tuple(atoms) for name, atoms in header["torsions"].items()},
        "x": x,
        "u": u,
        "walker": walker,
        "populations": None if shares is None else _histogram(shares, len(header["basins"]) + 1),
        "marginals": {
            axis.name: (axis, _histogram(groups, axis.n_bins))
            for axis, groups in zip(axes, marginals, strict=True)
        },
        "energy": (energy_axis, _histogram(file["energy"][:], energy_axis.n_bins)),
        "surfaces": tuple(_surface(file[f"surface{k}"], held) for k, held in enumerate(header["surfaces"])),
        # Files of earlier versions have neither these nor regions.
        "states": {
            name: (tuple(states), _histogram(file[f"states{k}"][:], len(states)))
            for k, (name, states) in enumerate(header.get("states", {}).items())
        },
    }


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
    return Axis(**{name: held[name] for name in held if name != "kind"}, is_periodic=kind == "circle")


def _histogram(groups: np.ndarray, n_bins: int) -> Histogram:
    if groups.ndim != 2 or groups.shape[1] != n_bins:
        raise ValueError(f"expected shares (n_groups, {n_bins}), got {groups.shape}")
    return Histogram.normalised(groups)


def _surface(group: h5py.Group, held: dict[str, Any]) -> Surface:
    n_bins = int(held["n_bins"])
    probability, halves = group["probability"][:], group["halves"][:]
    if (
        n_bins not in SURFACE_BINS
        or probability.shape != (n_bins, n_bins)
        or halves.shape != (2, n_bins, n_bins)
    ):
        raise ValueError(f"expected surfaces of {SURFACE_BINS} bins a side, got {probability.shape}")
    return Surface((held["pair"][0], held["pair"][1]), probability, halves, float(held["n_effective"]))
