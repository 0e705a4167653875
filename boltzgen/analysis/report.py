"""The analysis of conformations, in one folder: weights, populations, surfaces, profiles and pictures."""

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from boltzgen.analysis.curves import Curve, curve_along, save_curves, save_torsions
from boltzgen.analysis.output import Output
from boltzgen.analysis.panels import profile_figure
from boltzgen.analysis.profiles import profile, save_profile
from boltzgen.analysis.quantity import Quantity, check_finite, quantity
from boltzgen.analysis.source import Source, open_source
from boltzgen.analysis.surfaces import checked_pairs, save_surfaces
from boltzgen.free_energy.populations import basin_populations
from boltzgen.free_energy.result import warnings_of_weights
from boltzgen.free_energy.weight_summary import weight_summary
from boltzgen.molecule.graph import backbone_pairs, unpaired_torsions
from boltzgen.molecule.states import BASINS, DIVISIONS, Regions, States
from boltzgen.molecule.system import System
from boltzgen.molecule.torsions import alpha_carbons
from boltzgen.samples.draws import Molecule
from boltzgen.samples.measure import Measure
from boltzgen.samples.sizes import end_to_end_distance, radius_of_gyration
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.storage import finite_or_none, write_atomically, write_figure
from boltzgen.weights import normalized_weights, weighted_mean

#: What holds the numbers of an analysis.
REPORT = "report.json"
#: Of a size's profile.
_BINS = 50


def analyze(
    path: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    pairs: Sequence[tuple[str, str]] = (),
    along: Sequence[str] = (),
    bins: int | None = None,
    units: Literal["kT", "kJ/mol", "kcal/mol"] = "kT",
    format: Literal["png", "pdf", "svg"] = "png",
    system: System | str | Path | None = None,
    measure: Measure = "flexible-limit",
) -> dict[str, Any]:
    """Analyse conformations of a file and leave the results in a folder.

    Written there: `report.json` (what is returned), and

    * for each backbone pair of torsions `ramachandran.png`, `ramachandran.npz` (centres in degrees, free
      energy in kT, probability, counts) and `ramachandran.csv` (one row for each bin). Where there are
      several amino acids, these names end in the residue's number, and `ramachandran.png` is the surfaces of
      all residues in one picture. With `pairs` there are surfaces of these torsions instead, of others than
      phi and psi as ``surface_chi1_chi2``;
    * of a molecule without backbone pairs, the profiles of all its torsions: `torsions.csv`, `torsions.png`;
    * `radius_of_gyration.csv` and, of two amino acids or more, `end_to_end.csv`: weighted profiles with
      errors; both in `sizes.png`;
    * with `along`, ``profile_NAME.csv`` for each quantity, and all of them in `profiles.png`.

    In the report, `basins` is a list of `free_energy.BasinPopulation` as dictionaries, empty if the molecule
    has none; `regions` holds the same of each amino acid's regions of (phi, psi), by the residue's name,
    `rotamers` of each torsion's states, by the torsion's; `unpaired` names the phi and psi at ends of a chain
    without caps, which no region counts; `sizes` are weighted means with standard errors in
    nm, and `along` those of the quantities in their units (None of torsions, which have no mean on a line).
    Standard errors are None where `free_energy.result.warnings_of` warns of the weights.
    Infinite values (the free energy of an empty basin, an open end of an interval) are None; an interval
    with two of them is not estimated. Free energies of the report are in kT, whatever `units` is.

    Frames of a reference and of a trajectory have equal weights, and count as if they were independent of
    each other: intervals are too narrow where they are not. What weights say of themselves is None.

    Positions are read in chunks. A million samples of one amino acid take about 0.1 GB; 8 MB more for each
    further pair of torsions and each quantity, 1 MB for each rotamer, 2 MB for each residue.

    Args:
        path: a samples file (see `SamplesWriter`), the `reference.h5` of a simulation, or a trajectory in any
            format that MDTraj reads.
        output: folder, made if it is missing.
        pairs: names of two torsions each, whose surfaces are wanted in place of each residue's phi and psi.
        along: quantities along which profiles are wanted, as `analysis.quantity` describes them:
            ``"distance CA2 CA4"``, ``"cos(phi) + cos(psi)"``.
        bins: of each profile, and along either axis of a surface (default: as many as the draws fill).
        units: of free energies in tables and pictures.
        format: of pictures.
        system: the molecule, or the name or folder that `System.load` finds it by; see `open_source`.
        measure: of a constrained molecule's draws, see `samples.measure.weighted_for`. Any but the draws' own
            needs the molecule's masses: `system`, unless it ships.

    Raises:
        FileNotFoundError: no such file or system.
        ValueError: not a readable file, or none of its samples has any weight; a pair or a quantity that the
            molecule has not; or an unknown unit or format.
        OSError: the folder cannot be written.
    """
    source = open_source(path, system, measure=measure)
    how = Output(Path(output), source.temperature, units, format, bins)
    wanted = checked_pairs(pairs, source.molecule)
    quantities = list({one.text: one for one in (quantity(text, source.molecule) for text in along)}.values())
    values = _read(source, wanted, quantities)
    report = {"file": str(path), "source": source.kind, **source.about, **_weight_summary(source, values)}
    how.folder.mkdir(parents=True, exist_ok=True)

    report |= _populations(source.molecule, values)
    report["sizes"] = {name: _mean(lengths, values.weights, "nm") for name, lengths in values.sizes.items()}
    n_effective = report["effective_sample_size"]
    title = _title(source, n_effective)
    files = save_surfaces(wanted, values.torsions, values.weights, n_effective, source.molecule, how, title)
    if not backbone_pairs(source.molecule.torsions) and source.molecule.torsions:
        torsions = {name: values.torsions[name] for name in source.molecule.torsions}
        files += save_torsions(torsions, values.weights, how, title)
    files += _save_sizes(values, how, title)
    report["along"], more = _save_along(quantities, values, how, title)
    report["files"] = files + more
    result: dict[str, Any] = finite_or_none(report)
    text = json.dumps(result, indent=2, allow_nan=False) + "\n"
    write_atomically(how.folder / REPORT, text.encode())
    return result


@dataclass(frozen=True, eq=False)
class _Values:
    """What is kept of n samples.

    Attributes:
        log_w: log-weights, float64 (n,).
        torsions: float32 (n,) in radians, by name.
        states: of basins, residues and rotamers, integers (n,), by their names in `_states`.
        sizes: float32 (n,) in nm, by name.
        along: of the quantities that are asked for, float64 (n,) in their units, by their texts.
    """

    log_w: torch.Tensor
    torsions: dict[str, np.ndarray]
    states: dict[str, np.ndarray]
    sizes: dict[str, np.ndarray]
    along: dict[str, np.ndarray]

    @cached_property
    def weights(self) -> np.ndarray:
        return normalized_weights(self.log_w).numpy()


def _read(source: Source, pairs: Sequence[tuple[str, str]], quantities: Sequence[Quantity]) -> _Values:
    molecule = source.molecule
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    if not backbone_pairs(molecule.torsions):
        names = list(molecule.torsions)
    counted, measures = _states(molecule), _sizes(molecule)
    n, start = source.n, 0
    log_w = torch.empty(n, dtype=torch.float64)
    torsions: dict[str, np.ndarray] = {}
    states: dict[str, np.ndarray] = {}
    sizes: dict[str, np.ndarray] = {}
    along: dict[str, np.ndarray] = {}
    for chunk in source.chunks():
        log_w[start : start + len(chunk)] = chunk.log_w
        _put(torsions, {name: chunk.torsion(name).numpy() for name in names}, start, n)
        _put(states, {name: found.labels(chunk.x) for name, found in counted.items()}, start, n)
        _put(sizes, {name: measure(chunk).numpy() for name, measure in measures.items()}, start, n)
        _put(along, {one.text: one(chunk).numpy() for one in quantities}, start, n)
        start += len(chunk)
    for text, values in along.items():
        check_finite(torch.from_numpy(values), log_w, text)
    return _Values(log_w, torsions, states, sizes, along)


def _put(columns: dict[str, np.ndarray], part: dict[str, np.ndarray], start: int, n: int) -> None:
    """Put values of consecutive samples into their places in arrays of n, made when they are first needed."""
    for name, values in part.items():
        if name not in columns:
            columns[name] = np.empty(n, values.dtype)
        columns[name][start : start + len(values)] = values


def _sizes(molecule: Molecule) -> dict[str, Callable[[WeightedSamples], torch.Tensor]]:
    """Functions that measure how large a molecule is, by name."""
    found: dict[str, Callable[[WeightedSamples], torch.Tensor]] = {"radius_of_gyration": radius_of_gyration}
    topology = molecule.mdtraj_topology
    if topology is None:
        raise ValueError("this file has no topology; draw the samples again, or give `system`")
    if len(alpha_carbons(topology)) >= 2:
        found["end_to_end"] = end_to_end_distance
    return found


def _states(molecule: Molecule) -> dict[str, States]:
    """Everything that is counted, by name: the basins (`BASINS`), residues' regions and rotamers."""
    groups = ({BASINS: molecule.basins} if molecule.basins else {}) | dict(molecule.regions)
    return {
        **{name: Regions.of(basins, molecule.torsions, molecule.rotamers) for name, basins in groups.items()},
        **molecule.rotamers,
    }


def _weight_summary(source: Source, values: _Values) -> dict[str, Any]:
    """What the weights say of themselves; of frames that have none only how many they are."""
    found = weight_summary(values.log_w)
    if source.is_weighted:
        return found
    return dict.fromkeys(found) | {"n_samples": source.n, "effective_sample_size": float(source.n)}


def _populations(molecule: Molecule, values: _Values) -> dict[str, Any]:
    found = {
        name: [asdict(r) for r in basin_populations(values.states[name], values.log_w.numpy(), states.names)]
        for name, states in _states(molecule).items()
    }
    return {
        "basins": found.get(BASINS, []),
        "regions": {name: found[name] for name in molecule.regions},
        "rotamers": {
            name: [
                row | {"from_degrees": low, "to_degrees": high}
                for row, (low, high) in zip(found[name], DIVISIONS[one.division].arcs, strict=True)
            ]
            for name, one in molecule.rotamers.items()
        },
        "unpaired": unpaired_torsions(molecule.torsions),
    }


def _mean(values: np.ndarray, weights: np.ndarray, unit: str) -> dict[str, Any]:
    mean, error = weighted_mean(values, weights)
    return {"mean": mean, "standard_error": None if warnings_of_weights(weights) else error, "unit": unit}


def _title(source: Source, n_effective: float) -> str:
    """What is written over the pictures."""
    counted = (
        f"{source.n:,} draws, {n_effective:,.0f} effective" if source.is_weighted else f"{source.n:,} frames"
    )
    measure = ", constrained dynamics" if source.about["measure"] == "constrained-dynamics" else ""
    return f"{source.about['system']}, {source.temperature:g} K{measure}: {counted}"


def _save_sizes(values: _Values, output: Output, title: str) -> list[str]:
    """Write a profile of each size and the picture of all, and return the files' names."""
    bins = output.bins or _BINS
    profiles = {name: profile(lengths, values.weights, bins) for name, lengths in values.sizes.items()}
    for name, found in profiles.items():
        save_profile(found, name, output.table(name), unit=output.unit, one_kt=output.one_kt)
    write_figure(output.picture("sizes"), profile_figure(profiles, title, **output.drawn_in))
    return [*(output.table(name).name for name in profiles), output.picture("sizes").name]


def _save_along(
    quantities: Sequence[Quantity], values: _Values, output: Output, title: str
) -> tuple[dict[str, Any], list[str]]:
    """Write the profiles along quantities; return what is said of each, and the files' names."""
    if not quantities:
        return {}, []
    found: dict[str, Any] = {}
    curves: list[Curve] = []
    for one in quantities:
        column = values.along[one.text]
        curves.append(curve_along(one, column, values.weights, output.bins))
        known = {"mean": None, "standard_error": None, "unit": one.unit}
        found[one.text] = known if one.is_torsion else _mean(column, values.weights, one.unit)
    files = save_curves(curves, output, title)
    for text in found:
        found[text]["file"] = files[text]
    return found, list(files.values())
