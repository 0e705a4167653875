"""Figures as notebooks show them, titles that fit, and the depth of a histogram."""

import io
import math

import numpy as np
import pytest
from matplotlib.image import imread
from matplotlib.text import Text

from boltzgen.figures import (
    ShownAxes,
    ShownFigure,
    draw_cells,
    fitted,
    resolved,
    set_title,
    symbol,
    unresolved,
)


def width(text: str, size: float) -> float:
    """Of a text in inches."""
    figure = ShownFigure(1.0, 1.0)
    written: Text = figure.text(0, 0, text, fontsize=size)
    return float(written.get_window_extent().width / figure.dpi)


def test_a_notebook_shows_the_figure_and_its_axes() -> None:
    figure = ShownFigure(4.0, 2.0)
    axes = figure.add_subplot(axes_class=ShownAxes)
    axes.plot([0, 1], [0, 1])
    for shown in (figure, axes):
        pixels = imread(io.BytesIO(shown._repr_png_()), format="png")
        assert pixels.shape[1] == pytest.approx(2 * pixels.shape[0], abs=2)
        assert pixels[..., :3].std() > 0.05


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("phi", "φ"),
        ("psi3", "ψ3"),
        ("omega0", "ω0"),
        ("chi1", "χ1"),
        ("chi1_52A", "χ1_52A"),
        ("phiB5", "φB5"),
        ("omega NME3:C-N-ALA2:C-CA", "ω NME3:C-N-ALA2:C-CA"),
        ("torsion C-N-CA-C", "torsion C-N-CA-C"),
        ("chiral", "chiral"),
    ],
)
def test_greek_letters(name: str, shown: str) -> None:
    assert symbol(name) == shown


@pytest.mark.parametrize("inches", [1.5, 3.0, 5.0])
def test_a_text_is_broken_to_fit(inches: float) -> None:
    text = f"{'long_name_' * 9}, 300 K: 20,000 draws, 19,948 effective, of a molecule with a long name"
    for even in (True, False):
        lines = fitted(text, inches, even=even).splitlines()
        assert max(width(line, 9.5) for line in lines) <= inches
        assert "".join("".join(lines).split()) == "".join(text.split())
    assert fitted("short", inches) == "short"


def test_even_lines_are_as_long_as_each_other() -> None:
    text = "one two three four five six seven eight nine"
    inches = 1.05 * width("one two three four five six seven", 9.5)
    even, greedy = (fitted(text, inches, even=flag).splitlines() for flag in (True, False))
    assert greedy == ["one two three four five six seven", "eight nine"]
    assert len(even) == 2
    assert abs(len(even[0]) - len(even[1])) < 10


def test_a_title_is_inside_its_figure() -> None:
    figure = ShownFigure(3.0, 2.0, layout="constrained")
    figure.add_subplot()
    set_title(figure, "alanine_dipeptide_amber99sbildn, 300 K: 1,000,000 draws, 997,000 effective")
    figure.draw_without_rendering()
    box = figure._suptitle.get_window_extent()
    assert box.x0 >= 0 and box.x1 <= figure.bbox.x1 and box.y1 <= figure.bbox.y1


def test_the_depth_that_draws_resolve() -> None:
    assert resolved(1000.0, 0.05) == pytest.approx(math.log(500))
    assert resolved(1e9, 0.05) == 10.0
    assert resolved(1.0, 1.0) == 3.0


def test_cells_beyond_the_scale_have_the_colour_of_the_legend() -> None:
    values = np.array([[0.0, 4.0], [60.0, np.inf]])
    axes = ShownFigure(2.0, 2.0).add_subplot()
    mesh = draw_cells(axes, values, ("phi2", "chi1_2"), limits=(0.0, 5.0))
    colors = mesh.cmap(mesh.norm(mesh.get_array()))
    np.testing.assert_allclose(colors[0, 1], unresolved()[0].get_facecolor())
    assert len({tuple(c) for c in colors.reshape(-1, 4)}) == 4
    assert colors[1, 1, 3] == 0  # nothing is drawn where no draw fell
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("φ2 / degrees", "χ1_2 / degrees")
