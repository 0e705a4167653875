"""Figures of several panels: a peptide's Ramachandran surfaces, and the profiles of its sizes."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from boltzgen.analysis.plots import INK, draw_surface, plot_profile, scale_top
from boltzgen.analysis.profiles import Profile
from boltzgen.analysis.ramachandran import Ramachandran

_MOST_COLUMNS = 5
_DPI = 150


def ramachandran_grid(
    surfaces: Sequence[tuple[str, tuple[str, str], Ramachandran]], title: str = ""
) -> Figure:
    """One panel for each residue, on one colour scale.

    Args:
        surfaces: of each residue its panel's title, the names of its phi and psi, and its surface.
        title: of the figure.
    """
    n_columns = min(len(surfaces), _MOST_COLUMNS)
    n_rows = math.ceil(len(surfaces) / n_columns)
    figure = Figure(figsize=(2.5 * n_columns + 1.0, 2.6 * n_rows + 0.4), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(n_rows, n_columns, squeeze=False)
    top = max(scale_top(surface.free_energy) for _, _, surface in surfaces)
    for axes in panels.flat[len(surfaces) :]:
        axes.set_axis_off()
    for axes, (name, pair, surface) in zip(panels.flat, surfaces, strict=False):
        mesh = draw_surface(axes, surface, names=pair, top=top)
        axes.set(xticks=(-180, 0, 180), yticks=(-180, 0, 180))
        axes.set_title(name, fontsize=9.5, color=INK)
        axes.xaxis.label.set_fontsize(9)
        axes.yaxis.label.set_fontsize(9)
        axes.yaxis.labelpad = -8
    bar = figure.colorbar(mesh, ax=panels, label="free energy / kT", extend="max", shrink=0.9, aspect=30)
    bar.outline.set_visible(False)  # type: ignore[operator]
    if title:
        figure.suptitle(title, fontsize=9.5, color=INK)
    return figure


def profile_figure(profiles: Mapping[str, Profile], title: str = "") -> Figure:
    """Free-energy profiles by name, side by side."""
    figure = Figure(figsize=(3.4 * len(profiles) + 0.4, 3.0), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(profiles), squeeze=False)
    for axes, (name, profile) in zip(panels.flat, profiles.items(), strict=True):
        plot_profile(profile, name, ax=axes)
    if title:
        figure.suptitle(title, fontsize=9.5, color=INK)
    return figure
