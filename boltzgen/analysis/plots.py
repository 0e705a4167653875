"""Pictures of weighted samples.

They are drawn on the axes that are given, or on new figures of Matplotlib's Agg canvas: nothing global is
touched, and no display is needed.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, QuadMesh
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from scipy import ndimage

from boltzgen.analysis.profiles import Profile
from boltzgen.analysis.ramachandran import (
    Ramachandran,
    TorsionDensity,
    ramachandran,
    suitable_bins,
    torsion_density,
)
from boltzgen.molecule.basins import Basin, assign_basins, basins_over
from boltzgen.molecule.graph import backbone_pairs
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.weights import effective_sample_size, normalized_weights

TARGET, INK = "#31688e", "#333333"
_SIZE, _DPI = (6.6, 5.9), 180
_TICKS = np.arange(-180, 181, 60)


def plot_ramachandran(
    samples: WeightedSamples, *, pair: tuple[str, str] | None = None, ax: Axes | None = None
) -> Axes:
    """Plot the weighted free-energy surface over (phi, psi) in kT, and return its axes.

    Basins of these torsions alone, or else the residue's regions, are outlined and labelled with their
    populations. Save with ``ax.figure.savefig("ramachandran.png")``.

    Args:
        samples: with a `system` that names the torsions.
        pair: names of the two torsions; by default the first backbone pair.
        ax: axes to draw on, with a colour bar to their right. By default those of a new figure, with the
            densities of phi and psi at their sides.

    Raises:
        ValueError: the molecule has no such torsions, or all weights are zero.
    """
    molecule = samples.system
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
        return ramachandran_figure(phi, psi, weights, n_effective, basins, names=names).axes[0]
    surface = ramachandran(phi, psi, weights, suitable_bins(n_effective))
    mesh = draw_surface(ax, surface, names=names)
    _draw_basins(ax, names, basins, _shares({names[0]: phi, names[1]: psi}, weights, basins), surface)
    _label_bar(ax.figure.colorbar(mesh, cax=ax.inset_axes((1.03, 0.0, 0.035, 1.0)), extend="max"))
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
        n_bins: along each axis, if they shall not follow from the draws.
    """
    n_bins = n_bins or suitable_bins(n_effective)
    surface = ramachandran(phi, psi, weights, n_bins)
    figure = Figure(figsize=_SIZE, dpi=_DPI)
    FigureCanvasAgg(figure)
    main = _add_axes(figure, 0.75, 0.6, 4.0, 4.0)
    top = _add_axes(figure, 0.75, 4.68, 4.0, 0.8, sharex=main)
    right = _add_axes(figure, 4.83, 0.6, 0.8, 4.0, sharey=main)
    mesh = draw_surface(main, surface, names=names)
    _draw_basins(main, names, basins, _shares({names[0]: phi, names[1]: psi}, weights, basins), surface)
    handles = _draw_marginal(top, torsion_density(phi, weights, n_bins), vertical=False)
    _draw_marginal(right, torsion_density(psi, weights, n_bins), vertical=True)
    top.legend(
        handles=handles,
        loc="upper left",
        bbox_to_anchor=(1.02, 1.0),
        frameon=False,
        fontsize=8,
        labelcolor=INK,
        borderpad=0,
    )
    _label_bar(figure.colorbar(mesh, cax=_add_axes(figure, 5.8, 0.6, 0.14, 4.0), extend="max"))
    if title:
        figure.text(0.75 / _SIZE[0], 5.62 / _SIZE[1], title, fontsize=9.5, color=INK)
    return figure


def plot_profile(profile: Profile, name: str, *, ax: Axes | None = None) -> Axes:
    """Plot a free-energy profile in kT with the band of its 95 % intervals, and return its axes.

    Bins with too few draws for an interval have a line without a band.

    Args:
        profile: along a length.
        name: of the length, for the label: ``"radius_of_gyration"``.
        ax: axes to draw on; by default those of a new figure.
    """
    if ax is None:
        figure = Figure(figsize=(3.8, 3.0), dpi=_DPI, layout="constrained")
        FigureCanvasAgg(figure)
        ax = figure.subplots()
    free_energy, limits = profile.free_energy, profile.free_energy_interval
    known = np.isfinite(limits).all(axis=0)
    free_energy = np.where(np.isfinite(free_energy), free_energy, np.nan)
    low, high = np.where(known, limits, np.nan)
    ax.stairs(high, profile.edges, baseline=low, fill=True, color=TARGET, alpha=0.3, lw=0)
    ax.stairs(free_energy, profile.edges, baseline=None, color=TARGET, lw=1.2)
    ax.set_ylim(-0.2, float(np.nanmax(free_energy, initial=0.0)) + 1.0)
    ax.set_xlabel(f"{name.replace('_', ' ')} / nm", color=INK)
    ax.set_ylabel("free energy / kT", color=INK)
    light_frame(ax)
    return ax


def _add_axes(figure: Figure, left: float, bottom: float, width: float, height: float, **shared: Any) -> Axes:
    """Axes at a place given in inches."""
    across, up = _SIZE
    return figure.add_axes((left / across, bottom / up, width / across, height / up), **shared)


def draw_surface(
    axes: Axes, surface: Ramachandran, *, names: tuple[str, str], top: float | None = None
) -> QuadMesh:
    """The surface of two named torsions as coloured cells up to `top` [kT], white where no draw fell."""
    free_energy = surface.free_energy
    cells = np.ma.masked_where(~np.isfinite(free_energy), free_energy).T
    edges = np.linspace(-180.0, 180.0, len(free_energy) + 1)
    mesh = axes.pcolormesh(
        edges, edges, cells, cmap="viridis", vmin=0.0, vmax=top or scale_top(free_energy), rasterized=True
    )
    axes.set(xlim=(-180, 180), ylim=(-180, 180), xticks=_TICKS, yticks=_TICKS)
    axes.set_aspect("equal")
    axes.set_xlabel(f"{symbol(names[0])} / degrees", color=INK)
    axes.set_ylabel(f"{symbol(names[1])} / degrees", color=INK, labelpad=2)
    light_frame(axes)
    return mesh


def _label_bar(bar: Colorbar) -> None:
    bar.set_label("free energy / kT", color=INK)
    bar.ax.tick_params(colors=INK, labelsize=9, length=3)
    bar.outline.set_visible(False)  # type: ignore[operator]


def scale_top(free_energy: np.ndarray) -> float:
    """Where the colour scale of free energies [kT] ends: above all but the rarest cells."""
    return max(2.0, float(np.ceil(np.quantile(free_energy[np.isfinite(free_energy)], 0.995))))


def _draw_basins(
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
            text = f"{basin.name}\n{100 * share:.2g} %"
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


def _draw_marginal(axes: Axes, density: TorsionDensity, *, vertical: bool) -> list[Artist]:
    """Densities on a logarithmic scale, to show rare basins: the target filled, the generator's as a line."""
    edges = np.linspace(-180.0, 180.0, len(density.centres) + 1)
    orientation: Literal["vertical", "horizontal"] = "horizontal" if vertical else "vertical"
    floor = 1e-6
    filled = np.maximum(density.weighted, floor)
    outline = np.maximum(density.unweighted, floor)
    target = axes.stairs(
        filled, edges, baseline=floor, orientation=orientation, fill=True, color=TARGET, alpha=0.45, lw=0
    )
    drawn = axes.stairs(outline, edges, baseline=None, orientation=orientation, color=INK, lw=0.9)
    target.set_label("target (weighted)")
    drawn.set_label("generator (as drawn)")
    limits = (
        max(floor, 0.3 * density.weighted[density.weighted > 0].min()),
        2.0 * max(density.weighted.max(), density.unweighted.max()),
    )
    if vertical:
        axes.set(xscale="log", xlim=limits)
        axes.set_xlabel("log density", fontsize=8, color=INK)
    else:
        axes.set(yscale="log", ylim=limits)
        axes.set_ylabel("log density", fontsize=8, color=INK)
    axes.tick_params(labelleft=False, labelbottom=False)
    axes.minorticks_off()
    (axes.xaxis if vertical else axes.yaxis).set_ticks([])
    for side in ("top", "right", "left" if not vertical else "bottom"):
        axes.spines[side].set_visible(False)
    light_frame(axes)
    return [target, drawn]


def _shares(torsions: Mapping[str, np.ndarray], weights: np.ndarray, basins: Sequence[Basin]) -> np.ndarray:
    labels = assign_basins(torsions, basins)
    return np.bincount(labels + 1, weights, minlength=len(basins) + 1)[1:] / weights.sum()


def light_frame(axes: Axes) -> None:
    """Thin grey axes with small numbers."""
    axes.tick_params(colors=INK, labelsize=9, length=3)
    for spine in axes.spines.values():
        spine.set(color="#b0b0b0", linewidth=0.8)


def symbol(name: str) -> str:
    """A Greek letter for phi and psi, with the residue's number if there is one."""
    for word, letter in (("phi", "φ"), ("psi", "ψ")):
        if name.startswith(word):
            return letter + name[len(word) :]
    return name
