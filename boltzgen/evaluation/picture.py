"""An evaluation as one page of pictures, under a line that says what they show."""

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from boltzgen.evaluation.draws import Draws
from boltzgen.evaluation.reference import Reference
from boltzgen.evaluation.tables import heading
from boltzgen.evaluation.tally import Surface, surface_name
from boltzgen.evaluation.verdict import by_chance, differs, doubts, verdict
from boltzgen.figures import (
    GENERATOR,
    INK,
    TARGET,
    ShownFigure,
    draw_cells,
    fitted,
    label_bar,
    light_frame,
    resolved,
    symbol,
    unresolved,
)
from boltzgen.free_energy.histograms import Axis

#: In inches; as wide as two columns of a paper.
_WIDTH, _SURFACES, _PANELS, _DPI = 7.4, 2.35, 2.1, 220
_SMALL, _TINY = 8.0, 7.0
_TICKS = np.arange(-180, 181, 90)
_MIN_COUNT = 10.0
_N_WARNINGS = 5


def evaluation_figure(result: dict[str, Any], draws: Draws, reference: Reference) -> Figure:
    """One page: the verdict, Ramachandran surfaces and their difference, weights, energies, marginals."""
    lines = _lines(result)
    above = sum(0.0205 * size * text.count("\n") + 0.024 * size for text, size, _ in lines) + 0.08
    surfaces = _SURFACES if reference.surfaces else 0.0
    figure = ShownFigure(_WIDTH, above + surfaces + _PANELS, dpi=_DPI, layout="constrained")
    heights = [above, *([surfaces] if surfaces else []), _PANELS]
    parts: Any = figure.subfigures(len(heights), 1, height_ratios=heights, squeeze=False)
    _write(parts[0, 0], lines, above)
    is_grey = bool(surfaces) and _draw_surfaces(parts[1, 0], reference.surfaces[0], draws)
    panels = parts[-1, 0].subplots(1, 4)
    _draw_weights(panels[0], draws)
    _draw_histogram(panels[1], *(reference.energy[0], reference.energy[1].probability), draws, "energies")
    worst = list(zip(result["marginals"], ("worst marginal", "next worst"), strict=False))
    for axes, (marginal, which) in zip(panels[2:], worst, strict=False):
        axis, histogram = reference.marginals[marginal["name"]]
        title = f"{which}: z = {marginal['z']:+.1f}".replace("-", "−")
        _draw_histogram(axes, axis, histogram.probability, draws, title)
    for axes in panels[2 + len(worst) :]:
        axes.set_axis_off()
    handles = panels[1].get_legend_handles_labels()[0] + (unresolved() if is_grey else [])
    parts[-1, 0].legend(
        handles=handles,
        loc="outside lower center",
        ncols=4,
        frameon=False,
        fontsize=_TINY,
        labelcolor=INK,
    )
    return figure


def _lines(result: dict[str, Any]) -> list[tuple[str, float, str]]:
    """What stands above the pictures: each text with the size and colour of its letters."""
    warnings = [f"Warning: {text}" for text in result["warnings"]]
    shown = warnings[:_N_WARNINGS]
    if len(warnings) > len(shown):
        shown.append(f"{len(warnings) - len(shown)} more warnings: evaluation.md has all.")
    texts = [
        (heading(result), 9.5, INK),
        (verdict(result), 9.5, GENERATOR if differs(result) or doubts(result) else TARGET),
        (by_chance(result), _TINY, INK),
        *((text, _TINY, GENERATOR) for text in shown),
    ]
    return [(fitted(text, _WIDTH - 0.25, size=size, even=False), size, color) for text, size, color in texts]


def _write(figure: Any, lines: list[tuple[str, float, str]], height: float) -> None:
    """Write paragraphs below each other into a part of a figure that is `height` inches high."""
    below = 0.06
    for text, size, color in lines:
        figure.text(
            0.1 / _WIDTH, 1 - below / height, text, fontsize=size, color=color, va="top", linespacing=1.25
        )
        below += 0.0205 * size * text.count("\n") + 0.024 * size


def _draw_surfaces(figure: Any, surface: Surface, draws: Draws) -> bool:
    """Both surfaces on one scale, and their difference; return whether cells lie beyond the scale."""
    drawn = draws.table(surface_name(surface.pair, len(surface.probability)))
    p, q = surface.probability, drawn.weight.reshape(surface.probability.shape)
    with np.errstate(divide="ignore", invalid="ignore"):
        free = [-np.log(np.where(v > 0, v, np.nan)) + math.log(v.max()) for v in (p, q)]
        enough = np.minimum(p * surface.n_effective, q * draws.n_effective) >= _MIN_COUNT
        difference = np.where(enough, np.log(p) - np.log(q), np.nan)
    known = [resolved(n, float(v.max())) for n, v in ((surface.n_effective, p), (draws.n_effective, q))]
    deepest = max(float(np.nanmax(values)) for values in free)
    top = float(math.ceil(min(*known, deepest)))
    for panel, values, title in zip(
        figure.subplots(1, 3),
        (*free, difference),
        ("reference", "generator, reweighted", "generator less reference,\n10 effective draws or more"),
        strict=True,
    ):
        is_difference = values is difference
        colors, limits = ("RdBu_r", (-1.0, 1.0)) if is_difference else ("viridis", (0.0, top))
        mesh = draw_cells(panel, values, surface.pair, limits=limits, colors=colors)
        panel.set(xticks=_TICKS, yticks=_TICKS)
        panel.set_title(title, fontsize=_SMALL, color=INK)
        _shrink(panel)
        panel.yaxis.labelpad = -4
        cax = panel.inset_axes((1.05, 0.0, 0.06, 1.0))
        bar = figure.colorbar(mesh, cax=cax, extend="both" if is_difference else "max")
        label_bar(bar, "difference / kT" if is_difference else "free energy / kT", size=_TINY)
        bar.ax.yaxis.label.set_fontsize(_SMALL)
    return deepest > top


def _draw_weights(axes: Axes, draws: Draws) -> None:
    """Log-weights relative to log Z under the target: the draws reweighted, and the reference."""
    finite = np.isfinite(draws.log_w)
    log_z = float(np.log(np.exp(draws.log_w - draws.log_w.max()).mean()) + draws.log_w.max())
    ours = draws.log_w[finite] - log_z
    theirs = draws.log_w_reference[np.isfinite(draws.log_w_reference)] - log_z
    low, high = -6.0, max(ours.max(), theirs.max() if len(theirs) else 0.0)
    edges = np.linspace(low, high + 1e-6, 80).tolist()
    axes.hist(
        np.clip(ours, low, None),
        edges,
        weights=draws.weights[finite],
        density=True,
        histtype="step",
        color=GENERATOR,
    )
    if len(theirs):
        axes.hist(np.clip(theirs, low, None), edges, density=True, color=TARGET, alpha=0.45)
    axes.set_yscale("log")
    axes.set_xlabel("log w − log Z", color=INK)
    axes.set_ylabel("density", color=INK)
    axes.set_title("log-weights", fontsize=_SMALL, color=INK)
    light_frame(axes)
    _shrink(axes)


def _draw_histogram(axes: Axes, axis: Axis, p: np.ndarray, draws: Draws, title: str) -> None:
    """One coordinate's shares: the reference filled, the draws reweighted and as made; without open bins."""
    drawn = draws.table(axis.name)
    inner = slice(None) if axis.is_periodic else slice(1, -1)
    edges = axis.edges if axis.is_periodic else axis.edges[1:-1]
    scale = 180.0 / np.pi if axis.unit == "radians" else 1.0
    unit = "degrees" if axis.unit == "radians" else axis.unit
    axes.stairs(100 * p[inner], edges * scale, fill=True, color=TARGET, alpha=0.45, label="reference")
    axes.stairs(
        100 * drawn.weight[inner], edges * scale, color=GENERATOR, lw=1.0, label="generator, reweighted"
    )
    axes.stairs(100 * drawn.raw[inner], edges * scale, color=INK, lw=0.7, ls=":", label="generator, as drawn")
    axes.set_xlabel(fitted(f"{symbol(axis.name)} / {unit}", 1.5, size=_SMALL), color=INK)
    axes.set_ylabel("share of a bin / %", color=INK)
    axes.set_title(title, fontsize=_SMALL, color=INK)
    axes.locator_params(axis="x", nbins=4)
    light_frame(axes)
    _shrink(axes)


def _shrink(axes: Axes) -> None:
    """Numbers and labels small enough for four panels beside each other."""
    axes.tick_params(labelsize=_TINY, length=2.5)
    axes.xaxis.label.set_fontsize(_SMALL)
    axes.yaxis.label.set_fontsize(_SMALL)
