"""What `boltzgen free-energy temperature` says: state functions and populations at other temperatures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from boltzgen.analysis.free_energy_figures import temperature_figure
from boltzgen.figures import ShownFigure
from boltzgen.free_energy.convergence import Convergence, convergence
from boltzgen.free_energy.result import Result, joined
from boltzgen.free_energy.state_functions import free_energy
from boltzgen.free_energy.temperature import AtTemperature, at_temperatures, reweighted, trusted_range
from boltzgen.molecule.basins import Region
from boltzgen.molecule.conditions import parse_state
from boltzgen.molecule.measures import topology_of
from boltzgen.molecule.states import Regions
from boltzgen.molecule.system import System
from boltzgen.samples.measure import Measure
from boltzgen.samples.measured_file import MeasuredFile
from boltzgen.samples.pooled import Files
from boltzgen.units import kelvin, one_kt

#: Energies among the results, which have a unit to be chosen.
ENERGIES = ("free_energy", "energy", "minus_ts")


@dataclass(frozen=True, eq=False)
class TemperatureReport:
    """State functions at several temperatures, in one unit of energy.

    Attributes:
        points: of each temperature, in ascending order.
        u, log_w: reduced energies and log-weights (n,) at `temperature`.
        temperature: that the draws are of, in K.
        unit: kT (of each temperature its own), kJ/mol or kcal/mol.
    """

    points: list[AtTemperature]
    u: np.ndarray
    log_w: np.ndarray
    temperature: float
    unit: str

    @property
    def trusted(self) -> tuple[float, float] | None:
        """Lowest and highest temperature about the draws' own that have no warning, in K."""
        return trusted_range(self.points, self.temperature)

    def results(self, point: AtTemperature) -> dict[str, Result]:
        """All results of a temperature by name, energies in `unit`."""
        return {
            name: result.to(self.unit) if name in ENERGIES else result
            for name, result in point.results.items()
        }

    @property
    def curves(self) -> dict[str, Convergence]:
        """F at the lowest and at the highest temperature against the number of draws."""
        ends = dict.fromkeys((self.points[0].temperature, self.points[-1].temperature))
        n = len(self.log_w)
        return {f"F at {t:g} K": convergence(self._free_energy(t), n) for t in ends} if n > 1 else {}

    def _free_energy(self, temperature: float) -> Any:
        log_w = reweighted(self.u, self.log_w, self.temperature, temperature)[1]

        def estimate(part: slice) -> Result:
            return free_energy(log_w[part], temperature=temperature).to(self.unit)

        return estimate

    @property
    def warnings(self) -> tuple[str, ...]:
        """Of each temperature, which they name."""
        return tuple(
            f"{point.temperature:g} K: {warning}" for point in self.points for warning in point.warnings
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What the results leave out."""
        return joined(*(result.notes for point in self.points for result in point.results.values()))

    def to_dict(self) -> dict[str, Any]:
        """Numbers by name, for JSON."""
        return {
            "temperature": self.temperature,
            "unit": self.unit,
            "trusted": None if self.trusted is None else list(self.trusted),
            "points": [
                {
                    "temperature": point.temperature,
                    "n_effective": point.n_effective,
                    "psis_k_hat": point.k_hat,
                    "is_trusted": point.is_trusted,
                    "results": {name: r.to_dict() for name, r in self.results(point).items()},
                }
                for point in self.points
            ],
            "convergence": {name: curve.to_dict() for name, curve in self.curves.items()},
            "notes": list(self.notes),
            "warnings": list(self.warnings),
        }

    def figure(self, title: str = "") -> ShownFigure:
        """F, U, the heat capacity and populations against the temperature, and the convergence of F.

        Points with a warning are hollow.
        """
        temperatures = [point.temperature for point in self.points]
        found = [self.results(point) for point in self.points]
        names = list(self.points[0].populations)
        unit = self.unit if "/" not in self.unit else f"({self.unit})"
        panels = {
            f"F / {unit}": {"": [r["free_energy"] for r in found]},
            f"U / {unit}": {"": [r["energy"] for r in found]},
            "heat capacity / k": {"": [r["heat_capacity"] for r in found]},
        }
        if names:
            panels["population"] = {name: [r[name] for r in found] for name in names}
        if any(point.warnings for point in self.points):
            title = f"{title} (hollow: doubtful)".strip()
        return temperature_figure(temperatures, panels, self.curves, f"F / {unit}", title)


def temperature_report(
    path: Files,
    at: Sequence[float],
    *,
    states: Sequence[Region | str] = (),
    unit: str = "kT",
    measure: Measure = "flexible-limit",
    system: System | str | Path | None = None,
) -> TemperatureReport:
    """State functions and populations at other temperatures than that of a samples file.

    Args:
        path: of the file, or of several, whose draws are pooled, see `samples.pooled`.
        at: temperatures in K.
        states: of one's own, see `conditions.parse_state`; by default the molecule's basins.
        unit: kT, kJ/mol or kcal/mol.
        measure: of a constrained molecule's draws, see `MeasuredFile`.
        system: the molecule, for its masses, where `measure` needs them and it does not ship.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a samples file, files that do not belong together, no temperature, or a state that
            cannot be read.
    """
    file = MeasuredFile(path, measure, system)
    header = file.header
    one_kt(unit, header.temperature)
    temperatures = sorted({kelvin(t) for t in at})
    if not temperatures:
        raise ValueError("expected at least one temperature `at` which to estimate, got none")
    chosen: Sequence[Region] = [parse_state(s) if isinstance(s, str) else s for s in states] or header.basins
    regions = Regions.of(chosen, header.torsions, header.rotamers, topology_of(header))
    u, log_w = np.empty(header.n_samples), np.empty(header.n_samples)
    labels = np.empty(header.n_samples, np.int16)
    start = 0
    for part in file:
        here = slice(start, start + len(part))
        u[here], log_w[here], labels[here] = part.u.numpy(), part.log_w.numpy(), regions.labels(part.x)
        start += len(part)
    conditions = {name: labels == k for k, name in enumerate(regions.names)}
    points = at_temperatures(u, log_w, header.temperature, temperatures, conditions=conditions)
    return TemperatureReport(points, u, log_w, header.temperature, unit)
