"""The file of a reference: plain HDF5, small tables compressed, written at once or not at all."""

import io
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from boltzgen import __version__
from boltzgen.evaluation.reference import SURFACE_BINS, Reference, Surface
from boltzgen.free_energy.histograms import Axis, Histogram
from boltzgen.molecule.basins import Basin
from boltzgen.molecule.system import System
from boltzgen.storage import write_atomically

FORMAT = 1
_COMPRESSED = {"compression": "gzip", "compression_opts": 9, "shuffle": True}


def save(reference: Reference, path: Path) -> None:
    """Write `reference`; raises OSError if the file cannot be written."""
    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        file.attrs["format"] = FORMAT
        file.attrs["header"] = json.dumps(_header(reference))
        for name in ("x", "u", "walker"):
            file.create_dataset(name, data=getattr(reference, name).numpy(force=True), **_COMPRESSED)
        # Shares of groups are noise in the last digits of a float32 already, and half of the file.
        axes = [axis for axis, _ in reference.marginals.values()]
        stacked = np.stack([reference.marginals[axis.name][1].groups for axis in axes]).astype(np.float32)
        file.create_dataset("marginals", data=stacked, **_COMPRESSED)
        file.create_dataset("energy", data=reference.energy[1].groups, **_COMPRESSED)
        if reference.populations is not None:
            file.create_dataset("populations", data=reference.populations.groups)
        for k, surface in enumerate(reference.surfaces):
            file.create_dataset(f"surface{k}/probability", data=surface.probability, **_COMPRESSED)
            file.create_dataset(f"surface{k}/halves", data=surface.halves, **_COMPRESSED)
    write_atomically(path, memory.getvalue())


def load(path: Path, system: System | None = None) -> Reference:
    """Read a reference; errors as `Reference.load`."""
    if not path.is_file():
        raise FileNotFoundError(
            f"no reference file at {path}; make one with `boltzgen simulate`, or give another with "
            "--reference"
        )
    try:
        with h5py.File(path, "r") as file:
            if int(file.attrs["format"]) != FORMAT:
                raise ValueError(f"it has format {file.attrs['format']}, this version reads {FORMAT}")
            reference = _read(file)
    except (OSError, KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        detail = str(error).strip().splitlines()[0]
        raise ValueError(f"{path} is not a whole reference file ({detail}); copy or make it again") from error
    if system is not None and reference.fingerprint != system.fingerprint:
        raise ValueError(
            f"{path} is a reference of another system than {system.name!r} (it says {reference.system!r}); "
            "force field or domain differ: give the reference that was made for this system"
        )
    return reference


def _header(reference: Reference) -> dict[str, Any]:
    return {
        "boltzgen_version": __version__,
        "system": reference.system,
        "fingerprint": reference.fingerprint,
        "temperature": reference.temperature,
        "domain": reference.domain,
        "basins": [basin.model_dump() for basin in reference.basins],
        "torsions": reference.torsions,
        "metadata": reference.metadata,
        "n_frames": reference.n_frames,
        "fraction_outside": reference.fraction_outside,
        "axes": [asdict(axis) for axis, _ in reference.marginals.values()],
        "energy_axis": asdict(reference.energy[0]),
        "surfaces": [
            {"pair": surface.pair, "n_bins": len(surface.probability), "n_effective": surface.n_effective}
            for surface in reference.surfaces
        ],
    }


def _read(file: h5py.File) -> Reference:
    header = json.loads(file.attrs["header"])
    x, u, walker = (torch.from_numpy(file[name][:]) for name in ("x", "u", "walker"))
    if x.dim() != 3 or x.shape[2] != 3 or u.shape != x.shape[:1] or walker.shape != x.shape[:1]:
        raise ValueError(
            f"expected x (n, n_atoms, 3), u (n,) and walker (n,), got {tuple(x.shape)}, {tuple(u.shape)} "
            f"and {tuple(walker.shape)}"
        )
    axes = [Axis(**fields) for fields in header["axes"]]
    marginals = file["marginals"][:].astype(np.float64)
    surfaces = [_surface(file[f"surface{k}"], fields) for k, fields in enumerate(header["surfaces"])]
    return Reference(
        **{
            key: header[key]
            for key in (
                "system",
                "fingerprint",
                "temperature",
                "domain",
                "metadata",
                "n_frames",
                "fraction_outside",
            )
        },
        basins=tuple(Basin.model_validate(basin, strict=False) for basin in header["basins"]),
        torsions={name: tuple(atoms) for name, atoms in header["torsions"].items()},
        x=x,
        u=u,
        walker=walker,
        populations=_histogram(file["populations"][:], len(header["basins"]) + 1)
        if "populations" in file
        else None,
        marginals={
            axis.name: (axis, _histogram(groups, axis.n_bins))
            for axis, groups in zip(axes, marginals, strict=True)
        },
        energy=(axis := Axis(**header["energy_axis"]), _histogram(file["energy"][:], axis.n_bins)),
        surfaces=tuple(surfaces),
    )


def _histogram(groups: np.ndarray, n_bins: int) -> Histogram:
    if groups.ndim != 2 or groups.shape[1] != n_bins:
        raise ValueError(f"expected shares (n_groups, {n_bins}), got {groups.shape}")
    return Histogram.normalised(groups)


def _surface(group: h5py.Group, fields: dict[str, Any]) -> Surface:
    n_bins = int(fields["n_bins"])
    probability, halves = group["probability"][:], group["halves"][:]
    if (
        n_bins not in SURFACE_BINS
        or probability.shape != (n_bins, n_bins)
        or halves.shape != (2, n_bins, n_bins)
    ):
        raise ValueError(f"expected surfaces of {SURFACE_BINS} bins a side, got {probability.shape}")
    return Surface((fields["pair"][0], fields["pair"][1]), probability, halves, float(fields["n_effective"]))
