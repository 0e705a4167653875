"""States of a user's own: ranges and conditions, as objects and as text."""

import numpy as np
import pytest

from boltzgen.molecule.basins import Basin, assign_basins
from boltzgen.molecule.conditions import Condition, parse_state
from boltzgen.molecule.states import Regions
from boltzgen.molecule.system import System
from tests.helpers.posing import pose

ODD = "torsion C5-C6-O2-H7"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("C7ax: phi=0..120 psi=120..-30", Basin("C7ax", phi=(0, 120), psi=(120, -30))),
        ("a:phi = -10.5 .. 20,psi=1..2", Basin("a", phi=(-10.5, 20), psi=(1, 2))),
        (f"folded: {ODD}=-60..60", Basin("folded", **{ODD: (-60, 60)})),
        (f"folded: '{ODD}'=-60..60; phi=0..1", Basin("folded", **{ODD: (-60, 60), "phi": (0, 1)})),
        (
            "both: torsion ACE1:C-N-CA-C=0..90, phi=1..2",
            Basin("both", **{"torsion ACE1:C-N-CA-C": (0, 90), "phi": (1, 2)}),
        ),
        ("up: phi > 0 or psi > 0", Condition("up", "phi > 0 or psi > 0")),
    ],
)
def test_text(text: str, expected: Basin | Condition) -> None:
    assert parse_state(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("phi=0..120", "a name, a colon"),
        (": phi > 0", "a name, a colon"),
        ("a: phi=0..x", "'phi=0..x' is no range"),
        ("a: phi=0..1 psi > 3", "'psi > 3' is no range"),
        ("a: phi=0..1 phi=2..3", "'phi' has two ranges"),
        ("a: phi=0..1000", "-360 to 360"),
        ("a: phi + psi", "is a number"),
        ("a: 1 < 2", "names no torsion"),
        ("a/b: phi > 0", "printed characters"),
    ],
)
def test_what_is_no_state(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_state(text)


def test_a_condition_is_a_region_like_any_other(alanine: System) -> None:
    phi, psi = np.radians(np.array([[60.0, -70.0, -70.0, 170.0], [-60.0, -40.0, 150.0, 0.0]]))
    mixed = [parse_state("left: phi=0..120"), parse_state("helix: phi < 0 and between(psi, -100, 50)")]
    regions = Regions.of(mixed, alanine.torsions, alanine.rotamers)
    assert regions.names == ("left", "helix")
    assert regions.labels(pose(alanine, phi, psi)).tolist() == [0, 1, -1, -1]
    with pytest.raises(ValueError, match="'chi1' that this molecule has not"):
        Regions.of([Condition("x", "chi1 > 0")], alanine.torsions, alanine.rotamers)


def test_periods_and_order() -> None:
    angles = {"chi2": np.radians(np.array([80.0, -80.0, 0.0]))}
    states = [Condition("up", "between(chi2, 45, 135)"), Condition("all", "chi2 < 1000")]
    assert assign_basins(angles, states, {"chi2": 180.0}).tolist() == [0, 0, 1]
