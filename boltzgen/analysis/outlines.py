"""Basins as they are drawn on a surface: boundaries, names and populations."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patheffects import withStroke
from scipy import ndimage

from boltzgen.analysis.ramachandran import Ramachandran
from boltzgen.analysis.scales import scale_top
from boltzgen.figures import INK
from boltzgen.free_energy.result import warnings_of_weights
from boltzgen.molecule.basins import Basin, assign_basins
from boltzgen.units import percent

#: Cells of 1 degree that a label needs about its centre, and so many of a basin that one label could hide.
_NEEDED, _FEW = 17, 1000
#: Effective draws of a basin from which its share is written on a surface.
LEAST_EFFECTIVE = 10.0
#: Centres of the 1-degree grid.
_CENTRES = np.arange(-179.5, 180.0)


def draw_basins(
    axes: Axes,
    names: tuple[str, str],
    basins: Sequence[Basin],
    shares: np.ndarray | None,
    surface: Ramachandran,
) -> None:
    """Boundaries of the basins, from a 1-degree grid; names and populations where there is room.

    Args:
        axes: with the surface.
        names: of its two torsions.
        basins: to be outlined.
        shares: of the weight in each basin, (n_basins,); None, and NaN of one of them: names alone.
        surface: that is drawn there.
    """
    if not basins:
        return
    labels = _labels(names, basins)
    axes.add_collection(
        LineCollection(_boundaries(labels), colors="#777777", linewidths=0.7, capstyle="projecting")
    )
    for k, (x, y) in _places(labels, len(basins), surface).items():
        share = math.nan if shares is None else float(shares[k])
        text = f"{basins[k].name}\n{percent(share, 2)}" if math.isfinite(share) else basins[k].name
        axes.text(
            x,
            y,
            text,
            ha="center",
            va="center",
            fontsize=8.5,
            color=INK,
            path_effects=[withStroke(linewidth=2.2, foreground="white", alpha=0.85)],
            linespacing=1.15,
        )


@dataclass(frozen=True)
class Outlines:
    """Basins on a surface, for whoever draws them without Matplotlib.

    Attributes:
        lines: boundaries as ``(x, y, x, y)`` in degrees, from end to end.
        places: of the names, ``(x, y)`` in degrees by the basin's index; those without any room are left out.
    """

    lines: list[tuple[float, float, float, float]]
    places: dict[int, tuple[float, float]]

    @classmethod
    def of(cls, names: tuple[str, str], basins: Sequence[Basin], surface: Ramachandran) -> "Outlines":
        """Those that `draw_basins` draws; arguments are its own."""
        if not basins:
            return cls([], {})
        labels = _labels(names, basins)
        return cls(_joined(_boundaries(labels)), _places(labels, len(basins), surface))


def _labels(names: tuple[str, str], basins: Sequence[Basin]) -> np.ndarray:
    """Index of the basin at each place of the 1-degree grid, -1 for none, (360, 360), first torsion first."""
    phi, psi = np.meshgrid(np.radians(_CENTRES), np.radians(_CENTRES), indexing="ij")
    return assign_basins({names[0]: phi, names[1]: psi}, basins)


def _places(labels: np.ndarray, n_basins: int, surface: Ramachandran) -> dict[int, tuple[float, float]]:
    """Where each basin's name stands, in degrees; basins that are empty on the grid are left out."""
    cell = (np.arange(360) * len(surface.counts)) // 360
    fine = np.ix_(cell, cell)
    probability, empty = surface.probability[fine], surface.counts[fine] == 0
    colored = surface.free_energy[fine] <= scale_top(surface)
    found = {}
    for k in range(n_basins):
        place = _roomiest(_main_patch(labels == k, probability), empty, colored)
        if place is not None:
            found[k] = (float(_CENTRES[place[0]]), float(_CENTRES[place[1]]))
    return found


def _main_patch(region: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """The connected patch of a region, as drawn, that holds the most probability."""
    patches, n_patches = ndimage.label(region)
    if n_patches == 0:
        return region
    return np.asarray(
        patches == 1 + int(np.argmax(ndimage.sum_labels(probability, patches, range(1, n_patches + 1))))
    )


def _roomiest(region: np.ndarray, empty: np.ndarray, colored: np.ndarray) -> tuple[int, int] | None:
    """The cell of a region farthest from its edges; None if the region is empty.

    It is `_NEEDED` cells or more from any draw, if there is such a place, or else from any colored cell. A
    few colored cells are avoided however little room that leaves, since a label on them would hide them all.
    """
    least = 1 if np.count_nonzero(region & colored) < _FEW else _NEEDED
    for allowed, needed in ((region & empty, _NEEDED), (region & ~colored, least), (region, 1)):
        room = ndimage.distance_transform_edt(np.pad(allowed, 1))[1:-1, 1:-1]
        if room.max() >= needed:
            i, j = np.unravel_index(int(room.argmax()), room.shape)
            return int(i), int(j)
    return None


def _boundaries(labels: np.ndarray) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Unit segments, in degrees, between cells of the 1-degree grid (360, 360) whose labels differ."""
    upright = [
        ((i - 179.0, j - 180.0), (i - 179.0, j - 179.0)) for i, j in np.argwhere(labels[1:] != labels[:-1])
    ]
    level = [
        ((i - 180.0, j - 179.0), (i - 179.0, j - 179.0))
        for i, j in np.argwhere(labels[:, 1:] != labels[:, :-1])
    ]
    return upright + level


def _joined(
    segments: list[tuple[tuple[float, float], tuple[float, float]]],
) -> list[tuple[float, float, float, float]]:
    """Segments of unit length, those on one line that touch each other as one."""
    runs: dict[tuple[bool, float], list[float]] = {}
    for (x, y), (x_end, _) in segments:
        upright = x == x_end
        runs.setdefault((upright, x if upright else y), []).append(y if upright else x)
    found = []
    for (upright, at), starts in runs.items():
        values = np.sort(np.asarray(starts))
        for run in np.split(values, np.flatnonzero(np.diff(values) > 1.0) + 1):
            low, high = float(run[0]), float(run[-1]) + 1.0
            found.append((at, low, at, high) if upright else (low, at, high, at))
    return found


def basin_shares(
    torsions: Mapping[str, np.ndarray], weights: np.ndarray, basins: Sequence[Basin]
) -> np.ndarray | None:
    """Share of the weight (n,) in each basin, (n_basins,), of torsions (n,) in radians by name.

    None where `result.warnings_of` warns of the weights, whose shares would look better than they are; NaN of
    a basin of fewer than `LEAST_EFFECTIVE` effective draws, which a few of them decide.
    """
    if warnings_of_weights(weights):
        return None
    labels = assign_basins(torsions, basins)
    total, square = (
        np.bincount(labels + 1, values, minlength=len(basins) + 1)[1:] for values in (weights, weights**2)
    )
    return np.where(total**2 < LEAST_EFFECTIVE * square, np.nan, total / weights.sum())
