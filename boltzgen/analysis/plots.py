"""Pictures of weighted samples.

They are drawn on the axes that are given, or on new figures, which notebooks show (`boltzgen.figures`).
"""

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

from boltzgen.analysis.outlines import basin_shares, draw_basins
from boltzgen.analysis.profiles import Profile
from boltzgen.analysis.ramachandran import (
    Ramachandran,
    TorsionDensity,
    ramachandran,
    suitable_bins,
    torsion_density,
)
from boltzgen.analysis.scales import energy_label, energy_scale, scale_top
from boltzgen.figures import (
    INK,
    TARGET,
    TITLE,
    ShownAxes,
    ShownFigure,
    draw_cells,
    fitted,
    label_bar,
    light_frame,
    resolved,
    unresolved,
)
from boltzgen.molecule.basins import Basin, basins_over
from boltzgen.molecule.graph import backbone_pairs
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.weights import effective_sample_size, normalized_weights

#: Places in inches: the surface with its margin, the densities beside it, and the colour bar.
_WIDTH, _LEFT, _BOTTOM, _SURFACE, _SIDE = 7.0, 0.8, 0.6, 4.0, 0.8
_DPI = 180
_TICKS = np.arange(-180, 181, 60)
#: The least density that is drawn, and the label of densities.
_THINNEST, _DENSITY = 1e-6, "density / degree⁻¹"
#: What a line without a band says.
_FEW_DRAWS = "too few draws for an interval"


def plot_ramachandran(
    samples: WeightedSamples,
    *,
    pair: tuple[str, str] | None = None,
    ax: Axes | None = None,
    unit: str = "kT",
    temperature: float | None = None,
) -> Axes:
    """Plot the weighted free-energy surface over (phi, psi), and return its axes.

    Basins of these torsions alone, or else the residue's regions, are outlined and labelled with their
    populations; with their names alone where `free_energy.result.warnings_of` warns of the weights. The scale
    ends where the sample ends to tell, see `scales.scale_top`; rarer cells are grey, and white ones have no
    draws. The axes are shown where they are the last value of a notebook's cell; save with
    ``ax.figure.savefig("ramachandran.png")``.

    Args:
        samples: with a `system` that names the torsions.
        pair: names of the two torsions; by default the first backbone pair.
        ax: axes to draw on, with a colour bar to their right. By default those of a new figure, with the
            densities of phi and psi at their sides.
        unit: of the free energy, one of `units.ENERGY_UNITS`.
        temperature: in K, for another unit than kT; by default that of the samples.

    Raises:
        ValueError: the molecule has no such torsions, all weights are zero, or as `scales.energy_scale`.
    """
    molecule = samples.system
    temperature = samples.temperature if temperature is None else temperature
    pairs = backbone_pairs(molecule.torsions) if molecule is not None else []
    if pair is None and not pairs:
        raise ValueError(
            "these samples name no (phi, psi) pair; give `pair`, two torsions of `samples.system`"
        )
    names = pair or pairs[0]
    phi, psi = (samples.torsion(name).numpy(force=True) for name in names)
    basins = () if molecule is None else basins_over(names, molecule.basins, molecule.regions)
    weights = normalized_weights(samples.log_w).numpy(force=True)
    n_effective = effective_sample_size(samples.log_w)
    if ax is None:
        figure = ramachandran_figure(
            phi, psi, weights, n_effective, basins, names=names, unit=unit, temperature=temperature
        )
        return figure.axes[0]
    surface = ramachandran(phi, psi, weights, suitable_bins(n_effective))
    mesh = draw_surface(ax, surface, names=names, unit=unit, temperature=temperature)
    draw_basins(ax, names, basins, basin_shares({names[0]: phi, names[1]: psi}, weights, basins), surface)
    label_bar(
        ax.figure.colorbar(mesh, cax=ax.inset_axes((1.03, 0.0, 0.035, 1.0)), extend="max"), energy_label(unit)
    )
    return ax


def ramachandran_figure(
    phi: np.ndarray,
    psi: np.ndarray,
    weights: np.ndarray,
    n_effective: float,
    basins: Sequence[Basin] = (),
    *,
    names: tuple[str, str] = ("phi", "psi"),
    title: str = "",
    unit: str = "kT",
    temperature: float | None = None,
    n_bins: int | None = None,
) -> Figure:
    """Figure of the surface of two torsions with their densities at its sides; the surface's axes come first.

    Args:
        phi: first torsion (n,) in radians.
        psi: second torsion (n,) in radians.
        weights: (n,), which sum to one.
        n_effective: number of effective draws, from which the width of the bins follows.
        basins: to be outlined and labelled.
        names: of the two torsions.
        title: of the figure.
        unit: of the free energy, one of `units.ENERGY_UNITS`.
        temperature: in K, needed for another unit than kT.
        n_bins: along each axis, if they shall not follow from the draws.

    Raises:
        ValueError: no weight is positive, or as `scales.energy_scale`.
    """
    n_bins = n_bins or suitable_bins(n_effective)
    return surface_figure(
        ramachandran(phi, psi, weights, n_bins),
        (torsion_density(phi, weights, n_bins), torsion_density(psi, weights, n_bins)),
        basins,
        basin_shares({names[0]: phi, names[1]: psi}, weights, basins),
        names=names,
        title=title,
        unit=unit,
        temperature=temperature,
    )


def surface_figure(
    surface: Ramachandran,
    densities: tuple[TorsionDensity, TorsionDensity],
    basins: Sequence[Basin] = (),
    shares: np.ndarray | None = None,
    *,
    names: tuple[str, str] = ("phi", "psi"),
    title: str = "",
    unit: str = "kT",
    temperature: float | None = None,
) -> Figure:
    """The figure of `ramachandran_figure` from a surface, either torsion's density and the basins' shares.

    Further arguments and errors are those of `ramachandran_figure`.
    """
    scale = energy_scale(unit, temperature)
    heading = title and fitted(title, _WIDTH - _LEFT - 0.15)
    beside, above = _LEFT + _SURFACE + 0.14, _BOTTOM + _SURFACE + 0.08
    end = above + _SIDE + 0.15
    height = end + (0.19 * len(heading.splitlines()) + 0.05 if heading else 0.0)
    figure = ShownFigure(_WIDTH, height, dpi=_DPI)
    main = _add_axes(figure, _LEFT, _BOTTOM, _SURFACE, _SURFACE)
    top = _add_axes(figure, _LEFT, above, _SURFACE, _SIDE, sharex=main)
    right = _add_axes(figure, beside, _BOTTOM, _SIDE, _SURFACE, sharey=main)
    mesh = draw_surface(main, surface, names=names, unit=unit, temperature=temperature)
    draw_basins(main, names, basins, shares, surface)
    handles = _draw_marginal(top, densities[0], vertical=False)
    _draw_marginal(right, densities[1], vertical=True)
    if scale * surface.deepest > scale_top(surface, scale):
        handles += unresolved()
    _legend(figure, handles, beside, above + _SIDE)
    bar = figure.colorbar(
        mesh, cax=_add_axes(figure, beside + _SIDE + 0.2, _BOTTOM, 0.14, _SURFACE), extend="max"
    )
    label_bar(bar, energy_label(unit))
    if heading:
        figure.text(
            _LEFT / _WIDTH, end / height, heading, fontsize=TITLE, color=INK, linespacing=1.3, va="bottom"
        )
    return figure


def plot_profile(
    profile: Profile,
    name: str,
    *,
    ax: Axes | None = None,
    unit: str = "kT",
    temperature: float | None = None,
) -> Axes:
    """Plot a free-energy profile with the band of its 95 % intervals, and return its axes.

    Bins with too few draws for an interval have no band, and a dotted line. The axis ends where the sample
    ends to tell, see `figures.resolved`.

    Args:
        profile: along a length.
        name: of the length, for the label: ``"radius_of_gyration"``.
        ax: axes to draw on; by default those of a new figure.
        unit: of the free energy, one of `units.ENERGY_UNITS`.
        temperature: in K, needed for another unit than kT.

    Raises:
        ValueError: as `scales.energy_scale`.
    """
    scale = energy_scale(unit, temperature)
    if ax is None:
        figure = ShownFigure(3.8, 3.0, dpi=_DPI, layout="constrained")
        ax = figure.add_subplot(axes_class=ShownAxes)
    free_energy, limits = scale * profile.free_energy, scale * profile.free_energy_interval
    known = np.isfinite(limits).all(axis=0)
    free_energy = np.where(np.isfinite(free_energy), free_energy, np.nan)
    low, high = np.where(known, limits, np.nan)
    ax.stairs(high, profile.edges, baseline=low, fill=True, color=TARGET, alpha=0.3, lw=0)
    ax.stairs(free_energy, profile.edges, baseline=None, color=TARGET, lw=1.2, ls=":", label=_FEW_DRAWS)
    ax.stairs(np.where(known, free_energy, np.nan), profile.edges, baseline=None, color=TARGET, lw=1.2)
    if not known.all():
        ax.legend(frameon=False, fontsize=7.5, labelcolor=INK, loc="best")
    top = min(
        float(np.nanmax(free_energy, initial=0.0)) + scale,
        scale * resolved(profile.n_effective, float(profile.probability.max())),
    )
    ax.set_ylim(-0.2 * scale, top)
    ax.set_xlabel(f"{name.replace('_', ' ')} / nm", color=INK)
    ax.set_ylabel(energy_label(unit), color=INK)
    light_frame(ax)
    return ax


def draw_surface(
    axes: Axes,
    surface: Ramachandran,
    *,
    names: tuple[str, str],
    top: float | None = None,
    unit: str = "kT",
    temperature: float | None = None,
) -> QuadMesh:
    """The surface of two named torsions as coloured cells: grey beyond `top` [unit], white without draws."""
    scale = energy_scale(unit, temperature)
    limits = (0.0, top or scale_top(surface, scale))
    mesh = draw_cells(axes, scale * surface.free_energy, names, limits=limits)
    axes.set(xticks=_TICKS, yticks=_TICKS)
    return mesh


def _add_axes(figure: Figure, left: float, bottom: float, width: float, height: float, **shared: Any) -> Axes:
    """Axes at a place given in inches."""
    across, up = figure.get_size_inches()
    place = (left / across, bottom / up, width / across, height / up)
    return figure.add_axes(place, axes_class=ShownAxes, **shared)


def _legend(figure: Figure, handles: Sequence[Artist], left: float, top: float) -> None:
    """What the colours of the densities are, with its upper left corner at a place given in inches."""
    across, up = figure.get_size_inches()
    figure.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(left / across, top / up),
        frameon=False,
        fontsize=8,
        labelcolor=INK,
        borderpad=0,
        borderaxespad=0,
        handlelength=1.4,
    )


def _draw_marginal(axes: Axes, density: TorsionDensity, *, vertical: bool) -> list[Artist]:
    """Densities on a logarithmic scale, to show rare basins: the target filled, the generator's as a line.

    Where all draws have equal weight the two are one.
    """
    edges = np.linspace(-180.0, 180.0, len(density.centres) + 1)
    orientation: Literal["vertical", "horizontal"] = "horizontal" if vertical else "vertical"
    filled = np.maximum(density.weighted, _THINNEST)
    outline = np.maximum(density.unweighted, _THINNEST)
    target = axes.stairs(
        filled, edges, baseline=_THINNEST, orientation=orientation, fill=True, color=TARGET, alpha=0.45, lw=0
    )
    drawn = axes.stairs(outline, edges, baseline=None, orientation=orientation, color=INK, lw=0.9)
    if np.allclose(density.weighted, density.unweighted, rtol=1e-9, atol=0.0):  # frames of a simulation
        drawn.remove()
        target.set_label("frames")
        handles: list[Artist] = [target]
    else:
        target.set_label("target (weighted)")
        drawn.set_label("generator (as drawn)")
        handles = [target, drawn]
    limits, ticks = _decades(density, *((0.4, 0.25) if vertical else (0.22, 0.12)))
    light_frame(axes)
    axes.tick_params(labelleft=not vertical, labelbottom=vertical)
    if vertical:
        axes.set(xscale="log", xlim=limits, xticks=ticks)
        axes.set_xlabel(_DENSITY, fontsize=8, color=INK)
    else:
        axes.set(yscale="log", ylim=limits, yticks=ticks)
        axes.set_ylabel(_DENSITY, fontsize=8, color=INK)
    axes.tick_params(axis="x" if vertical else "y", labelsize=8)
    axes.tick_params(axis="y" if vertical else "x", length=0)
    axes.minorticks_off()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return handles


def _decades(density: TorsionDensity, gap: float, margin: float) -> tuple[tuple[float, float], list[float]]:
    """Limits of an axis of densities, and powers of ten on it.

    It begins below what was drawn most rarely, so that the target's draws without weight do not stretch it,
    and farther below where there would be one number alone. Its numbers are a share `gap` of it or more
    apart, and `margin` from its beginning, so that they meet neither each other nor those of the surface.
    """
    high = 2.0 * float(max(density.weighted.max(), density.unweighted.max()))
    last = math.floor(math.log10(high))
    rarest = float(density.unweighted[density.unweighted > 0].min())
    low = max(_THINNEST, min(0.3 * rarest, 0.5 * 10.0 ** (last - 1)))
    ticks = _powers(low, high, gap, margin)
    while len(ticks) < 2 and low > _THINNEST:
        low = max(_THINNEST, 0.8 * low)
        ticks = _powers(low, high, gap, margin)
    return (low, high), ticks


def _powers(low: float, high: float, gap: float, margin: float) -> list[float]:
    """Powers of ten between low and high, see `_decades`."""
    n_decades, last = math.log10(high / low), math.floor(math.log10(high))
    least = math.ceil(math.log10(low) + margin * n_decades)
    return [10.0**k for k in range(last, least - 1, -math.ceil(gap * n_decades))][::-1]
