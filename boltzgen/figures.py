"""Figures that notebooks show as they are, and what all pictures have in common.

Nothing here knows pyplot: nothing global is touched, no display is needed, and a figure lives as long as
somebody holds it. Colours, frames, titles and Greek letters are the same in every picture.
"""

import io
import re
import textwrap
from typing import Any

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

#: Colours of the target, of the generator, and of everything that is written or drawn thin.
TARGET, GENERATOR, INK = "#31688e", "#d1495b", "#333333"
_FRAME = "#b0b0b0"
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


def fitted(text: str, width: float, *, size: float = TITLE) -> str:
    """A text broken into lines of like length, no wider than `width` [inches] in letters of `size` [points].

    >>> fitted("alanine_dipeptide, 300 K: 20,000 draws, 19,948 effective", 3.4).splitlines()
    ['alanine_dipeptide, 300 K:', '20,000 draws, 19,948 effective']
    """
    figure = ShownFigure(1.0, 1.0)
    probe = figure.text(0.0, 0.0, "", fontsize=size)

    def breaks(length: int) -> str:
        probe.set_text(textwrap.fill(text, length))
        return probe.get_text()

    length = len(text)
    while length > _SHORTEST and (breaks(length) and probe.get_window_extent().width > width * figure.dpi):
        length -= 1
    n_lines = breaks(length).count("\n")
    while length > _SHORTEST and breaks(length - 1).count("\n") == n_lines:
        length -= 1
    return breaks(length)


def set_title(figure: Figure, title: str) -> None:
    """Write a title above all panels of a figure with a constrained layout; nothing if it is empty."""
    if title:
        text = fitted(title, figure.get_figwidth() - 0.3)
        figure.suptitle(text, fontsize=TITLE, color=INK, linespacing=1.3)


def light_frame(axes: Axes, *, size: float = 9) -> None:
    """Thin grey axes with small numbers, of `size` [points]."""
    axes.tick_params(colors=INK, labelsize=size, length=3)
    for spine in axes.spines.values():
        spine.set(color=_FRAME, linewidth=0.8)
