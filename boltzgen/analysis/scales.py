"""Scales of free energies: their unit, and how deep a sample can tell."""

import math

import numpy as np
from matplotlib.artist import Artist
from matplotlib.colorbar import Colorbar
from matplotlib.patches import Patch

from boltzgen.analysis.profiles import Profile
from boltzgen.analysis.ramachandran import Ramachandran
from boltzgen.figures import INK
from boltzgen.units import ENERGY_UNITS, one_kt

#: No scale of free energies ends below or above these many kT.
_SHALLOWEST, _DEEPEST = 3.0, 10.0
#: Effective draws in the rarest bins that are shown in colour.
_LEAST = 0.1
#: Colour of cells with draws beyond the end of the scale.
BEYOND = "#d6d6d6"


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


def label_bar(bar: Colorbar, unit: str) -> None:
    """Write at a colour bar what its free energies are in."""
    bar.set_label(energy_label(unit), color=INK)
    bar.ax.tick_params(colors=INK, labelsize=9, length=3)
    bar.outline.set_visible(False)  # type: ignore[operator]


def resolved(found: Ramachandran | Profile) -> float:
    """The free energy [kT] up to which a histogram tells, within 3 and 10.

    It is that of a bin with the weight of a tenth of an effective draw, ln(10 n_effective p) with p the share
    of the most probable bin. What lies beyond comes from draws with next to no weight, and would be another
    in another sample.
    """
    fullest = found.n_effective * float(found.probability.max())
    return float(np.clip(math.log(fullest / _LEAST), _SHALLOWEST, _DEEPEST))


def scale_top(surface: Ramachandran, scale: float = 1.0) -> float:
    """Where the colours of a surface end: at its rarest cell, as far as that is `resolved`.

    A whole number of the unit of which one kT is `scale`.
    """
    shown = min(surface.deepest, resolved(surface))
    return float(np.ceil(scale * max(_SHALLOWEST, shown)))


def unresolved(surface: Ramachandran, top: float, scale: float = 1.0) -> list[Artist]:
    """What a legend says of the grey cells, if there are any beyond the end of the colours, `top`."""
    return [Patch(facecolor=BEYOND, label=f"under {_LEAST:g} effective draws")] * (
        scale * surface.deepest > top
    )
