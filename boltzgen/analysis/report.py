"""The analysis of a samples file, in one folder: weights, populations, surfaces, sizes and pictures."""

import csv
import io
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np
import torch

from boltzgen.analysis.panels import profile_figure, ramachandran_grid
from boltzgen.analysis.plots import ramachandran_figure
from boltzgen.analysis.profiles import profile, save_profile
from boltzgen.analysis.ramachandran import Ramachandran, ramachandran, suitable_bins
from boltzgen.free_energy.populations import basin_populations
from boltzgen.free_energy.weight_summary import weight_summary
from boltzgen.molecule.basins import basins_over
from boltzgen.molecule.graph import backbone_pairs
from boltzgen.molecule.names import file_stem
from boltzgen.molecule.states import BASINS, Regions, States
from boltzgen.molecule.torsions import alpha_carbons
from boltzgen.samples.file import iter_samples, read_header, read_topology
from boltzgen.samples.header import SamplesHeader
from boltzgen.samples.sizes import end_to_end_distance, radius_of_gyration
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.storage import atomic_file, finite_or_none, write_atomically, write_figure
from boltzgen.weights import normalized_weights, weighted_mean

#: What holds the numbers of an analysis.
REPORT = "report.json"


def analyze(path: str | os.PathLike[str], output: str | os.PathLike[str]) -> dict[str, Any]:
    """Analyse a samples file and leave the results in a folder.

    Written there: `report.json` (what is returned), and

    * for each backbone pair of torsions `ramachandran.png`, `ramachandran.npz` (centres in degrees, free
      energy in kT, probability, counts) and `ramachandran.csv` (one row for each bin). Where there are
      several amino acids, these names end in the residue's number, and `ramachandran.png` is the surfaces of
      all residues in one picture;
    * `radius_of_gyration.csv` and, of two amino acids or more, `end_to_end.csv`: weighted profiles with
      errors; both in `sizes.png`.

    In the report, `basins` is a list of `free_energy.BasinPopulation` as dictionaries, empty if the molecule
    has none; `regions` holds the same of each amino acid's regions of (phi, psi), by the residue's name,
    `rotamers` of each torsion's states, by the torsion's; `sizes` are weighted means with standard errors in
    nm. Infinite values (the free energy of an empty basin, an open end of an interval) are None; an interval
    with two of them is not estimated.

    Positions are read in chunks. A million samples of one amino acid take about 0.1 GB; 8 MB more for each
    further pair of torsions, 1 MB for each rotamer, 2 MB for each residue.

    Args:
        path: a samples file, see `SamplesWriter`.
        output: folder, made if it is missing.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a readable samples file, or none of its samples has any weight.
        OSError: the folder cannot be written.
    """
    header = read_header(path)
    if header.n_samples == 0:
        raise ValueError(f"{path} holds no samples; expected at least one")
    topology = read_topology(path)
    values = _read(path, header, topology)
    report = {"file": str(path), **_summary(header), **weight_summary(values.log_w)}
    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)

    populations = {
        name: [asdict(r) for r in basin_populations(values.states[name], values.log_w.numpy(), states.names)]
        for name, states in _states(header).items()
    }
    report["basins"] = populations.get(BASINS, [])
    report["regions"] = {name: populations[name] for name in header.regions}
    report["rotamers"] = {name: populations[name] for name in header.rotamers}
    report["sizes"] = {name: _mean(lengths, values.weights) for name, lengths in values.sizes.items()}
    n_effective = report["effective_sample_size"]
    title = (
        f"{header.system}, {header.temperature:g} K: {header.n_samples:,} draws, {n_effective:,.0f} effective"
    )
    report["files"] = _save_surfaces(values, n_effective, header, topology, folder, title) + _save_profiles(
        values, folder, title
    )
    result: dict[str, Any] = finite_or_none(report)
    text = json.dumps(result, indent=2, allow_nan=False) + "\n"
    write_atomically(folder / REPORT, text.encode())
    return result


@dataclass(frozen=True, eq=False)
class _Values:
    """What is kept of n samples.

    Attributes:
        log_w: log-weights, float64 (n,).
        torsions: float32 (n,) in radians, by name.
        states: of basins, residues and rotamers, integers (n,), by their names in `_states`.
        sizes: float32 (n,) in nm, by name.
    """

    log_w: torch.Tensor
    torsions: dict[str, np.ndarray]
    states: dict[str, np.ndarray]
    sizes: dict[str, np.ndarray]

    @cached_property
    def weights(self) -> np.ndarray:
        return normalized_weights(self.log_w).numpy()


def _read(path: str | os.PathLike[str], header: SamplesHeader, topology: mdtraj.Topology) -> _Values:
    names = tuple(name for pair in backbone_pairs(header.torsions) for name in pair)
    measures: dict[str, Callable[[WeightedSamples], torch.Tensor]] = {
        "radius_of_gyration": radius_of_gyration
    }
    if len(alpha_carbons(topology)) >= 2:
        measures["end_to_end"] = end_to_end_distance
    counted = _states(header)
    n, start = header.n_samples, 0
    log_w = torch.empty(n, dtype=torch.float64)
    torsions: dict[str, np.ndarray] = {}
    states: dict[str, np.ndarray] = {}
    sizes: dict[str, np.ndarray] = {}
    for chunk in iter_samples(path):
        log_w[start : start + len(chunk)] = chunk.log_w
        _put(torsions, {name: chunk.torsion(name).numpy() for name in names}, start, n)
        _put(states, {name: found.labels(chunk.x) for name, found in counted.items()}, start, n)
        _put(sizes, {name: measure(chunk).numpy() for name, measure in measures.items()}, start, n)
        start += len(chunk)
    return _Values(log_w, torsions, states, sizes)


def _put(columns: dict[str, np.ndarray], part: dict[str, np.ndarray], start: int, n: int) -> None:
    """Put values of consecutive samples into their places in arrays of n, made when they are first needed."""
    for name, values in part.items():
        if name not in columns:
            columns[name] = np.empty(n, values.dtype)
        columns[name][start : start + len(values)] = values


def _states(header: SamplesHeader) -> dict[str, States]:
    """Everything that is counted, by name: the basins (`BASINS`), residues' regions and rotamers."""
    groups = ({BASINS: header.basins} if header.basins else {}) | header.regions
    return {
        **{name: Regions.of(basins, header.torsions, header.rotamers) for name, basins in groups.items()},
        **header.rotamers,
    }


def _mean(values: np.ndarray, weights: np.ndarray) -> dict[str, Any]:
    mean, error = weighted_mean(values, weights)
    return {"mean": mean, "standard_error": error, "unit": "nm"}


def _summary(header: SamplesHeader) -> dict[str, Any]:
    return {
        "system": header.system,
        "temperature": header.temperature,
        "domain": header.domain,
        "seed": header.seed,
        "boltzgen_version": header.version,
        "n_energy_evaluations": header.n_energy_evaluations,
    }


def _save_surfaces(
    values: _Values,
    n_effective: float,
    header: SamplesHeader,
    topology: mdtraj.Topology,
    folder: Path,
    title: str,
) -> list[str]:
    """Write each residue's surface and, of several, one picture of all; return the files' names."""
    files, surfaces = [], []
    for names in backbone_pairs(header.torsions):
        phi, psi = (values.torsions[name] for name in names)
        stem = "ramachandran" + file_stem(names[0].removeprefix("phi"))
        basins = basins_over(names, header.basins, header.regions)
        figure = ramachandran_figure(phi, psi, values.weights, n_effective, basins, names=names, title=title)
        write_figure(folder / f"{stem}.png", figure)
        surface = ramachandran(phi, psi, values.weights, suitable_bins(n_effective))
        _save_surface(surface, names, folder / stem)
        files += [f"{stem}{suffix}" for suffix in (".png", ".npz", ".csv")]
        residue = topology.atom(header.torsions[names[0]][2]).residue.name
        surfaces.append((f"{residue} {names[0].removeprefix('phi')}".strip(), names, surface))
    if len(surfaces) > 1:
        write_figure(folder / "ramachandran.png", ramachandran_grid(surfaces, title))
        files.append("ramachandran.png")
    return files


def _save_profiles(values: _Values, folder: Path, title: str) -> list[str]:
    """Write a profile of each size and the picture of all, and return the files' names."""
    profiles = {name: profile(lengths, values.weights) for name, lengths in values.sizes.items()}
    for name, found in profiles.items():
        save_profile(found, name, folder / f"{name}.csv")
    write_figure(folder / "sizes.png", profile_figure(profiles, title))
    return [*(f"{name}.csv" for name in profiles), "sizes.png"]


def _save_surface(surface: Ramachandran, names: tuple[str, str], stem: Path) -> None:
    centres, free_energy = surface.centres, surface.free_energy
    with atomic_file(stem.with_name(f"{stem.name}.npz")) as file:
        np.savez(
            file,
            centres=centres,
            free_energy=free_energy,
            probability=surface.probability,
            counts=surface.counts,
        )
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow([f"{names[0]}_degrees", f"{names[1]}_degrees", "free_energy_kT", "probability", "count"])
    for i, j in np.ndindex(free_energy.shape):
        row = (centres[i], centres[j], free_energy[i, j], surface.probability[i, j])
        writer.writerow([*(f"{v:.8g}" for v in row), surface.counts[i, j]])
    write_atomically(stem.with_name(f"{stem.name}.csv"), text.getvalue().encode())
