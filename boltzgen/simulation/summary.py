"""What a simulation says: diagnostics, whether it is stationary, populations with errors, the reference."""

import json
import platform
from collections.abc import Mapping
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch

from boltzgen import __version__, units
from boltzgen.evaluation.reference import REFERENCE, Reference
from boltzgen.molecule.states import BASINS
from boltzgen.molecule.system import System
from boltzgen.simulation.burn_in import judge
from boltzgen.simulation.ensemble import Ensemble
from boltzgen.simulation.estimates import Populations, WalkerBootstrap, correlation_time, mbar
from boltzgen.simulation.states import Labels, Series, label
from boltzgen.storage import finite_or_none, write_atomically

SUMMARY = "simulation.json"
#: Walkers that a bootstrap over them needs.
_FEW_WALKERS = 8


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
    recorded = Ensemble.load(folder, system)
    labels = label(recorded.x, recorded.starts, system)
    _, log_w = _mbar(recorded)
    verdict = judge(Series.build(labels, log_w), recorded.round_trips)
    ensemble = recorded.after(verdict.burn_in)
    labels = {name: replace(held, frames=held.frames[verdict.burn_in :]) for name, held in labels.items()}
    f, log_w = _mbar(ensemble)
    summary = _metrics(ensemble) | {"reduced_free_energies": f.tolist(), "command": command}
    summary |= _populations(ensemble, labels)
    summary["correlation_frames"] = _correlation(ensemble, labels)
    summary["stationarity"] = verdict.to_dict()
    summary = finite_or_none(summary)
    write_atomically(folder / SUMMARY, json.dumps(summary, indent=1, allow_nan=False).encode())
    if ensemble.n_walkers > 1:
        _reference(ensemble, log_w, summary, n_configurations).save(folder / REFERENCE)
    return summary


def _mbar(ensemble: Ensemble) -> tuple[np.ndarray, np.ndarray]:
    """`estimates.mbar` at the system's temperature."""
    return mbar(ensemble.potential.numpy(), ensemble.temperatures.numpy(), ensemble.system.temperature)


def _metrics(ensemble: Ensemble) -> dict[str, Any]:
    """How the simulation ran: rates and simulated time of the frames, and costs of everything."""
    s, system = ensemble.statistics, ensemble.system
    mean: dict[str, Any] = {
        key: np.mean([part[key] for part in s], axis=0).tolist()
        for key in ("acceptance", "left_domain", "exchange")
        if key in s[0]
    }
    recorded = len(s) * ensemble.plan["checkpoint_frames"]
    tuned = ensemble.plan["burn_in"] * ensemble.plan["checkpoint_frames"]
    picoseconds = np.sum([part["picoseconds"] for part in s], axis=0) * ensemble.n_frames / recorded
    costs = {
        "starts": ensemble.preparation or None,
        "tuning": _cost(ensemble.burn_in_statistics),
        "frames": _cost(s),
    }
    whole = _cost([cost for cost in costs.values() if cost])
    return {
        "system": system.name,
        "method": ensemble.plan["method"],
        "temperatures": ensemble.temperatures.tolist(),
        "n_walkers": ensemble.n_walkers,
        "n_frames": ensemble.n_frames,
        "burn_in_frames": tuned + recorded - ensemble.n_frames,
        "nanoseconds_per_walker": (picoseconds / 1000).tolist(),
        **whole,
        "costs": costs,
        "steps_per_second": whole["n_energy_evaluations"] / whole["seconds"],
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


def _cost(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """Energies and seconds spent on parts of a simulation."""
    return {
        "n_energy_evaluations": sum(part["n_energy_evaluations"] for part in parts),
        "seconds": sum(part["seconds"] for part in parts),
    }


def _populations(ensemble: Ensemble, labels: Mapping[str, Labels]) -> dict[str, Any]:
    """Populations of basins, residues' regions and torsions' states at the system's temperature, with errors.

    None with few walkers.
    """
    if ensemble.n_walkers < _FEW_WALKERS:
        return {"basins": [], "regions": {}, "torsions": {}}
    bootstrap = WalkerBootstrap(
        ensemble.potential.numpy(), ensemble.temperatures.numpy(), ensemble.system.temperature
    )
    rows = {name: _rows(bootstrap.populations(held.frames, held.names)) for name, held in labels.items()}
    return {
        "free_energy_errors": bootstrap.free_energies()[1].tolist(),
        "basins": rows.pop(BASINS, []),
        "regions": {name: rows.pop(name) for name in ensemble.system.regions},
        "torsions": rows,
    }


def _rows(populations: Populations) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "population": float(p),
            "error": float(e),
            "relative_error": float(e / p) if p > 0 else None,
        }
        for name, p, e in zip(populations.names, populations.share, populations.error, strict=True)
    ]


def _correlation(ensemble: Ensemble, labels: Mapping[str, Labels]) -> dict[str, float]:
    """Statistical inefficiency in frames, at the lowest temperature, of energy, basins and regions."""
    found = {"energy": correlation_time(ensemble.potential[..., 0].numpy())}
    for name in (BASINS, *ensemble.system.regions):
        if name in labels:
            of = "" if name == BASINS else f"{name} "
            found |= {
                f"{of}{state}": correlation_time((labels[name].frames[..., 0] == k).astype(np.float64))
                for k, state in enumerate(labels[name].names)
            }
    return found


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
