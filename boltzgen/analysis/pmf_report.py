"""What `boltzgen free-energy pmf` says: a potential of mean force along quantities that a text names."""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy import ndimage

from boltzgen.analysis.energy_scan import EnergyScan, energy_scan
from boltzgen.analysis.free_energy_figures import (
    difference_label,
    draw_convergence,
    draw_pmf,
    draw_scan,
    pmf_panels,
)
from boltzgen.figures import ShownFigure
from boltzgen.free_energy.convergence import Convergence
from boltzgen.free_energy.kernel_pmf import kernel_pmf
from boltzgen.free_energy.pmf import Coordinate, Pmf, histogram_pmf
from boltzgen.free_energy.result import Result, joined
from boltzgen.free_energy.state_energies import StateEnergies
from boltzgen.molecule.measures import DEGREES
from boltzgen.molecule.system import System
from boltzgen.samples.measure import Measure
from boltzgen.samples.measured_file import MeasuredFile
from boltzgen.samples.pooled import Files
from boltzgen.samples.quantity import Quantity, check_finite, quantity
from boltzgen.storage import write_atomically
from boltzgen.units import one_kt

Method = Literal["histogram", "kernel"]
#: A minimum is the lowest point within this share of the range on either side.
_APART = 1 / 12


@dataclass(frozen=True, eq=False)
class PmfReport:
    """A potential of mean force in one unit of energy.

    Attributes:
        pmf: along the quantities.
        coordinates: of the draws.
        log_w: their log-weights, (n,).
        unit: kT, kJ/mol or kcal/mol.
        temperature: in K.
        scan: the energy along the torsion, or None.
    """

    pmf: Pmf
    coordinates: tuple[Coordinate, ...]
    log_w: np.ndarray
    unit: str
    temperature: float
    scan: EnergyScan | None = None

    @property
    def minima(self) -> list[tuple[float, ...]]:
        """Where the PMF has minima, the deepest first; points that fewer than ten draws decide are none."""
        f = np.where(np.isfinite(self.pmf.free_energy_high), self.pmf.free_energy, np.inf)
        reach = [2 * max(1, round(n * _APART)) + 1 for n in f.shape]
        modes = ["wrap" if period else "nearest" for period in self.pmf.periods]
        lowest = ndimage.minimum_filter(f, reach, mode=modes)
        places = np.argwhere((f == lowest) & np.isfinite(f))
        ranked = sorted(places, key=lambda place: f[tuple(place)])
        return [tuple(float(c[i]) for c, i in zip(self.pmf.centres, place, strict=True)) for place in ranked]

    def at(self, *point: float) -> Result:
        """F at the nearest point of the grid, relative to the lowest one; see `Pmf.at`."""
        return self.pmf.at(*point).to(self.unit)

    @property
    def curve(self) -> Convergence | None:
        """F of the second minimum relative to the first against the number of draws; None of one minimum.

        It is that of the two bins, whose width is that of the grid.
        """
        found = self.minima[:2]
        if len(found) < 2 or len(self.log_w) < 2:
            return None
        labels = np.full(len(self.log_w), -1)
        for k, point in enumerate(found):
            inside = np.ones(len(labels), dtype=bool)
            for c, centres, at in zip(self.coordinates, self.pmf.centres, point, strict=True):
                away = np.asarray(c.values) - at
                away = away - c.period * np.round(away / c.period) if c.period else away
                inside &= np.abs(away) < (centres[1] - centres[0]) / 2
            labels[inside] = k
        states = StateEnergies(labels, self.log_w, ("first", "second"), self.temperature)
        return states.convergence("first", "second").to(self.unit)

    @property
    def warnings(self) -> tuple[str, ...]:
        """Of the PMF, and of its convergence."""
        curve = self.curve
        return joined(self.pmf.warnings, () if curve is None else curve.warnings)

    def _scaled(self) -> dict[str, np.ndarray]:
        """F, its error and its 95 % band in `unit`."""
        scale = one_kt(self.unit, self.temperature)
        return {
            "free_energy": scale * self.pmf.free_energy,
            "error": scale * self.pmf.free_energy_error,
            "low": scale * self.pmf.free_energy_low,
            "high": scale * self.pmf.free_energy_high,
        }

    def to_dict(self) -> dict[str, Any]:
        """Numbers by name, for JSON."""
        axes = zip(self.pmf.names, self.pmf.units, self.pmf.periods, self.pmf.centres, strict=True)
        curve = self.curve
        return {
            "temperature": self.temperature,
            "unit": self.unit,
            "coordinates": [
                {"name": name, "unit": unit, "period": period, "centres": centres.tolist()}
                for name, unit, period, centres in axes
            ],
            "bandwidths": None if self.pmf.bandwidths is None else list(self.pmf.bandwidths),
            **{name: values.tolist() for name, values in self._scaled().items()},
            "density": self.pmf.density.tolist(),
            "minima": [{"at": list(point), **self.at(*point).to_dict()} for point in self.minima],
            "convergence": None if curve is None else curve.to_dict(),
            "scan": None if self.scan is None else self.scan.to_dict(self.unit),
            "warnings": list(self.warnings),
        }

    def save(self, path: Path) -> None:
        """One row for each point of the grid, as CSV; a limit that is not known leaves its cell empty."""
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        unit = self.unit.replace("/", "_per_")
        axes = [f"{n}_{u}".strip("_") for n, u in zip(self.pmf.names, self.pmf.units, strict=True)]
        columns = self._scaled() | {"density": self.pmf.density}
        writer.writerow([*axes, *(n if n == "density" else f"{n}_{unit}" for n in columns)])
        grid = np.meshgrid(*self.pmf.centres, indexing="ij")
        for row in zip(*(a.ravel() for a in (*grid, *columns.values())), strict=True):
            writer.writerow(["" if np.isnan(v) else f"{v:.8g}" for v in row])
        write_atomically(path, text.getvalue().encode())

    def figure(self, title: str = "") -> ShownFigure:
        """The curve with its 95 % band, or the surface; and the convergence of the second minimum's depth."""
        curve = self.curve
        figure, panels = pmf_panels(1 + (curve is not None), title)
        draw_pmf(panels[0], self.pmf, self.unit, one_kt(self.unit, self.temperature))
        if self.scan is not None:
            draw_scan(panels[0], self.scan.angle, self.scan.energy_in(self.unit))
        if curve is not None:
            draw_convergence(panels[1], curve, difference_label(self.unit))
            panels[1].set_title("second minimum, from the first", fontsize=9)
            panels[1].legend(frameon=False, fontsize=7.5)
        return figure


def pmf_report(
    path: Files,
    along: Sequence[str],
    *,
    method: Method = "histogram",
    bins: int | None = None,
    unit: str = "kT",
    measure: Measure = "flexible-limit",
    system: System | str | Path | None = None,
    scan: bool = False,
) -> PmfReport:
    """Potential of mean force along one or two quantities of samples files, which are read in chunks.

    Args:
        path: of the file, or of several, whose draws are pooled, see `samples.pooled`.
        along: one or two quantities, see `quantity`: ``"phi"``, ``"distance CA2 CA4"``.
        method: a weighted histogram, or a weighted kernel density.
        bins: along each of them, or points of the kernel density.
        unit: kT, kJ/mol or kcal/mol.
        measure: of a constrained molecule's draws, see `MeasuredFile`.
        system: the molecule, for its masses, where `measure` needs them and it does not ship, and for its
            energies.
        scan: also the energy along a torsion, see `energy_scan`; needs `system`.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a samples file, files that do not belong together, no such quantity, or not one or two
            of them; or a scan along anything but one torsion by its name, or without `system`.
    """
    file = MeasuredFile(path, measure, system)
    header = file.header
    one_kt(unit, header.temperature)
    if len(along) not in (1, 2):
        raise ValueError(f"expected one or two quantities `along`, got {len(along)}")
    if method not in ("histogram", "kernel"):
        raise ValueError(f"expected `method` to be histogram or kernel, got {method!r}")
    if scan and (file.system is None or len(along) != 1):
        raise ValueError("a `scan` is along one torsion, of a molecule given as `system`")
    quantities = [quantity(text, header) for text in along]
    log_w = file.log_weights().numpy()
    columns = [np.empty(len(log_w)) for _ in along]
    start = 0
    for part in file:
        for column, measured in zip(columns, quantities, strict=True):
            values = measured(part)
            check_finite(values, part.log_w, measured.text)
            column[start : start + len(part)] = values.numpy(force=True)
        start += len(part)
    coordinates = tuple(map(_coordinate, quantities, columns))
    if method == "kernel":
        pmf = kernel_pmf(coordinates, log_w, n_points=bins, temperature=header.temperature)
    else:
        pmf = histogram_pmf(coordinates, log_w, n_bins=bins, temperature=header.temperature)
    along_torsion = energy_scan(file, file.system, along[0]) if scan and file.system is not None else None
    return PmfReport(pmf, coordinates, log_w, unit, header.temperature, along_torsion)


def _coordinate(found: Quantity, values: np.ndarray) -> Coordinate:
    period = 360.0 if found.is_torsion and found.unit == DEGREES else None
    return Coordinate(values, found.text, found.unit, period)
