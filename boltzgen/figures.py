"""Figures that notebooks show as they are, and what all pictures have in common.

Nothing here knows pyplot: nothing global is touched, no display is needed, and a figure lives as long as
somebody holds it. Colours, frames, titles and Greek letters are the same in every picture.
"""

import io
import math
import re
import textwrap
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import QuadMesh
from matplotlib.colorbar import Colorbar
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import LogLocator, NullFormatter

#: Colours of the target, of the generator, and of everything that is written or drawn thin.
TARGET, GENERATOR, INK = "#31688e", "#d1495b", "#333333"
_FRAME = "#b0b0b0"
#: Colour of cells with draws beyond the end of the scale, which are those under so many effective draws.
_BEYOND, _LEAST = "#d6d6d6", 0.1
#: No scale of free energies ends below or above these many kT.
SHALLOWEST, _DEEPEST = 3.0, 10.0
#: Pixels an inch in a notebook: as large there as in a paper's two columns.
_SCREEN_DPI = 110
_GREEK = {"phi": "φ", "psi": "ψ", "omega": "ω", "chi": "χ"}
_TORSION = re.compile(rf"^({'|'.join(_GREEK)})(?![a-z])")
#: Size of a title's letters, in points, and the least characters of a line that it is broken into.
TITLE, _SHORTEST = 9.5, 8


class ShownFigure(Figure):
    """A figure that is shown where it is the last value of a notebook's cell.

    Args:
        width, height: in inches.
        **options: of `matplotlib.figure.Figure`.
    """

    def __init__(self, width: float, height: float, **options: Any) -> None:
        super().__init__(figsize=(width, height), **options)
        FigureCanvasAgg(self)

    def _repr_png_(self) -> bytes:
        """What Jupyter asks for."""
        picture = io.BytesIO()
        self.savefig(picture, format="png", dpi=_SCREEN_DPI)
        return picture.getvalue()


class ShownAxes(Axes):
    """Axes of a `ShownFigure`, which notebooks show as their whole figure."""

    def _repr_png_(self) -> bytes:
        picture: bytes = self.figure._repr_png_()  # type: ignore[union-attr]
        return picture


def symbol(name: str) -> str:
    """A torsion's name with a Greek letter, for pictures; other names as they are.

    >>> [symbol(name) for name in ("phi", "psi3", "omega0", "chi1_52A", "torsion C-N-CA-C")]
    ['φ', 'ψ3', 'ω0', 'χ1_52A', 'torsion C-N-CA-C']
    """
    return _TORSION.sub(lambda found: _GREEK[found[1]], name)


def fitted(text: str, width: float, *, size: float = TITLE, even: bool = True) -> str:
    """A text broken into lines no wider than `width` [inches] in letters of `size` [points].

    They are as long as each other, or else (`even` false) as long as can be.

    >>> fitted("alanine_dipeptide, 300 K: 20,000 draws, 19,948 effective", 3.4).splitlines()
    ['alanine_dipeptide, 300 K:', '20,000 draws, 19,948 effective']
    """
    # Letters are rounded to pixels: a fine grid, and some room, make it fit at any resolution.
    figure = ShownFigure(1.0, 1.0, dpi=200)
    most = 0.97 * width * figure.dpi
    probe = figure.text(0.0, 0.0, "", fontsize=size)

    def too_wide(lines: str) -> bool:
        probe.set_text(lines)
        return bool(probe.get_window_extent().width > most)

    if not too_wide(text):
        return text
    # Letters differ in width, but not so much that a line could hold half as many again.
    length = min(len(text), math.ceil(1.5 * len(text) * most / probe.get_window_extent().width))
    while length > _SHORTEST and too_wide(textwrap.fill(text, length)):
        length -= 1
    n_lines = textwrap.fill(text, length).count("\n")
    while even and length > _SHORTEST and textwrap.fill(text, length - 1).count("\n") == n_lines:
        length -= 1
    return textwrap.fill(text, length)


def set_title(figure: Figure, title: str) -> None:
    """Write a title above all panels of a figure with a constrained layout; nothing if it is empty."""
    if title:
        text = fitted(title, figure.get_figwidth() - 0.3)
        figure.suptitle(text, fontsize=TITLE, color=INK, linespacing=1.3)


def resolved(n_effective: float, largest: float) -> float:
    """The free energy [kT] up to which a histogram tells, within 3 and 10.

    It is that of a bin with the weight of a tenth of an effective draw, ln(10 n_effective p) with p the
    `largest` share of a bin. What lies beyond comes from draws with next to no weight, and would be another
    in another sample.
    """
    return float(np.clip(math.log(n_effective * largest / _LEAST), SHALLOWEST, _DEEPEST))


def unresolved() -> list[Artist]:
    """What a legend says of grey cells, and of white ones beside them."""
    return [
        Patch(facecolor=_BEYOND, label=f"under {_LEAST:g} effective draws"),
        Patch(facecolor="white", edgecolor=_BEYOND, label="no draws"),
    ]


def draw_cells(
    axes: Axes,
    values: np.ndarray,
    names: tuple[str, str],
    *,
    limits: tuple[float, float],
    colors: str = "viridis",
) -> QuadMesh:
    """Values over two torsions as coloured cells.

    Args:
        axes: to draw on.
        values: (n_bins, n_bins), the first torsion first; cells that are not finite stay white.
        names: of the two torsions.
        limits: of the colours; of free energies, cells above are grey.
        colors: name of a map of Matplotlib's.
    """
    edges = np.linspace(-180.0, 180.0, len(values) + 1)
    mapped = colormaps[colors]
    mesh = axes.pcolormesh(
        edges,
        edges,
        np.ma.masked_invalid(values).T,
        cmap=mapped.with_extremes(over=_BEYOND) if limits[0] == 0 else mapped,
        vmin=limits[0],
        vmax=limits[1],
        rasterized=True,
    )
    axes.set(xlim=(-180, 180), ylim=(-180, 180))
    axes.set_aspect("equal")
    axes.set_xlabel(f"{symbol(names[0])} / degrees", color=INK)
    axes.set_ylabel(f"{symbol(names[1])} / degrees", color=INK, labelpad=2)
    light_frame(axes)
    return mesh


def label_bar(bar: Colorbar, text: str, *, size: float = 9) -> None:
    """Write at a colour bar what it is of; its numbers are of `size` [points]."""
    bar.set_label(text, color=INK)
    bar.ax.tick_params(colors=INK, labelsize=size, length=3)
    bar.outline.set_visible(False)  # type: ignore[operator]


def plain_numbers(axes: Axes) -> None:
    """Write 2 and 0.6 at a logarithmic y axis, where powers of ten would be too few."""
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def light_frame(axes: Axes, *, size: float = 9) -> None:
    """Thin grey axes with small numbers, of `size` [points]."""
    axes.tick_params(colors=INK, labelsize=size, length=3)
    for spine in axes.spines.values():
        spine.set(color=_FRAME, linewidth=0.8)
