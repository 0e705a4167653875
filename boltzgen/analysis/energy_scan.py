"""The energy along a torsion with everything else relaxed, to stand beside a potential of mean force."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.coordinates.zmatrix import TorsionKind
from boltzgen.energy.base import Energy
from boltzgen.energy.choose import energy_for
from boltzgen.generator.relax import relaxed
from boltzgen.geometry import dihedrals, wrap
from boltzgen.molecule.graph import Quadruple
from boltzgen.molecule.system import System
from boltzgen.samples.measured_file import MeasuredFile
from boltzgen.units import one_kt

#: Points of a turn.
N_POINTS = 24


@dataclass(frozen=True)
class EnergyScan:
    """Energies along a torsion.

    Attributes:
        torsion: its name.
        angle: in degrees, (n,).
        energy: above the lowest of them, in kT, (n,).
        temperature: in K, that kT is of.
    """

    torsion: str
    angle: np.ndarray
    energy: np.ndarray
    temperature: float

    def to_dict(self, unit: str) -> dict[str, Any]:
        """Numbers by name, for JSON."""
        return {
            "torsion": self.torsion,
            "angle": self.angle.tolist(),
            "energy": self.energy_in(unit).tolist(),
        }

    def energy_in(self, unit: str) -> np.ndarray:
        """In kT, kJ/mol or kcal/mol."""
        return one_kt(unit, self.temperature) * self.energy

    def in_words(self, unit: str) -> str:
        """Where it is lowest and highest."""
        low, high = int(self.energy.argmin()), int(self.energy.argmax())
        return (
            f"energy along {self.torsion}, all else relaxed: lowest at {self.angle[low]:.0f} degrees, "
            f"highest at {self.angle[high]:.0f} degrees by {self.energy_in(unit)[high]:.3g} {unit}"
        )


def energy_scan(drawn: MeasuredFile, system: System, torsion: str) -> EnergyScan:
    """Minima of the energy with a torsion held every 15 degrees.

    Each begins at the draw of the lowest energy near its angle, and again at the minima on either side; the
    lowest counts, as other torsions may turn on the way.

    Args:
        drawn: samples of the molecule.
        system: the molecule.
        torsion: its name, one that turns freely.

    Raises:
        ValueError: no torsion of that name, or one that is no coordinate of its own.
    """
    coordinates, energy = MolecularCoordinates(system), energy_for(system, drawn.header.temperature)
    atoms, place = _place(system, coordinates, torsion)
    angles = -math.pi + (np.arange(N_POINTS) + 0.5) * 2 * math.pi / N_POINTS
    found: list[tuple[Tensor, float] | None] = [
        None
        if x is None
        else _held(coordinates, energy, coordinates.inverse(x.double())[0], atoms, place, at)
        for x, at in zip(_lowest_draws(drawn, atoms), angles, strict=True)
    ]
    # Twice round in either direction, so that every point is reached from others.
    for step in (1, -1):
        for k in range(2 * N_POINTS):
            here, there = step * k % N_POINTS, step * (k - 1) % N_POINTS
            before, now = found[there], found[here]
            if before is None or (k >= N_POINTS and now is not None):
                continue
            moved = _held(coordinates, energy, before[0], atoms, place, angles[here])
            if now is None or moved[1] < now[1]:
                found[here] = moved
    ends = [one for one in found if one is not None]
    u = np.array([value for _, value in ends])
    own = np.array([float(dihedrals(coordinates(y)[0], atoms)) for y, _ in ends])
    order = own.argsort()
    return EnergyScan(torsion, np.degrees(own[order]), (u - u.min())[order], drawn.header.temperature)


def _place(system: System, coordinates: MolecularCoordinates, torsion: str) -> tuple[Quadruple, int]:
    """A torsion's atoms, and which flow coordinate turns about its axis."""
    if torsion not in system.torsions:
        raise ValueError(
            f"an energy is scanned along a torsion by its name, got {torsion!r}; choose from "
            f"{', '.join(system.torsions) or 'none'}"
        )
    atoms = system.torsions[torsion]
    first = 2 * coordinates.n_atoms - 3
    for place, k in enumerate(coordinates.order[: coordinates.n_full]):
        row = coordinates.zmatrix.torsion_rows[k - first]
        if row.kind is TorsionKind.PROPER and {row.bonded, row.second} == set(atoms[1:3]):
            return atoms, place
    raise ValueError(f"{torsion} does not turn freely in this molecule's coordinates; scan another torsion")


def _lowest_draws(drawn: MeasuredFile, atoms: Quadruple) -> list[Tensor | None]:
    """The draw of the lowest energy in each part of the turn."""
    best: list[Tensor | None] = [None] * N_POINTS
    lowest = np.full(N_POINTS, math.inf)
    for part in drawn:
        angle = dihedrals(part.x.double(), atoms).numpy()
        cell = np.floor((angle + math.pi) * N_POINTS / (2 * math.pi)).astype(int) % N_POINTS
        u = torch.where(part.log_w.isfinite(), part.u, math.inf).numpy()
        for k in range(N_POINTS):
            rows = np.flatnonzero(cell == k)
            row = int(rows[u[rows].argmin()]) if len(rows) else -1
            if row >= 0 and u[row] < lowest[k]:
                lowest[k], best[k] = u[row], part.x[row]
    return best


def _held(
    coordinates: MolecularCoordinates, energy: Energy, y: Tensor, atoms: Quadruple, place: int, angle: float
) -> tuple[Tensor, float]:
    """The minimum near y with a torsion turned to an angle [radians] and held there."""
    start = y.clone()
    now = float(dihedrals(coordinates(start)[0], atoms))
    start[place] = wrap(start[place] + angle - now)
    return relaxed(coordinates, energy, start, fixed=[place])
