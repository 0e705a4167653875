"""What a simulation says: diagnostics, populations with errors, the reference file, trajectories for other
programs.
"""

import json
import os
import platform
from contextlib import closing
from importlib import metadata
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np
import torch
from mdtraj.formats import DCDTrajectoryFile, HDF5TrajectoryFile, XTCTrajectoryFile

from boltzgen import __version__, units
from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.evaluation.reference import REFERENCE, Reference
from boltzgen.geometry import dihedrals
from boltzgen.molecule.basins import assign_basins
from boltzgen.molecule.system import System
from boltzgen.samples.file import check_target
from boltzgen.simulation.ensemble import Ensemble
from boltzgen.simulation.estimates import WalkerBootstrap, correlation_time, group_differences, mbar
from boltzgen.storage import write_atomically

SUMMARY = "simulation.json"
TRAJECTORIES = (".h5", ".xtc", ".dcd")
#: Walkers that a bootstrap over them needs.
_FEW_WALKERS = 8
_CHUNK = 65536
_ANGSTROM_PER_NM = 10.0


def summarize(
    folder: Path, system: System, *, command: str = "", n_configurations: int = 5000
) -> dict[str, Any]:
    """Write `simulation.json` into a simulation's folder and return its contents; where two or more walkers
    allow for errors, `reference.h5` too.
    """
    ensemble = Ensemble.load(folder, system)
    potential, temperatures = ensemble.potential.numpy(), ensemble.temperatures.numpy()
    f, log_w = mbar(potential, temperatures, system.temperature)
    summary = _figures(ensemble) | {"reduced_free_energies": f.tolist(), "command": command}
    labels = _basins(ensemble.x, system)
    if ensemble.n_walkers >= _FEW_WALKERS:
        summary |= _populations(ensemble, labels, log_w)
    else:
        summary["basins"] = []
    summary["correlation_frames"] = _correlation(ensemble, labels)
    write_atomically(folder / SUMMARY, json.dumps(summary, indent=1).encode())
    if ensemble.n_walkers > 1:
        _reference(ensemble, log_w, summary, n_configurations).save(folder / REFERENCE)
    return summary


def _figures(ensemble: Ensemble) -> dict[str, Any]:
    """How the simulation ran, summed or averaged over its blocks."""
    s, system = ensemble.statistics, ensemble.system
    mean: dict[str, Any] = {
        key: np.mean([block[key] for block in s], axis=0).tolist()
        for key in ("acceptance", "left_domain", "exchange")
        if key in s[0]
    }
    seconds = sum(block["seconds"] for block in s)
    n_evaluations = sum(block["n_energy_evaluations"] for block in s)
    picoseconds = np.sum([block["picoseconds"] for block in s], axis=0)
    return {
        "system": system.name,
        "method": ensemble.plan["method"],
        "temperatures": ensemble.temperatures.tolist(),
        "n_walkers": ensemble.n_walkers,
        "n_frames": ensemble.n_frames,
        "nanoseconds_per_walker": (picoseconds / 1000).tolist(),
        "n_energy_evaluations": n_evaluations,
        "seconds": seconds,
        "steps_per_second": n_evaluations / seconds,
        **mean,
        "round_trips": sum(block.get("round_trips", 0) for block in s),
        "plan": ensemble.plan,
        "versions": {
            "boltzgen": __version__,
            "torch": torch.__version__,
            "openmm": metadata.version("openmm"),
            "python": platform.python_version(),
        },
    }


def _populations(ensemble: Ensemble, labels: np.ndarray | None, log_w: np.ndarray) -> dict[str, Any]:
    """Populations of the basins at the system's temperature, and whether walkers that began in different ones
    agree.
    """
    system = ensemble.system
    bootstrap = WalkerBootstrap(ensemble.potential.numpy(), ensemble.temperatures.numpy(), system.temperature)
    summary: dict[str, Any] = {"free_energy_errors": bootstrap.free_energies()[1].tolist(), "basins": []}
    if labels is None:
        return summary
    names = tuple(b.name for b in system.basins)
    whole = bootstrap.populations(labels, names)
    summary["basins"] = [
        {
            "name": name,
            "population": float(p),
            "error": float(e),
            "relative_error": float(e / p) if p > 0 else None,
        }
        for name, p, e in zip(names, whole.share, whole.error, strict=True)
    ]
    summary["starts"] = _starts(ensemble, labels, log_w)
    return summary


def _starts(ensemble: Ensemble, labels: np.ndarray, log_w: np.ndarray) -> dict[str, Any]:
    """Whether walkers that began in different basins agree on the populations: see `group_differences`."""
    group, names = _basins(ensemble.starts, ensemble.system), [basin.name for basin in ensemble.system.basins]
    assert group is not None
    present = np.unique(group)
    if len(present) < 2:
        return {}
    weights = np.exp(log_w)
    sums = np.stack([(weights * (labels == k)).sum((0, 2)) for k in range(len(names))], axis=1)
    z, chance = group_differences(sums, weights.sum((0, 2)), group)
    rows = {
        (names[k] if k >= 0 else "none"): {
            "n_walkers": int((group == k).sum()),
            "z": dict(zip(names, row.tolist(), strict=True)),
        }
        for k, row in zip(present, z, strict=True)
    }
    return {"groups": rows, "largest_z": float(np.abs(z).max()), "probability_of_as_large_by_chance": chance}


def _correlation(ensemble: Ensemble, labels: np.ndarray | None) -> dict[str, float]:
    """Statistical inefficiency, in frames, of the energy and of each basin's indicator at the lowest
    temperature.
    """
    found = {"energy": correlation_time(ensemble.potential[..., 0].numpy())}
    if labels is not None:
        found |= {
            basin.name: correlation_time((labels[..., 0] == k).astype(np.float64))
            for k, basin in enumerate(ensemble.system.basins)
        }
    return found


def _basins(x: torch.Tensor, system: System) -> np.ndarray | None:
    """Basin of each conformation x (..., n_atoms, 3), int (...); None for a molecule without phi, psi and
    basins.
    """
    if not system.basins or not {"phi", "psi"} <= system.torsions.keys():
        return None
    flat = x.reshape(-1, *x.shape[-2:])
    phi, psi = (
        torch.cat([dihedrals(part, system.torsions[name]) for part in flat.split(_CHUNK)]).numpy()
        for name in ("phi", "psi")
    )
    return assign_basins(phi, psi, system.basins).reshape(x.shape[:-2])


def _reference(
    ensemble: Ensemble, log_w: np.ndarray, summary: dict[str, Any], n_configurations: int
) -> Reference:
    system, shape = ensemble.system, ensemble.potential.shape
    walker = torch.arange(shape[1])[None, :, None].expand(shape)
    # Frames of hardly any weight at this temperature only take memory and time.
    chosen = torch.from_numpy(log_w > log_w.max() - 15.0)
    kept = {key: value for key, value in summary.items() if key not in ("plan",)} | {"plan": ensemble.plan}
    return Reference.from_frames(
        system,
        ensemble.x[chosen],
        ensemble.potential[chosen] / units.kt(system.temperature),
        torch.from_numpy(log_w)[chosen],
        walker[chosen],
        metadata=kept,
        n_configurations=n_configurations,
    )


def check_trajectory(path: Path, folder: Path) -> None:
    """Raise unless a trajectory can be written there, once the simulation's folder exists."""
    check_target(path, TRAJECTORIES, makes=folder)


def write_trajectory(folder: Path, system: System, target: Path) -> int:
    """Write the frames at the system's temperature, walker after walker, as HDF5, XTC or DCD; frames outside
    the domain are left out.

    Methyl hydrogens are put into the domain's labelling. XTC keeps 0.001 nm. Returns the number of frames.
    """
    check_target(target, TRAJECTORIES)
    ensemble = Ensemble.load(folder, system)
    coordinates = MolecularCoordinates(system)
    partial = target.with_name(f".{target.stem}.{os.getpid()}.part{target.suffix.lower()}")
    topology, n_frames = mdtraj.Topology.from_openmm(system.topology), 0
    kinds = {".h5": HDF5TrajectoryFile, ".xtc": XTCTrajectoryFile, ".dcd": DCDTrajectoryFile}
    try:
        with closing(kinds[partial.suffix](str(partial), mode="w")) as file:
            if partial.suffix == ".h5":
                file.topology = topology
            for w in range(ensemble.n_walkers):
                labelled = coordinates.canonical(ensemble.x[:, w, 0])
                frames = labelled[coordinates.in_domain(coordinates.inverse(labelled)[0])].numpy()
                file.write(_ANGSTROM_PER_NM * frames if partial.suffix == ".dcd" else frames)
                n_frames += len(frames)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    return n_frames
