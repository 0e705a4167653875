"""Free-energy surfaces of pairs of torsions as files: pictures, tables and arrays."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from boltzgen.analysis.findings import Findings
from boltzgen.analysis.output import Output
from boltzgen.analysis.panels import ramachandran_grid
from boltzgen.analysis.plots import surface_figure
from boltzgen.analysis.ramachandran import Ramachandran, suitable_bins
from boltzgen.molecule.basins import Basin, basins_over
from boltzgen.molecule.graph import backbone_pairs
from boltzgen.molecule.names import file_stem
from boltzgen.molecule.torsional import Pair
from boltzgen.samples.draws import Molecule
from boltzgen.storage import atomic_file, write_atomically, write_figure


@dataclass(frozen=True)
class Surface:
    """The surface of two torsions with what is said of it.

    Attributes:
        residue: that they are phi and psi of, ``"ALA 2"``; empty if they are others.
        names: of the torsions.
        histogram: the numbers.
        basins: that these torsions alone decide.
        shares: of the weight in each basin, (n_basins,), see `outlines.basin_shares`.
    """

    residue: str
    names: Pair
    histogram: Ramachandran
    basins: tuple[Basin, ...] = ()
    shares: np.ndarray | None = None


def save_surfaces(
    pairs: Sequence[Pair],
    findings: Findings,
    molecule: Molecule,
    output: Output,
    title: str,
) -> tuple[list[str], list[Surface]]:
    """Write each pair's surface and, of several, one picture of all; return the files and the surfaces.

    Args:
        pairs: names of the torsions.
        findings: of which they are the surfaces.
        molecule: of the torsions.
        output: where to, and how.
        title: of the pictures.
    """
    files: list[str] = []
    surfaces: list[Surface] = []
    backbone = backbone_pairs(molecule.torsions)
    n_bins = output.bins or suitable_bins(findings.weights["effective_sample_size"])
    for names in pairs:
        is_backbone = names in backbone
        stem = "ramachandran" + file_stem(names[0].removeprefix("phi")) if is_backbone else _stem(names)
        basins = basins_over(names, molecule.basins, molecule.regions)
        found = findings.surface(names, n_bins, basins)
        surface = found.histogram
        figure = surface_figure(
            surface, found.densities, basins, found.shares, names=names, title=title, **output.drawn_in
        )
        write_figure(output.picture(stem), figure)
        _save_arrays(surface, output.folder / f"{stem}.npz")
        _save_table(surface, names, output.table(stem), output)
        files += [output.picture(stem).name, f"{stem}.npz", output.table(stem).name]
        residue = _residue(molecule, names) if is_backbone else ""
        surfaces.append(Surface(residue, names, surface, basins, found.shares))
    if len(surfaces) > 1:
        # A residue's own picture may be called ramachandran.png, if there is one amino acid alone.
        together = output.picture("ramachandran" if list(pairs) == backbone else "surfaces")
        panels = [(one.residue, one.names, one.histogram) for one in surfaces]
        write_figure(together, ramachandran_grid(panels, title, **output.drawn_in))
        files.append(together.name)
    return files, surfaces


def _stem(names: Pair) -> str:
    return f"surface_{'_'.join(map(file_stem, names))}"


def _residue(molecule: Molecule, names: Pair) -> str:
    """Name and number of the amino acid that a phi belongs to: ``"ALA 2"``."""
    topology = molecule.mdtraj_topology
    if topology is None:
        return ""
    residue = topology.atom(molecule.torsions[names[0]][2]).residue.name
    return f"{residue} {names[0].removeprefix('phi')}".strip()


def _save_arrays(surface: Ramachandran, path: Path) -> None:
    """Everything of a surface as arrays, free energies in kT."""
    with atomic_file(path) as file:
        np.savez(
            file,
            centres=surface.centres,
            free_energy=surface.free_energy,
            probability=surface.probability,
            counts=surface.counts,
        )


def _save_table(surface: Ramachandran, names: Pair, path: Path, output: Output) -> None:
    """One row for each bin."""
    centres, free_energy = surface.centres, output.one_kt * surface.free_energy
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(
        [*(f"{name}_degrees" for name in names), f"free_energy_{output.unit}", "probability", "count"]
    )
    for i, j in np.ndindex(free_energy.shape):
        row = (centres[i], centres[j], free_energy[i, j], surface.probability[i, j])
        writer.writerow([*(f"{v:.8g}" for v in row), surface.counts[i, j]])
    write_atomically(path, text.getvalue().encode())
