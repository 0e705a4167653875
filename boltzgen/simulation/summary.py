"""What a simulation says: diagnostics, populations with errors, and the reference file."""

import json
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from boltzgen import __version__, units
from boltzgen.evaluation.reference import REFERENCE, Reference
from boltzgen.geometry import dihedrals
from boltzgen.molecule.basins import assign_basins
from boltzgen.molecule.system import System
from boltzgen.simulation.ensemble import Ensemble
from boltzgen.simulation.estimates import WalkerBootstrap, correlation_time, group_differences, mbar
from boltzgen.storage import write_atomically

SUMMARY = "simulation.json"
#: Walkers that a bootstrap over them needs.
_FEW_WALKERS = 8
_CHUNK = 65536


def summarize(
    folder: Path, system: System, *, command: str = "", n_configurations: int = 5000
) -> dict[str, Any]:
    """Write `simulation.json` into a simulation's folder and return its contents.

    Where two or more walkers allow for errors, `reference.h5` is written too.

    Args:
        folder: of the simulation.
        system: the molecule that was simulated.
        command: how the simulation was asked for.
        n_configurations: frames that the reference holds with their positions.
    """
    ensemble = Ensemble.load(folder, system)
    potential, temperatures = ensemble.potential.numpy(), ensemble.temperatures.numpy()
    f, log_w = mbar(potential, temperatures, system.temperature)
    summary = _metrics(ensemble) | {"reduced_free_energies": f.tolist(), "command": command}
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


def _metrics(ensemble: Ensemble) -> dict[str, Any]:
    """How the simulation ran, summed or averaged over its checkpoints."""
    s, system = ensemble.statistics, ensemble.system
    mean: dict[str, Any] = {
        key: np.mean([part[key] for part in s], axis=0).tolist()
        for key in ("acceptance", "left_domain", "exchange")
        if key in s[0]
    }
    seconds = sum(part["seconds"] for part in s)
    n_evaluations = sum(part["n_energy_evaluations"] for part in s)
    picoseconds = np.sum([part["picoseconds"] for part in s], axis=0)
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
        "round_trips": sum(part.get("round_trips", 0) for part in s),
        "plan": ensemble.plan,
        "versions": {
            "boltzgen": __version__,
            "torch": torch.__version__,
            "openmm": metadata.version("openmm"),
            "python": platform.python_version(),
        },
    }


def _populations(ensemble: Ensemble, labels: np.ndarray | None, log_w: np.ndarray) -> dict[str, Any]:
    """Populations of the basins at the system's temperature, and whether walkers agree on them."""
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
    """Statistical inefficiency in frames, at the lowest temperature, of energy and basins."""
    found = {"energy": correlation_time(ensemble.potential[..., 0].numpy())}
    if labels is not None:
        found |= {
            basin.name: correlation_time((labels[..., 0] == k).astype(np.float64))
            for k, basin in enumerate(ensemble.system.basins)
        }
    return found


def _basins(x: torch.Tensor, system: System) -> np.ndarray | None:
    """Basin of each conformation x (..., n_atoms, 3), int (...); None without phi, psi and basins."""
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
    return Reference.from_frames(
        system,
        ensemble.x[chosen],
        ensemble.potential[chosen] / units.kt(system.temperature),
        torch.from_numpy(log_w)[chosen],
        walker[chosen],
        metadata=summary,
        n_configurations=n_configurations,
    )
