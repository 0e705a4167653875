"""What the page of an analysis shows, as plain values for JSON."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import mdtraj
import numpy as np
from matplotlib import colormaps

from boltzgen.analysis.curves import Curve
from boltzgen.analysis.html.chosen import Chosen
from boltzgen.analysis.outlines import Outlines
from boltzgen.analysis.output import Output
from boltzgen.analysis.scales import scale_top
from boltzgen.analysis.source import Source
from boltzgen.analysis.surfaces import Surface
from boltzgen.analysis.values import Values
from boltzgen.figures import resolved, symbol
from boltzgen.molecule.torsional import counted_states
from boltzgen.samples.draws import known_topology
from boltzgen.storage import finite_or_none
from boltzgen.units import percent

#: Colours of free energies, from low to high.
_N_COLORS = 64
#: Angstrom in a nanometre, and decimals of an Angstrom that positions are given with.
_ANGSTROM, _DECIMALS = 10.0, 1000.0


@dataclass(frozen=True, eq=False)
class Content:
    """Everything that the page shows.

    Attributes:
        report: what `report.json` holds.
        source: of the conformations.
        output: units.
        values: of all conformations.
        surfaces: over two torsions.
        curves: profiles.
        chosen: conformations that are shown; on the page they stand by state, see `shown`.
    """

    report: dict[str, Any]
    source: Source
    output: Output
    values: Values
    surfaces: Sequence[Surface]
    curves: Sequence[Curve]
    chosen: Chosen

    def data(self) -> dict[str, Any]:
        """All of it as numbers, texts, lists and dictionaries.

        Energies are in the unit of `output`, positions in thousandths of an Angstrom, torsions in degrees.
        """
        top = max((scale_top(one.histogram, self.output.one_kt) for one in self.surfaces), default=0)
        plain = {
            "report": self.report,
            "unit": self.output.unit,
            "atoms": self._atoms(),
            "bonds": [[a.index, b.index] for a, b in self._topology.bonds],
            "conformations": self._conformations(),
            "groups": self._groups(),
            "surfaces": [self._surface(one) for one in self.surfaces],
            "curves": [self._curve(one) for one in self.curves],
            "top": top,
            "colors": _colors(),
        }
        found: dict[str, Any] = finite_or_none(plain)
        return found

    @cached_property
    def shown(self) -> Chosen:
        """The chosen conformations in the order of the page: by state, the states with most weight first."""
        counted = counted_states(self.source.molecule)
        # Basins and regions; of a molecule that has none, its rotamers.
        names = [name for name in counted if name not in self.report["rotamers"]] or list(counted)
        index = self.chosen.index
        labels = np.stack([np.zeros(len(index), int), *(self.values.states[name][index] for name in names)])
        _, state = np.unique(labels, axis=1, return_inverse=True)
        state = state.ravel()
        weight = np.bincount(state, self.values.weights[index])[state]
        order = np.lexsort((index, state, -weight))
        return Chosen(index[order], self.chosen.x[order])

    @cached_property
    def _topology(self) -> mdtraj.Topology:
        return known_topology(self.source.molecule)

    def _atoms(self) -> list[list[Any]]:
        """Name, element, residue and its number, chain."""
        return [
            [
                atom.name,
                atom.element.symbol,
                atom.residue.name,
                atom.residue.resSeq,
                atom.residue.chain.index,
            ]
            for atom in self._topology.atoms
        ]

    def _conformations(self) -> dict[str, Any]:
        """Which they are, their weights relative to the mean, and their positions, superposed."""
        index = self.shown.index
        weights = self.values.weights[index] * len(self.values.weights)
        x = superposed(self.shown.x, self._topology, int(np.argmax(weights)) if len(index) else 0)
        return {
            "draw": index.tolist(),
            "weight": [float(f"{w:.4g}") for w in weights],
            "x": np.rint(x.reshape(len(x), -1) * _ANGSTROM * _DECIMALS).astype(int).tolist(),
        }

    def _groups(self) -> list[dict[str, Any]]:
        """The state of each conformation in everything that is counted."""
        return [
            {"name": name, "states": list(states.names), "labels": self._shown(self.values.states[name])}
            for name, states in counted_states(self.source.molecule).items()
        ]

    def _surface(self, surface: Surface) -> dict[str, Any]:
        histogram, torsions = surface.histogram, self.source.molecule.torsions
        values = [self.values.torsions[name][self.shown.index] for name in surface.names]
        # Cells with draws alone: number of the cell, free energy, probability, draws.
        flat = np.flatnonzero(histogram.counts)
        columns = (
            self.output.one_kt * histogram.free_energy.flat[flat],
            histogram.probability.flat[flat],
        )
        outlines = Outlines.of(surface.names, surface.basins, histogram)
        return {
            "residue": surface.residue,
            "names": list(surface.names),
            "symbols": [symbol(name) for name in surface.names],
            "bins": len(histogram.counts),
            "cells": [
                flat.tolist(),
                *(_rounded(column, 6) for column in columns),
                histogram.counts.flat[flat].tolist(),
            ],
            "values": [_rounded(np.degrees(column), 4) for column in values],
            "atoms": sorted({i for name in surface.names for i in torsions[name]}),
            "lines": outlines.lines,
            "labels": [
                {
                    "x": x,
                    "y": y,
                    "name": surface.basins[k].name,
                    "share": _share(surface.shares, k),
                }
                for k, (x, y) in outlines.places.items()
            ],
        }

    def _curve(self, curve: Curve) -> dict[str, Any]:
        found, scale = curve.profile, self.output.one_kt
        low, high = found.free_energy_interval
        return {
            "name": curve.name,
            "label": curve.label,
            "unit": curve.unit,
            "torsion": curve.is_torsion,
            "edges": _rounded(found.edges, 7),
            "free_energy": _rounded(scale * found.free_energy, 6),
            "low": _rounded(scale * low, 6),
            "high": _rounded(scale * high, 6),
            "probability": _rounded(found.probability, 6),
            "counts": found.counts.tolist(),
            "top": scale * resolved(found.n_effective, float(found.probability.max())),
            "values": _rounded(self._column(curve), 5),
        }

    def _column(self, curve: Curve) -> np.ndarray:
        """What a curve is along, of each conformation that is shown, in the curve's unit."""
        index, values = self.shown.index, self.values
        if curve.name in values.along:
            return values.along[curve.name][index]
        if curve.name in values.sizes:
            return values.sizes[curve.name][index]
        return np.degrees(values.torsions[curve.name][index])

    def _shown(self, column: np.ndarray) -> list[int]:
        found: list[int] = column[self.shown.index].tolist()
        return found


def superposed(x: np.ndarray, topology: mdtraj.Topology, reference: int) -> np.ndarray:
    """Positions (m, n_atoms, 3) turned onto those of one by their heavy atoms, the reference centred."""
    if len(x) == 0:
        return x
    heavy = [atom.index for atom in topology.atoms if atom.element.symbol != "H"]
    # Fewer than three atoms do not say how a molecule is turned.
    used = heavy if len(heavy) > 2 else list(range(topology.n_atoms))
    x = x.astype(np.float64)
    x -= x[:, used].mean(axis=1, keepdims=True)
    # Kabsch: of the covariance U S V^T with the reference, the rotation U V^T without a reflection.
    left, _, right = np.linalg.svd(np.einsum("mai,aj->mij", x[:, used], x[reference, used]))
    left[:, :, 2] *= np.sign(np.linalg.det(left @ right))[:, None]
    return np.asarray(x @ (left @ right))


def _rounded(values: np.ndarray, digits: int) -> list[float]:
    """To significant digits, which keeps a file small."""
    return [float(f"{value:.{digits}g}") for value in np.asarray(values, dtype=np.float64).tolist()]


def _colors() -> list[str]:
    """Viridis as ``#rrggbb``, dark first: told apart by those who do not see all colours, and in grey."""
    steps = (255 * colormaps["viridis"](np.linspace(0.0, 1.0, _N_COLORS))[:, :3]).round().astype(int)
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in steps.tolist()]


def _share(shares: np.ndarray | None, k: int) -> str:
    """A basin's share in words; empty where a few draws decide it."""
    return "" if shares is None or not np.isfinite(shares[k]) else percent(float(shares[k]), 2)
