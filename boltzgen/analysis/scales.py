"""Scales of free energies: their unit, and how deep a sample can tell."""

import math

from boltzgen.analysis.ramachandran import Ramachandran
from boltzgen.figures import SHALLOWEST, resolved
from boltzgen.units import ENERGY_UNITS, one_kt


def energy_scale(unit: str, temperature: float | None) -> float:
    """What one kT is in `unit` at `temperature` [K].

    Raises:
        ValueError: another unit than those of `units.ENERGY_UNITS`, or one that needs a temperature without.
    """
    if unit in ENERGY_UNITS and unit != "kT" and temperature is None:
        raise ValueError(
            f"expected `temperature` [K] beside `unit` {unit!r}, got None; give it, or take `unit` 'kT'"
        )
    return one_kt(unit, math.nan if temperature is None else temperature)


def energy_label(unit: str) -> str:
    """The label of an axis of free energies in `unit`."""
    return f"free energy / {unit if '/' not in unit else f'({unit})'}"


def scale_top(surface: Ramachandran, scale: float = 1.0) -> int:
    """Where the colours of a surface end: at its rarest cell, as far as that is `figures.resolved`.

    A whole number of the unit of which one kT is `scale`.
    """
    known = resolved(surface.n_effective, float(surface.probability.max()))
    return math.ceil(scale * max(SHALLOWEST, min(surface.deepest, known)))
