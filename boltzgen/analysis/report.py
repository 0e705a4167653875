"""The analysis of a samples file: weights, basins with intervals, surfaces and pictures, in one folder."""

import csv
import json
import math
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from boltzgen import reweighting
from boltzgen.analysis.plots import ramachandran_figure
from boltzgen.analysis.ramachandran import Ramachandran, ramachandran, suitable_bins
from boltzgen.analysis.torsions import torsion_values
from boltzgen.free_energy import assign_basins, basin_populations
from boltzgen.perception import backbone_pairs
from boltzgen.samples import SamplesHeader, iter_samples, read_header


def analyze(path: str | os.PathLike[str], output: str | os.PathLike[str], *, n_replicates: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Analyse a samples file and leave the results in a folder.

    Written there: `report.json` (what is returned), and for each backbone pair of torsions `ramachandran.png`, `ramachandran.npz`
    (centres in degrees, free energy in kT, probability, counts) and `ramachandran.csv` (one row for each bin), with the residue's
    number in the name where there are several. `basins` is a list of `free_energy.BasinPopulation` as dictionaries, empty if the molecule
    has none. Infinite values (the free energy of an empty basin) are None.

    Positions are read in chunks; 16 bytes a sample and pair of torsions stay in memory.

    Args:
        path: file made by `boltzgen sample`.
        output: folder, made if it is missing.
        n_replicates: of the bootstrap behind the intervals.
        seed: of the bootstrap.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a readable samples file, or none of its samples has any weight.
        OSError: the folder cannot be written.
    """
    header = read_header(path)
    if header.n_samples == 0:
        raise ValueError(f"{path} holds no samples; draw some with `boltzgen sample`")
    pairs = backbone_pairs(header.torsions)
    log_w, angles = _read(path, pairs)
    report = {"file": str(path), **_summary(header), **weight_summary(log_w)}
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    weights = reweighting.normalized_weights(log_w).numpy()
    report["basins"] = []
    report["files"] = []
    for k, names in enumerate(pairs):
        phi, psi = angles[:, 2 * k], angles[:, 2 * k + 1]
        basins = header.basins if names == ("phi", "psi") else ()
        if basins:
            labels = assign_basins(phi, psi, basins)
            rows = basin_populations(labels, log_w.numpy(), [b.name for b in basins], n_replicates=n_replicates, seed=seed)
            report["basins"] = [asdict(row) for row in rows]
        stem = "ramachandran" + names[0].removeprefix("phi")
        n_effective = report["effective_sample_size"]
        title = f"{header.system}, {header.temperature:g} K: {header.n_samples:,} draws, {n_effective:,.0f} effective"
        figure = ramachandran_figure(phi, psi, weights, n_effective, basins, names=names, title=title)
        figure.savefig(folder / f"{stem}.png", dpi=180)
        _save_surface(ramachandran(phi, psi, weights, suitable_bins(n_effective)), names, folder / stem)
        report["files"] += [f"{stem}{suffix}" for suffix in (".png", ".npz", ".csv")]
    result: dict[str, Any] = finite_or_none(report)
    (folder / "report.json").write_text(json.dumps(result, indent=2, allow_nan=False) + "\n")
    return result


def weight_summary(log_w: torch.Tensor) -> dict[str, Any]:
    """Counts, efficiencies and log Z of log-weights (n,), under the names that the command line prints."""
    estimate, error = reweighting.log_z(log_w)
    return {
        "n_samples": log_w.numel(),
        "effective_sample_size": reweighting.effective_sample_size(log_w),
        "sampling_efficiency": reweighting.sampling_efficiency(log_w),
        "sampling_efficiency_clipped": reweighting.sampling_efficiency(reweighting.clip_log_weights(log_w)),
        "largest_weight_share": reweighting.largest_weight_share(log_w),
        "log_z": estimate,
        "log_z_error": error,
        "fraction_outside_domain": float((log_w == -math.inf).double().mean()),
    }


def finite_or_none(value: Any) -> Any:
    """The same nested lists and dictionaries with every float that JSON cannot hold (inf, NaN) replaced by None."""
    if isinstance(value, dict):
        return {key: finite_or_none(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite_or_none(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _read(path: str | os.PathLike[str], pairs: list[tuple[str, str]]) -> tuple[torch.Tensor, np.ndarray]:
    """Log-weights float64 (n,), and the pairs' torsions float32 (n, 2 n_pairs) in radians."""
    names = tuple(name for pair in pairs for name in pair)
    log_w, angles = [], []
    for chunk in iter_samples(path):
        log_w.append(chunk.log_w)
        if names:
            angles.append(torsion_values(chunk, names))
    return torch.cat(log_w), np.concatenate(angles) if angles else np.zeros((0, 0), dtype=np.float32)


def _summary(header: SamplesHeader) -> dict[str, Any]:
    return {
        "system": header.system,
        "temperature": header.temperature,
        "domain": header.domain,
        "seed": header.seed,
        "boltzgen_version": header.version,
        "n_energy_evaluations": header.n_energy_evaluations,
    }


def _save_surface(surface: Ramachandran, names: tuple[str, str], stem: Path) -> None:
    centres, free_energy = surface.centres, surface.free_energy
    np.savez(stem.with_suffix(".npz"), centres=centres, free_energy=free_energy, probability=surface.probability, counts=surface.counts)
    with stem.with_suffix(".csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([f"{names[0]}_degrees", f"{names[1]}_degrees", "free_energy_kT", "probability", "count"])
        for i, j in np.ndindex(free_energy.shape):
            row = (centres[i], centres[j], free_energy[i, j], surface.probability[i, j])
            writer.writerow([*(f"{v:.8g}" for v in row), surface.counts[i, j]])
