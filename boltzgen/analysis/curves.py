"""Free-energy profiles of torsions and of quantities that a user names, as tables and pictures."""

import csv
import io
import math
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from boltzgen.analysis.output import Output
from boltzgen.analysis.plots import plot_profile
from boltzgen.analysis.profiles import Profile, profile, profile_columns, profile_rows, save_profile
from boltzgen.figures import INK, ShownFigure, set_title, symbol
from boltzgen.molecule.measures import DEGREES
from boltzgen.molecule.names import file_stem
from boltzgen.samples.quantity import Quantity
from boltzgen.storage import write_atomically, write_figure

_MOST_COLUMNS = 4
_DPI = 150
_LONGEST_STEM = 60
#: Bins of a torsion's profile for few and for many effective draws, 10 and 5 degrees wide.
_FEW_BINS, _MANY_BINS, _MANY = 36, 72, 5000.0
#: Of any other's.
BINS = 50


@dataclass(frozen=True)
class Curve:
    """A profile with what it is along.

    Attributes:
        name: of the quantity.
        unit: of the quantity; empty if it has none.
        profile: the numbers.
        is_torsion: whether it goes round the circle, from -180 to 180 degrees.
    """

    name: str
    unit: str
    profile: Profile
    is_torsion: bool = False

    @property
    def label(self) -> str:
        """Of its axis."""
        name = symbol(self.name).replace("_", " ") if self.name.isidentifier() else self.name
        return f"{name} / {self.unit}" if self.unit else name


def torsion_curve(name: str, degrees: np.ndarray, weights: np.ndarray, bins: int | None) -> Curve:
    """The profile of a torsion (n,) in degrees, all around the circle; 180 and -180 are one angle."""
    wrapped = np.where(degrees >= 180.0, degrees - 360.0, degrees)
    n_bins = torsion_bins(1.0 / float(np.square(weights).sum()), bins)
    found = profile(wrapped, weights, n_bins, limits=(-180, 180))
    return Curve(name, DEGREES, found, is_torsion=True)


def torsion_bins(n_effective: float, bins: int | None) -> int:
    """Bins of a torsion's profile that so many effective draws can fill, unless their number is given."""
    return bins or (_MANY_BINS if n_effective >= _MANY else _FEW_BINS)


def curve_along(along: Quantity, values: np.ndarray, weights: np.ndarray, bins: int | None) -> Curve:
    """The profile of values (n,) of a quantity."""
    if along.is_torsion:
        return torsion_curve(along.text, values, weights, bins)
    return Curve(along.text, along.unit, profile(values, weights, bins or BINS))


def save_torsions(curves: list[Curve], output: Output, title: str) -> list[str]:
    """Write the profiles of torsions, one table and one picture; return the files' names."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["torsion", "degrees", *profile_columns(output.unit)])
    for curve in curves:
        writer.writerows([curve.name, *row] for row in profile_rows(curve.profile, output.one_kt))
    write_atomically(output.table("torsions"), text.getvalue().encode())
    return [output.table("torsions").name, _save_picture(curves, "torsions", output, title)]


def save_curves(curves: list[Curve], output: Output, title: str) -> dict[str, str]:
    """Write a table for each curve and one picture of all; return the files' names.

    They are named by the quantities, and that of the picture is under an empty name.
    """
    files: dict[str, str] = {}
    for curve in curves:
        name = file_stem(curve.name).strip("_")
        stem = f"profile_{name[:_LONGEST_STEM]}"
        # Names of files may differ where texts do, but need not, and not every system tells cases apart.
        taken = {file.lower() for file in files.values()}
        number = next(
            k for k in range(1, len(curves) + 1) if f"{_numbered(stem, k)}.csv".lower() not in taken
        )
        path = output.table(_numbered(stem, number))
        save_profile(
            curve.profile,
            name,
            path,
            unit=output.unit,
            one_kt=output.one_kt,
            along=curve.unit,
        )
        files[curve.name] = path.name
    return files | {"": _save_picture(curves, "profiles", output, title)}


def _numbered(stem: str, k: int) -> str:
    return stem if k == 1 else f"{stem}_{k}"


def _save_picture(curves: list[Curve], stem: str, output: Output, title: str) -> str:
    """Write the picture of all curves, a panel each, and return its name."""
    write_figure(output.picture(stem), curves_figure(curves, output, title))
    return output.picture(stem).name


def curves_figure(curves: list[Curve], output: Output, title: str = "") -> Figure:
    """A panel for each curve, with the bands of their 95 % intervals."""
    n_columns = min(len(curves), _MOST_COLUMNS)
    n_rows = math.ceil(len(curves) / n_columns)
    figure = ShownFigure(3.4 * n_columns + 0.4, 2.7 * n_rows + 0.3, dpi=_DPI, layout="constrained")
    panels = figure.subplots(n_rows, n_columns, squeeze=False)
    for axes in panels.flat[len(curves) :]:
        axes.set_axis_off()
    for axes, curve in zip(panels.flat, curves, strict=False):
        plot_profile(curve.profile, curve.name, ax=axes, **output.drawn_in)
        axes.set_xlabel(curve.label, color=INK, fontsize=9 if len(curve.label) < 40 else 7)
        if curve.is_torsion:
            axes.set(xlim=(-180, 180), xticks=(-180, -90, 0, 90, 180))
    set_title(figure, title)
    return figure
