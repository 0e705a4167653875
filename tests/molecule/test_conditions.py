"""States of a user's own: ranges and conditions, as objects and as text."""

import numpy as np
import pytest
import torch

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
        ("near: distance(2:CA, CA4) < 1", Condition("near", "distance(2:CA, CA4) < 1")),
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
        ("a: 1 < 2", "names no quantity"),
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


def test_conditions_name_what_profiles_are_along(alanine: System) -> None:
    """A distance, a torsion of atoms and the size, as positions have them."""
    phi, psi = np.radians(np.array([[-70.0, -70.0, 60.0], [-40.0, 150.0, 150.0]]))
    x = pose(alanine, phi, psi)
    names = {f"{a.residue.name}{a.residue.id}:{a.name}": a.index for a in alanine.topology.atoms()}
    o, h = names["ACE1:O"], names["NME3:H"]
    apart = torch.linalg.vector_norm(x[:, o] - x[:, h], dim=-1).numpy()
    limit = np.sort(apart)[:2].mean()
    texts = [f"near: distance(ACE1:O, NME3:H) < {limit}", "turn: torsion(ACE1:C, N2, CA2, C2) > 0"]
    states = [parse_state(text) for text in texts]
    assert [(s.torsions, len(s.measures)) for s in states] == [((), 1), ((), 1)]
    regions = Regions.of(states, alanine.torsions, alanine.rotamers, alanine.topology)
    expected = [0 if d < limit else 1 if p > 0 else -1 for d, p in zip(apart, phi, strict=True)]
    assert regions.labels(x).tolist() == expected
    size = Condition("large", "radius_of_gyration > 0.01 and phi < 0")
    assert (size.torsions, size.measures) == (("phi",), ("radius_of_gyration",))
    labels = Regions.of([size], alanine.torsions, alanine.rotamers, alanine.topology).labels(x)
    assert labels.tolist() == [0, 0, -1]
    for wrong, message in (
        ("distance(O9, N2) < 1", "no atom called 'O9'"),
        ("distance(N2) < 1", "of 2 atoms"),
    ):
        with pytest.raises(ValueError, match=message):
            Regions.of([Condition("x", wrong)], {}, {}, alanine.topology)
    with pytest.raises(ValueError, match="needs the names of atoms"):
        Regions.of(states, alanine.torsions, {})


def test_periods_and_order() -> None:
    angles = {"chi2": np.radians(np.array([80.0, -80.0, 0.0]))}
    states = [Condition("up", "between(chi2, 45, 135)"), Condition("all", "chi2 < 1000")]
    assert assign_basins(angles, states, {"chi2": 180.0}).tolist() == [0, 0, 1]
