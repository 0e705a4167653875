"""Pictures of several panels: a peptide's Ramachandran surfaces beside each other, and the profiles of its
sizes.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from boltzgen.analysis.plots import INK, TARGET, draw_surface, light_frame, scale_top, symbol
from boltzgen.analysis.ramachandran import Ramachandran
from boltzgen.analysis.sizes import Profile

_MOST_COLUMNS = 5


def ramachandran_grid(
    surfaces: Sequence[tuple[str, tuple[str, str], Ramachandran]], title: str = ""
) -> Figure:
    """One panel for each residue, given its title, the names of its phi and psi, and its surface; one colour
    scale for all.
    """
    n_columns = min(len(surfaces), _MOST_COLUMNS)
    n_rows = math.ceil(len(surfaces) / n_columns)
    figure = Figure(figsize=(2.5 * n_columns + 1.0, 2.6 * n_rows + 0.4), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(n_rows, n_columns, squeeze=False)
    top = max(scale_top(surface.free_energy) for _, _, surface in surfaces)
    for axes in panels.flat[len(surfaces) :]:
        axes.set_axis_off()
    for axes, (name, pair, surface) in zip(panels.flat, surfaces, strict=False):
        mesh = draw_surface(axes, surface, top)
        axes.set(xticks=(-180, 0, 180), yticks=(-180, 0, 180))
        axes.set_title(name, fontsize=9.5, color=INK)
        axes.set_xlabel(f"{symbol(pair[0])} / degrees", color=INK, fontsize=9)
        axes.set_ylabel(f"{symbol(pair[1])} / degrees", color=INK, fontsize=9, labelpad=-8)
    bar = figure.colorbar(mesh, ax=panels, label="free energy / kT", extend="max", shrink=0.9, aspect=30)
    bar.outline.set_visible(False)  # type: ignore[operator]
    if title:
        figure.suptitle(title, fontsize=9.5, color=INK)
    return figure


def profile_figure(profiles: Mapping[str, Profile], title: str = "") -> Figure:
    """Free-energy profiles by name, with bands of two standard errors."""
    figure = Figure(figsize=(3.4 * len(profiles) + 0.4, 3.0), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (name, found) in zip(
        figure.subplots(1, len(profiles), squeeze=False).flat, profiles.items(), strict=True
    ):
        # A bin may hold draws whose weights are all but nothing.
        seen = np.isfinite(found.free_energy) & np.isfinite(found.free_energy_error)
        free_energy, error = (np.where(seen, v, np.nan) for v in (found.free_energy, found.free_energy_error))
        axes.stairs(
            free_energy + 2 * error,
            found.edges,
            baseline=free_energy - 2 * error,
            fill=True,
            color=TARGET,
            alpha=0.3,
            lw=0,
        )
        axes.stairs(free_energy, found.edges, baseline=None, color=TARGET, lw=1.2)
        axes.set_ylim(-0.2, float(np.nanmax(free_energy, initial=0.0)) + 1.0)
        axes.set_xlabel(f"{name.replace('_', ' ')} / nm", color=INK)
        axes.set_ylabel("free energy / kT", color=INK)
        light_frame(axes)
    if title:
        figure.suptitle(title, fontsize=9.5, color=INK)
    return figure
