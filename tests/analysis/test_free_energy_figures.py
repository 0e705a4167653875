"""Figures of free energies show points, bars, arrows of open ends, and parts of the draws."""

import math

import numpy as np
from matplotlib.text import Annotation

from boltzgen.analysis.free_energy_figures import (
    _title,
    difference_label,
    draw_pmf,
    free_energy_figure,
    pmf_panels,
    temperature_figure,
    titled,
)
from boltzgen.figures import GENERATOR, TARGET
from boltzgen.free_energy.convergence import convergence
from boltzgen.free_energy.pmf import Coordinate, histogram_pmf
from boltzgen.free_energy.result import Result


def test_points_with_intervals_and_open_ends() -> None:
    points = {
        "known": Result.normal(1.0, 0.1),
        "bound": Result(2.0, math.nan, 1.5, math.inf),
        "doubtful": Result.normal(3.0, 0.5, warnings=("few draws",)),
        "empty": Result(math.inf, math.nan, 4.0, math.inf),
        "unknown": Result(math.nan, math.nan, -math.inf, math.inf),
    }
    curve = convergence(lambda part: Result.normal(float(part.stop - part.start), 1.0), 40, points=4)
    figure = free_energy_figure(points, {"a → b": curve}, label=difference_label("kJ/mol"), title="title")
    left, right = figure.axes
    assert [label.get_text() for label in left.get_yticklabels()] == list(points)
    assert left.get_xlabel() == "ΔF / (kJ/mol)\nred: with a warning, see the text"
    dots = {int(line.get_ydata()[0]): line for line in left.lines if line.get_marker() == "o"}
    assert {row: float(line.get_xdata()[0]) for row, line in dots.items()} == {0: 1.0, 1: 2.0, 2: 3.0}
    assert [dots[row].get_color() for row in (0, 2)] == [TARGET, GENERATOR]
    # Arrows to the right of the two bounds, and no other.
    arrows = [child for child in left.get_children() if isinstance(child, Annotation)]
    assert sorted(round(arrow.xy[1]) for arrow in arrows) == [1, 3]
    assert all(arrow.xy[0] > arrow.xyann[0] for arrow in arrows)
    first, last = (container.lines[0] for container in right.containers)
    assert list(first.get_ydata()) == list(last.get_ydata()) == [10.0, 20.0, 30.0, 40.0]
    assert right.get_title() == "a → b"
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_long_names_of_a_difference_are_broken_between_its_states() -> None:
    assert _title("C7eq → C7ax") == "C7eq → C7ax"
    names = ("alphaR/alphaR/alphaR", "beta/beta/PPII")
    assert _title(titled([names])[0]).splitlines() == [names[0], f"→ {names[1]}"]


def test_a_profile_and_a_surface() -> None:
    rng = np.random.default_rng(0)
    angles = [Coordinate(rng.normal(0, 20, 4000), name, "degrees", 360.0) for name in ("phi", "psi")]
    profile = histogram_pmf(angles[:1], np.zeros(4000))
    figure, panels = pmf_panels(2, "")
    draw_pmf(panels[0], profile, "kJ/mol", 2.5)
    assert panels[0].get_xlabel() == "φ / degrees"
    assert panels[0].get_xlim() == (-180, 180)
    (line,) = panels[0].lines
    drawn = np.asarray(line.get_ydata())
    known = np.isfinite(drawn)
    assert np.allclose(drawn[known], 2.5 * profile.free_energy[known])
    draw_pmf(panels[1], histogram_pmf(angles, np.zeros(4000)), "kT", 1.0)
    assert panels[1].get_ylabel() == "ψ / degrees"
    assert len(figure.axes) == 3  # with a colour bar


def test_results_against_the_temperature() -> None:
    good = [Result.normal(v, 0.1) for v in (1.0, 2.0, 3.0)]
    mixed = [*good[:2], Result.normal(3.0, 0.1, warnings=("few draws",))]
    curve = convergence(lambda part: Result.normal(1.0, 1.0), 10, points=2)
    panels = {"F / kT": {"": good}, "population": {"a": good, "b": mixed}}
    figure = temperature_figure([280.0, 300.0, 320.0], panels, {"F at 280 K": curve}, "F / kT", "")
    shown = [axes for axes in figure.axes if axes.axison]
    assert [axes.get_ylabel() for axes in shown] == ["F / kT", "population", "F / kT"]
    hollow = [
        [float(x) for x in line.get_xdata()]
        for line in shown[1].lines
        if line.get_markerfacecolor() == "white"
    ]
    assert hollow == [[], [320.0]]
    assert shown[1].get_yscale() == "log"
