"""Basins: intervals of torsions, and those of alanine dipeptide."""

import numpy as np

from boltzgen.molecule.basins import Basin
from boltzgen.molecule.system import System


def literal_basin(phi: float, psi: float) -> str:
    """The rules as they are stated, phi and psi in degrees in [-180, 180)."""
    if 0 <= phi < 120:
        return "C7ax" if psi < -30 or psi >= 120 else "alphaL"
    if -120 <= psi < 50:
        return "alphaR"
    return "C7eq" if -110 <= phi < 0 else "C5"


def test_basins_follow_the_stated_rules_on_a_grid(alanine: System) -> None:
    edges = [v + d for v in (-180, -120, -110, -30, 0, 50, 120, 180) for d in (-1e-6, 1e-6)]
    values = np.array(sorted([v for v in edges if -180 <= v < 180] + list(np.arange(-178.5, 180, 3.0))))
    phi, psi = np.meshgrid(values, values, indexing="ij")
    torsions = {"phi": np.radians(phi), "psi": np.radians(psi)}
    inside = np.stack([basin.contains(torsions) for basin in alanine.basins])
    assert inside.any(0).all()
    names = np.array([basin.name for basin in alanine.basins])[inside.argmax(0)]
    expected = np.vectorize(literal_basin)(phi, psi)
    assert (names == expected).all()
    assert set(names.ravel()) == {"C7ax", "alphaL", "alphaR", "C7eq", "C5"}


def test_a_whole_circle_is_an_interval() -> None:
    phi = np.radians([-180.0, -1.0, 0.0, 179.9])
    assert Basin(name="any", phi=(-180, 180)).contains({"phi": phi}).all()
    assert not Basin(name="none", phi=(30, 30)).contains({"phi": phi}).any()


def test_basin_intervals_are_periodic_and_half_open() -> None:
    basin = Basin(name="through 180", phi=(90, -90))
    phi = np.radians([90.0, 179.0, 181.0, -179.0, 270.0 - 1e-6, -90.0, 0.0, 90.0 - 1e-6, 450.0 + 1e-6])
    assert basin.contains({"phi": phi}).tolist() == [
        True,
        True,
        True,
        True,
        True,
        False,
        False,
        False,
        True,
    ]
