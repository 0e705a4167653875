"""The analysis of conformations, in one folder: weights, populations, surfaces, profiles and pictures."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

import numpy as np

from boltzgen.analysis.curves import Curve, curve_along, save_curves, save_torsions
from boltzgen.analysis.html.chosen import Chooser
from boltzgen.analysis.html.content import Content
from boltzgen.analysis.html.page import checked_page, save_page
from boltzgen.analysis.notes import notes_on_states
from boltzgen.analysis.output import Output
from boltzgen.analysis.panels import profile_figure
from boltzgen.analysis.profiles import profile, save_profile
from boltzgen.analysis.quantity import Quantity, quantity
from boltzgen.analysis.source import Source, open_source
from boltzgen.analysis.surfaces import checked_pairs, save_surfaces
from boltzgen.analysis.values import Values, counted_states, known_topology, read_values
from boltzgen.free_energy.populations import basin_populations
from boltzgen.free_energy.result import warnings_of_weights
from boltzgen.free_energy.weight_summary import weight_summary
from boltzgen.molecule.graph import backbone_pairs, unpaired_torsions
from boltzgen.molecule.states import BASINS, DIVISIONS
from boltzgen.molecule.system import System
from boltzgen.samples.draws import Molecule
from boltzgen.samples.measure import Measure
from boltzgen.storage import finite_or_none, write_atomically, write_figure
from boltzgen.weights import weighted_mean

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
    html: str | os.PathLike[str] | None = None,
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

    With `html`, one file besides that any browser shows, with the same numbers and up to 300 conformations;
    see `html.page.save_page`.

    In the report, `basins` is a list of `free_energy.BasinPopulation` as dictionaries, empty if the molecule
    has none; `regions` holds the same of each amino acid's regions of (phi, psi), by the residue's name,
    `rotamers` of each torsion's states, by the torsion's; `unpaired` names the phi and psi at ends of a chain
    without caps, which no region counts; `notes` say what names of states do not; `sizes` are weighted means
    with standard errors in nm, and `along` those of the quantities in their units (None of torsions, which
    have no mean on a line). Standard errors are None where `free_energy.result.warnings_of` warns of the
    weights.
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
        html: a file to be written besides, which ends in .html; one that exists is replaced.

    Raises:
        FileNotFoundError: no such file or system, or no folder for `html`.
        ValueError: not a readable file, or none of its samples has any weight; a pair or a quantity that the
            molecule has not; an unknown unit or format; or another name than ``*.html``.
        OSError: the folder cannot be written.
    """
    source = open_source(path, system, measure=measure)
    how = Output(Path(output), source.temperature, units, format, bins)
    page = None if html is None else checked_page(html)
    wanted = checked_pairs(pairs, source.molecule)
    quantities = list({one.text: one for one in (quantity(text, source.molecule) for text in along)}.values())
    chooser = None if page is None else Chooser(known_topology(source.molecule).n_atoms)
    values = read_values(source, wanted, quantities, chooser)
    report = {"file": str(path), "source": source.kind, **source.about, **_weight_summary(source, values)}
    how.folder.mkdir(parents=True, exist_ok=True)

    report |= _populations(source.molecule, values)
    report["sizes"] = {name: _mean(lengths, values.weights, "nm") for name, lengths in values.sizes.items()}
    n_effective = report["effective_sample_size"]
    title = _title(source, n_effective)
    files, surfaces = save_surfaces(
        wanted, values.torsions, values.weights, n_effective, source.molecule, how, title
    )
    curves: list[Curve] = []
    if not backbone_pairs(source.molecule.torsions) and source.molecule.torsions:
        torsions = {name: values.torsions[name] for name in source.molecule.torsions}
        more, curves = save_torsions(torsions, values.weights, how, title)
        files += more
    more, sizes = _save_sizes(values, how, title)
    report["along"], others, profiles = _save_along(quantities, values, how, title)
    report["files"] = [*files, *more, *others]
    report["html"] = None if page is None else str(page)
    result: dict[str, Any] = finite_or_none(report)
    if page is not None and chooser is not None:
        curves = [*curves, *sizes, *profiles]
        save_page(page, Content(result, source, how, values, surfaces, curves, chooser.chosen()))
    text = json.dumps(result, indent=2, allow_nan=False) + "\n"
    write_atomically(how.folder / REPORT, text.encode())
    return result


def _weight_summary(source: Source, values: Values) -> dict[str, Any]:
    """What the weights say of themselves; of frames that have none only how many they are."""
    found = weight_summary(values.log_w)
    if source.is_weighted:
        return found
    return dict.fromkeys(found) | {"n_samples": source.n, "effective_sample_size": float(source.n)}


def _populations(molecule: Molecule, values: Values) -> dict[str, Any]:
    found = {
        name: [asdict(r) for r in basin_populations(values.states[name], values.log_w.numpy(), states.names)]
        for name, states in counted_states(molecule).items()
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
        "notes": notes_on_states(molecule.rotamers),
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


def _save_sizes(values: Values, output: Output, title: str) -> tuple[list[str], list[Curve]]:
    """Write a profile of each size and the picture of all; return the files' names, and the profiles."""
    bins = output.bins or _BINS
    profiles = {name: profile(lengths, values.weights, bins) for name, lengths in values.sizes.items()}
    for name, found in profiles.items():
        save_profile(found, name, output.table(name), unit=output.unit, one_kt=output.one_kt)
    write_figure(output.picture("sizes"), profile_figure(profiles, title, **output.drawn_in))
    files = [*(output.table(name).name for name in profiles), output.picture("sizes").name]
    return files, [Curve(name, "nm", found) for name, found in profiles.items()]


def _save_along(
    quantities: Sequence[Quantity], values: Values, output: Output, title: str
) -> tuple[dict[str, Any], list[str], list[Curve]]:
    """Write the profiles along quantities; return what is said of each, the files, and the profiles."""
    if not quantities:
        return {}, [], []
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
    return found, list(files.values()), curves
