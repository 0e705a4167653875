"""Figures of several panels: a peptide's Ramachandran surfaces, and the profiles of its sizes."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure

from boltzgen.analysis.plots import draw_surface, plot_profile
from boltzgen.analysis.profiles import Profile
from boltzgen.analysis.ramachandran import Ramachandran
from boltzgen.analysis.scales import energy_label, energy_scale, scale_top
from boltzgen.figures import INK, TITLE, ShownFigure, label_bar, set_title, unresolved

_MOST_COLUMNS = 5
_DPI = 150


def ramachandran_grid(
    surfaces: Sequence[tuple[str, tuple[str, str], Ramachandran]],
    title: str = "",
    *,
    unit: str = "kT",
    temperature: float | None = None,
) -> Figure:
    """One panel for each residue, on one colour scale.

    Args:
        surfaces: of each residue its panel's title (``"ALA 2"``), the names of its phi and psi, and its
            surface.
        title: of the figure.
        unit: of the free energy, one of `units.ENERGY_UNITS`.
        temperature: in K, needed for another unit than kT.

    Raises:
        ValueError: as `scales.energy_scale`.
    """
    scale = energy_scale(unit, temperature)
    n_columns = min(len(surfaces), _MOST_COLUMNS)
    n_rows = math.ceil(len(surfaces) / n_columns)
    figure = ShownFigure(2.5 * n_columns + 1.0, 2.6 * n_rows + 0.4, dpi=_DPI, layout="constrained")
    panels = figure.subplots(n_rows, n_columns, squeeze=False)
    top = max(scale_top(surface, scale) for _, _, surface in surfaces)
    for axes in panels.flat[len(surfaces) :]:
        axes.set_axis_off()
    for axes, (name, pair, surface) in zip(panels.flat, surfaces, strict=False):
        mesh = draw_surface(axes, surface, names=pair, top=top, unit=unit, temperature=temperature)
        axes.set(xticks=(-180, 0, 180), yticks=(-180, 0, 180))
        axes.set_title(name, fontsize=TITLE, color=INK)
        axes.xaxis.label.set_fontsize(9)
        axes.yaxis.label.set_fontsize(9)
        axes.yaxis.labelpad = -8
    label_bar(figure.colorbar(mesh, ax=panels, extend="max", shrink=0.9, aspect=30), energy_label(unit))
    if any(scale * surface.deepest > top for _, _, surface in surfaces):
        figure.legend(
            handles=unresolved(),
            ncols=2,
            loc="outside lower right",
            frameon=False,
            fontsize=8,
            labelcolor=INK,
            borderpad=0,
        )
    set_title(figure, title)
    return figure


def profile_figure(
    profiles: Mapping[str, Profile],
    title: str = "",
    *,
    unit: str = "kT",
    temperature: float | None = None,
) -> Figure:
    """Free-energy profiles by name, side by side; arguments and errors as of `ramachandran_grid`."""
    figure = ShownFigure(3.4 * len(profiles) + 0.4, 3.0, dpi=_DPI, layout="constrained")
    panels = figure.subplots(1, len(profiles), squeeze=False)
    for axes, (name, profile) in zip(panels.flat, profiles.items(), strict=True):
        plot_profile(profile, name, ax=axes, unit=unit, temperature=temperature)
    set_title(figure, title)
    return figure
