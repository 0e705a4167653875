"""The analysis of conformations, in one folder: weights, populations, surfaces, profiles and pictures."""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal

from boltzgen.analysis.curves import Curve, save_curves, save_torsions
from boltzgen.analysis.findings import Findings, SampleFindings
from boltzgen.analysis.html.chosen import Chooser
from boltzgen.analysis.html.content import Content
from boltzgen.analysis.html.page import save_page
from boltzgen.analysis.notes import notes_on_states
from boltzgen.analysis.output import Output
from boltzgen.analysis.panels import profile_figure
from boltzgen.analysis.pooled_source import pooled_source
from boltzgen.analysis.profiles import save_profile
from boltzgen.analysis.subject import Subject, counted, of_statistics
from boltzgen.analysis.surfaces import Surface, save_surfaces
from boltzgen.analysis.values import read_values
from boltzgen.document.page import checked_page
from boltzgen.molecule.graph import backbone_pairs, unpaired_torsions
from boltzgen.molecule.states import BASINS, DIVISIONS
from boltzgen.molecule.system import System
from boltzgen.molecule.torsional import checked_pairs
from boltzgen.samples.draws import Molecule, known_topology
from boltzgen.samples.measure import Measure
from boltzgen.samples.quantity import Quantity, quantity
from boltzgen.statistics.file import is_statistics
from boltzgen.statistics.plan import TORSION_CELLS
from boltzgen.storage import finite_or_none, write_atomically, write_figure

#: What holds the numbers of an analysis.
REPORT = "report.json"
#: Of a size's profile.
_BINS = 50
#: Above so many draws of one seed memory does not grow any more.
MANY = 2_000_000


def analyze(
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
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
    * `radius_of_gyration.csv` and, of three amino acids or more, `end_to_end.csv`: weighted profiles with
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

    `doubt` is what the forward test of the generator found after training if it failed, and else empty. Of
    several samples `agreement` says for each state, by the names of `basin`, residues and torsions,
    whether they agree (`free_energy.agreement.Agreement`), in the order of `series`; `missing` says which
    shards are not there. Statistics have no conformations: their surfaces and quantities are those that were
    asked for when they were drawn, `bins` of torsions are whole degrees wide, and there is no page.

    Positions are read in chunks, and memory is that of numbers: a million samples of one amino acid take
    about 0.1 GB, 8 MB more for each further pair of torsions and each quantity. Above two million draws of
    one seed memory does not grow any more: they are counted in fine cells, as statistics are. A page,
    a `system`, a `measure`, several seeds, `bins` that are no whole degrees, and quantities without a unit
    want the numbers of each draw.

    Args:
        path: a samples file (see `SamplesWriter`), a file of statistics, the `reference.h5` of a simulation,
            or a trajectory in any format that MDTraj reads. Of several samples files the draws are pooled:
            shards of one run, and samples of other seeds, whose populations are compared. Of statistics,
            several are shards of one run.
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
    paths = [Path(path)] if isinstance(path, str | os.PathLike) else [Path(one) for one in path]
    if not paths:
        raise ValueError("expected at least one file to analyse, got none")
    page = None if html is None else checked_page(html)
    if any(is_statistics(one) for one in paths):
        if page is not None:
            raise ValueError(
                "`html` shows conformations, of which statistics hold none; leave it out, or give samples "
                "files"
            )
        if system is not None or measure != "flexible-limit":
            raise ValueError(
                "statistics were counted while drawing, as their file says; leave out `system` and `measure`"
            )
        subject = of_statistics(paths, pairs, along, bins)
        how = Output(Path(output), subject.temperature, units, format, bins)
        result, _, _ = _written(subject, how, None)
        return result
    source, gaps = pooled_source(paths, system, measure=measure)
    how = Output(Path(output), source.temperature, units, format, bins)
    wanted = checked_pairs(pairs, source.molecule)
    quantities = list({one.text: one for one in (quantity(text, source.molecule) for text in along)}.values())
    plain = page is None and system is None and measure == "flexible-limit" and len(source.series) < 2
    in_cells = (bins is None or TORSION_CELLS % bins == 0) and all(one.unit for one in quantities)
    if source.kind == "samples" and source.n > MANY and plain and in_cells:
        result, _, _ = _written(counted(paths, source, gaps, wanted, along), how, None)
        return result
    chooser = None if page is None else Chooser(known_topology(source.molecule).n_atoms)
    values = read_values(source, wanted, quantities, chooser)
    subject = Subject(
        paths,
        source.kind,
        source.molecule,
        source.about,
        gaps,
        wanted,
        quantities,
        SampleFindings(source, values),
    )
    result, surfaces, curves = _written(subject, how, page)
    if page is not None and chooser is not None:
        save_page(page, Content(result, source, how, values, surfaces, curves, chooser.chosen()))
    return result


def _written(
    subject: Subject, how: Output, page: Path | None
) -> tuple[dict[str, Any], list[Surface], list[Curve]]:
    """Write everything but the page; return the report, the surfaces and the profiles."""
    findings, molecule, title = subject.findings, subject.molecule, subject.title
    report = {"file": subject.file, "source": subject.kind, **subject.about, **findings.weights}
    how.folder.mkdir(parents=True, exist_ok=True)
    report |= _populations(molecule, findings)
    agreements = findings.agreement()
    report["agreement"] = agreements and {k: [asdict(one) for one in rows] for k, rows in agreements.items()}
    report["series"], report["missing"] = list(subject.series), list(subject.missing)
    files, surfaces = save_surfaces(subject.pairs, findings, molecule, how, title)
    curves: list[Curve] = []
    if not backbone_pairs(molecule.torsions) and molecule.torsions:
        curves = [findings.torsion(name, how.bins) for name in molecule.torsions]
        files += save_torsions(curves, how, title)
    more, sizes = _save_sizes(findings, how, title)
    report["sizes"] = {one.name: _mean(findings, one.name, one.unit) for one in sizes}
    report["along"], others, profiles = _save_along(subject.quantities, findings, how, title)
    report["files"] = [*files, *more, *others]
    report["html"] = None if page is None else str(page)
    result: dict[str, Any] = finite_or_none(report)
    text = json.dumps(result, indent=2, allow_nan=False) + "\n"
    write_atomically(how.folder / REPORT, text.encode())
    return result, surfaces, [*curves, *sizes, *profiles]


def _populations(molecule: Molecule, findings: Findings) -> dict[str, Any]:
    found = {name: [asdict(row) for row in rows] for name, rows in findings.populations().items()}
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


def _mean(findings: Findings, name: str, unit: str) -> dict[str, Any]:
    mean, error = findings.mean(name)
    return {"mean": mean, "standard_error": error, "unit": unit}


def _save_sizes(findings: Findings, output: Output, title: str) -> tuple[list[str], list[Curve]]:
    """Write a profile of each size and the picture of all; return the files' names, and the profiles."""
    profiles = findings.sizes(output.bins or _BINS)
    for name, found in profiles.items():
        save_profile(found, name, output.table(name), unit=output.unit, one_kt=output.one_kt)
    write_figure(output.picture("sizes"), profile_figure(profiles, title, **output.drawn_in))
    files = [*(output.table(name).name for name in profiles), output.picture("sizes").name]
    return files, [Curve(name, "nm", found) for name, found in profiles.items()]


def _save_along(
    quantities: Sequence[Quantity], findings: Findings, output: Output, title: str
) -> tuple[dict[str, Any], list[str], list[Curve]]:
    """Write the profiles along quantities; return what is said of each, the files, and the profiles."""
    found: dict[str, Any] = {}
    curves: list[Curve] = []
    for one in quantities:
        curve = findings.along(one, output.bins)
        if curve is not None:
            curves.append(curve)
        known = {"mean": None, "standard_error": None, "unit": one.unit}
        found[one.text] = known if one.is_torsion else _mean(findings, one.text, one.unit)
    files = save_curves(curves, output, title) if curves else {}
    for text in found:
        found[text]["file"] = files.get(text)
    return found, list(files.values()), curves
