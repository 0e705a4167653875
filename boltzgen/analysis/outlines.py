"""Basins as they are drawn on a surface: boundaries, names and populations."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patheffects import withStroke
from scipy import ndimage

from boltzgen.analysis.ramachandran import Ramachandran
from boltzgen.figures import INK
from boltzgen.molecule.basins import Basin, assign_basins


def draw_basins(
    axes: Axes, names: tuple[str, str], basins: Sequence[Basin], shares: np.ndarray, surface: Ramachandran
) -> None:
    """Boundaries of the basins, from a 1-degree grid; names and populations where there is room."""
    if not basins:
        return
    centres = np.arange(-179.5, 180.0)
    phi, psi = np.meshgrid(np.radians(centres), np.radians(centres), indexing="ij")
    labels = assign_basins({names[0]: phi, names[1]: psi}, basins)
    axes.add_collection(
        LineCollection(_boundaries(labels), colors="#777777", linewidths=0.7, capstyle="projecting")
    )
    cell = (np.arange(360) * len(surface.counts)) // 360
    probability, empty = surface.probability[np.ix_(cell, cell)], surface.counts[np.ix_(cell, cell)] == 0
    for k, (basin, share) in enumerate(zip(basins, shares, strict=True)):
        place = _roomiest(_main_patch(labels == k, probability), empty)
        if place is not None:
            text = f"{basin.name}\n{_percent(share)}"
            halo = [withStroke(linewidth=2.2, foreground="white", alpha=0.85)]
            i, j = place
            axes.text(
                centres[i],
                centres[j],
                text,
                ha="center",
                va="center",
                fontsize=8.5,
                color=INK,
                path_effects=halo,
                linespacing=1.15,
            )


def _percent(share: float) -> str:
    """A share in plain figures; what would need an exponent is below 0.001 %."""
    return f"{100 * share:.2g} %" if share == 0 or share >= 1e-5 else "< 0.001 %"


def _main_patch(region: np.ndarray, probability: np.ndarray) -> np.ndarray:
    """The connected patch of a region, as drawn, that holds the most probability."""
    patches, n_patches = ndimage.label(region)
    if n_patches == 0:
        return region
    return np.asarray(
        patches == 1 + int(np.argmax(ndimage.sum_labels(probability, patches, range(1, n_patches + 1))))
    )


def _roomiest(region: np.ndarray, empty: np.ndarray, needed: int = 17) -> tuple[int, int] | None:
    """The cell of a region farthest from its edges; None if the region is empty.

    It is `needed` cells or more from any draw, if there is such a place.
    """
    for allowed in (region & empty, region):
        room = ndimage.distance_transform_edt(np.pad(allowed, 1))[1:-1, 1:-1]
        if room.max() >= (needed if allowed is not region else 1):
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


def basin_shares(
    torsions: Mapping[str, np.ndarray], weights: np.ndarray, basins: Sequence[Basin]
) -> np.ndarray:
    """Share of the weight (n,) in each basin, (n_basins,), of torsions (n,) in radians by name."""
    labels = assign_basins(torsions, basins)
    return np.bincount(labels + 1, weights, minlength=len(basins) + 1)[1:] / weights.sum()
