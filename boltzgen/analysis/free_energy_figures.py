"""Figures of free energies: points with their error bars, and how they converge."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from boltzgen.analysis.scales import energy_label
from boltzgen.figures import (
    GENERATOR,
    INK,
    TARGET,
    ShownFigure,
    fitted,
    label_bar,
    light_frame,
    set_title,
    symbol,
)
from boltzgen.free_energy.convergence import Convergence
from boltzgen.free_energy.pmf import Pmf
from boltzgen.free_energy.result import Result

_DPI = 150
#: Most panels of convergence beside each other.
_MOST = 3
#: Width of a panel of convergence, in inches.
_WIDE = 2.7
_TURN, _TICKS = 360.0, range(-180, 181, 60)


#: Between the states of a difference.
_TO = " → "
#: What the second colour of points says.
_DOUBTFUL = "red: with a warning, see the text"


def difference_label(unit: str) -> str:
    """The label of an axis of free-energy differences in `unit`."""
    return f"ΔF / {unit if '/' not in unit else f'({unit})'}"


def free_energy_figure(
    points: Mapping[str, Result],
    curves: Mapping[str, Convergence],
    *,
    label: str,
    curve_label: str = "",
    title: str = "",
) -> ShownFigure:
    """Named results with 95 % intervals, and the convergence of some of them beside.

    Args:
        points: by name, from top to bottom.
        curves: by title, at most three are drawn.
        label: of the points' axis, with the unit.
        curve_label: of the curves' axis; by default `label`.
        title: of the figure.
    """
    shown = dict(list(curves.items())[:_MOST])
    height = max(2.6, 0.8 + 0.24 * len(points))
    figure = ShownFigure(3.4 + _WIDE * len(shown), height, dpi=_DPI, layout="constrained")
    panels = figure.subplots(1, 1 + len(shown), squeeze=False, width_ratios=[3.4, *[_WIDE] * len(shown)])[0]
    draw_points(panels[0], points, label)
    for axes, (name, curve) in zip(panels[1:], shown.items(), strict=True):
        draw_convergence(axes, curve, curve_label or label)
        axes.set_title(_title(name), fontsize=9, color=INK)
    for axes in panels[2:]:
        axes.set_ylabel("")
    if shown:
        panels[1].legend(frameon=False, fontsize=7.5, labelcolor=INK)
    set_title(figure, title)
    return figure


def draw_points(axes: Axes, points: Mapping[str, Result], label: str) -> None:
    """Results as points with 95 % intervals; an open end is an arrow, one without value only a name."""
    rows = np.arange(len(points))
    axes.set_yticks(rows, list(points))
    axes.set_ylim(len(points) - 0.5, -0.5)
    limits = [v for r in points.values() for v in (r.value, r.low, r.high) if math.isfinite(v)] or [0.0]
    span = max(max(limits) - min(limits), 1e-3)
    for row, result in zip(rows, points.values(), strict=True):
        at = result.value if math.isfinite(result.value) else result.low
        if not math.isfinite(at):
            continue
        colour = TARGET if result.is_trusted else GENERATOR
        low, high = (v if math.isfinite(v) else at for v in (result.low, result.high))
        axes.plot([low, high], [row, row], color=colour, lw=1.4, solid_capstyle="butt")
        for end, way in ((result.low, -1), (result.high, 1)):
            if not math.isfinite(end):
                arrow = {"arrowstyle": "->", "color": colour, "lw": 1.2}
                axes.annotate("", (at + 0.1 * way * span, row), (at, row), arrowprops=arrow)
        if math.isfinite(result.value):
            axes.plot(at, row, "o", ms=4.5, color=colour)
    axes.set_xlim(min(limits) - 0.13 * span, max(limits) + 0.13 * span)
    if any(not result.is_trusted for result in points.values()):
        label += f"\n{_DOUBTFUL}"
    axes.set_xlabel(label, color=INK)
    axes.grid(axis="x", color="#e4e4e4", lw=0.6)
    axes.set_axisbelow(True)
    light_frame(axes)


def draw_convergence(axes: Axes, curve: Convergence, label: str) -> None:
    """Estimates from the first draws and from the last ones against their number, with 95 % intervals."""
    final = curve.forward[-1]
    if math.isfinite(final.low) and math.isfinite(final.high):
        axes.axhspan(final.low, final.high, color=TARGET, alpha=0.15, lw=0)
    n = np.array(curve.n_draws)
    step = 0.012 * n[-1]
    for name, part, colour, shift in (
        ("first draws", curve.forward, TARGET, -step),
        ("last draws", curve.backward, GENERATOR, step),
    ):
        value, low, high = (np.array([getattr(r, f) for r in part]) for f in ("value", "low", "high"))
        known = np.isfinite(value)
        value = np.where(known, value, 0.0)
        below, above = (np.abs(value - np.where(np.isfinite(end), end, value))[known] for end in (low, high))
        axes.errorbar(
            n[known] + shift, value[known], (below, above), fmt="o-", ms=3, lw=0.9, elinewidth=1.1,
            color=colour, label=name,
        )  # fmt: skip
    axes.set_xlim(0, 1.05 * n[-1])
    axes.set_xlabel("draws used", color=INK)
    axes.set_ylabel(label, color=INK)
    axes.ticklabel_format(axis="x", style="sci", scilimits=(-3, 4), useMathText=True)
    light_frame(axes)


def pmf_panels(n: int, title: str) -> tuple[ShownFigure, Sequence[Axes]]:
    """A figure of n panels side by side."""
    figure = ShownFigure(0.4 + 3.6 * n, 3.1, dpi=_DPI, layout="constrained")
    panels: Sequence[Axes] = figure.subplots(1, n, squeeze=False)[0]
    set_title(figure, title)
    return figure, panels


def draw_pmf(axes: Axes, pmf: Pmf, unit: str, scale: float) -> None:
    """A PMF in `unit`, of which one kT is `scale`: a curve with its 95 % band, or a surface."""
    labels = [
        f"{symbol(name)} / {u}" if u else symbol(name) for name, u in zip(pmf.names, pmf.units, strict=True)
    ]
    axes.set_xlabel(labels[0], color=INK)
    f = scale * np.where(np.isfinite(pmf.free_energy), pmf.free_energy, np.nan)
    light_frame(axes)
    if pmf.periods[0] == _TURN:
        axes.set(xlim=(-180, 180), xticks=_TICKS)
    if len(labels) == 2:
        mesh = axes.pcolormesh(*pmf.centres, f.T, cmap="viridis", shading="nearest", rasterized=True)
        axes.set_ylabel(labels[1], color=INK)
        if pmf.periods[1] == _TURN:
            axes.set(ylim=(-180, 180), yticks=_TICKS)
        label_bar(axes.figure.colorbar(mesh, ax=axes), energy_label(unit))
        return
    low, high = scale * pmf.free_energy_low, scale * pmf.free_energy_high
    band = np.isfinite(low) & np.isfinite(high)
    axes.fill_between(pmf.centres[0], low, high, where=band.tolist(), color=TARGET, alpha=0.3, lw=0)
    axes.plot(pmf.centres[0], f, color=TARGET, lw=1.2)
    axes.set_ylabel(energy_label(unit), color=INK)


def draw_scan(axes: Axes, angle: np.ndarray, energy: np.ndarray) -> None:
    """Energies along a torsion [degrees] over its PMF, in the unit of that."""
    axes.plot(angle, energy, "--", color=INK, lw=0.9, label="energy, all else relaxed")
    axes.legend(frameon=False, fontsize=7.5)


def temperature_figure(
    temperatures: Sequence[float],
    panels: Mapping[str, Mapping[str, Sequence[Result]]],
    curves: Mapping[str, Convergence],
    curve_label: str,
    title: str,
) -> ShownFigure:
    """Results against the temperature, a panel for each quantity, and convergence in further ones.

    Points of results with a warning are hollow.

    Args:
        temperatures: in K.
        panels: by label of the axis, results at each temperature by name.
        curves: by title.
        curve_label: of the curves' axes.
        title: of the figure.
    """
    n = len(panels) + len(curves)
    n_columns = 3
    rows = math.ceil(n / n_columns)
    figure = ShownFigure(0.4 + 2.9 * n_columns, 0.4 + 2.5 * rows, dpi=_DPI, layout="constrained")
    grid = list(figure.subplots(rows, n_columns, squeeze=False).flat)
    for axes in grid[n:]:
        axes.set_axis_off()
    for axes, (label, lines) in zip(grid, panels.items(), strict=False):
        for name, results in lines.items():
            value, low, high = (np.array([getattr(r, f) for r in results]) for f in ("value", "low", "high"))
            bars = [np.where(np.isfinite(end), np.abs(value - end), 0.0) for end in (low, high)]
            colour = TARGET if len(lines) == 1 else None
            axes.errorbar(
                temperatures, value, bars, fmt="o-", ms=3, lw=0.9, elinewidth=1.1, color=colour, label=name
            )
            doubtful = np.array([not r.is_trusted for r in results])
            hollow = {"color": GENERATOR, "ms": 4.5, "mfc": "white", "mec": GENERATOR, "zorder": 3}
            axes.plot(np.array(temperatures)[doubtful], value[doubtful], "o", **hollow)
        axes.set_xlabel("T / K", color=INK)
        axes.set_ylabel(label, color=INK)
        if len(lines) > 1:
            axes.set_yscale("log")
            axes.legend(frameon=False, fontsize=7, labelcolor=INK)
        light_frame(axes)
    for axes, (name, curve) in zip(grid[len(panels) :], curves.items(), strict=False):
        draw_convergence(axes, curve, curve_label)
        axes.set_title(name, fontsize=9, color=INK)
    if curves:
        grid[len(panels)].legend(frameon=False, fontsize=7, labelcolor=INK)
    set_title(figure, title)
    return figure


def titled(names: Sequence[tuple[str, str]]) -> list[str]:
    """Titles of differences: ``"C7eq → C7ax"``."""
    return [f"{start}{_TO}{end}" for start, end in names]


def _title(name: str) -> str:
    """A panel's title in lines that fit; one of a difference is broken between its states first."""
    wide = _WIDE - 0.3
    if fitted(name, wide, size=9) == name:
        return name
    return f"\n{_TO.lstrip()}".join(fitted(part, wide, size=9) for part in name.split(_TO))
