"""What an evaluation says in words, and how large the largest |z| is where nothing differs."""

from typing import Any

import numpy as np
import pytest

from boltzgen.evaluation.verdict import (
    AGREEMENT,
    TAIL,
    by_chance,
    differs,
    doubts,
    expected_largest,
    largest_by_chance,
    verdict,
)


def result(**changes: Any) -> dict[str, Any]:
    """As of a generator that agrees."""
    return {
        "missing_modes": [],
        "basins": [{"name": "C5", "z": 0.4}, {"name": "C7ax", "z": -0.9}],
        "regions": [],
        "torsions": [],
        "marginals": [{"name": "bond HA-CA", "z": -3.4}, {"name": "phi", "z": 1.0}],
    } | changes


def test_agreement_is_told_with_the_largest_z() -> None:
    assert differs(result()) == []
    assert verdict(result()) == (
        "Agrees with the reference: no mode is missing, and the largest |z| is 0.9 of 2 basins, 3.4 of 2 "
        "marginals."
    )


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"missing_modes": [{"text": "basin C7ax: nothing"}]}, "basin C7ax: nothing."),
        (
            {"basins": [{"name": "C5", "z": AGREEMENT + 0.1}, {"name": "C7ax", "z": -7.0}]},
            "2 of 2 basins (most of all C7ax, z = -7.0).",
        ),
        (
            {"regions": [{"residue": "ALA 2", "name": "PPII", "z": 6.0}]},
            "1 of 1 regions of residues (most of all ALA 2 PPII, z = +6.0).",
        ),
        (
            {
                "torsions": [
                    {"torsion": "chi1_3", "name": "g+", "z": 6.0},
                    {"torsion": "x", "name": "y", "z": 1},
                ]
            },
            "1 of 2 states of torsions (most of all chi1_3 g+, z = +6.0).",
        ),
        ({"missing_modes": [{"text": str(k)} for k in range(5)]}, "0; 1; 2; and 2 more."),
    ],
)
def test_a_difference_is_named(changes: dict[str, Any], said: str) -> None:
    assert verdict(result(**changes)) == f"Differs from the reference: {said}"


def test_between_chance_and_a_difference_the_verdict_is_open() -> None:
    """As of a short reference: 3.4 of six regions is no difference, and no agreement."""
    regions = [
        {"residue": "GLN 2", "name": name, "z": z}
        for name, z in zip("abcdef", (-3.4, *[1.0] * 5), strict=True)
    ]
    found = result(regions=regions)
    assert not differs(found)
    assert verdict(found) == (
        "May differ from the reference: 1 of 6 regions of residues (most of all GLN 2 a, z = -3.4), where "
        "chance stays below 3.1 in 99 of 100 cases. Either the generator is wrong there or the reference is, "
        "by more than its stated error: a longer reference tells."
    )
    regions[0]["z"] = 3.0
    assert verdict(found).startswith("Agrees")
    regions[0]["z"] = AGREEMENT + 0.1
    assert verdict(found).startswith("Differs")
    assert not doubts(found)


def test_of_agreeing_comparisons_one_in_a_hundred_is_in_doubt() -> None:
    z = np.abs(np.random.default_rng(1).standard_normal((40_000, 6))).max(axis=1)
    assert (z > largest_by_chance(6, 0.99)).mean() == pytest.approx(0.01, abs=0.002)


def test_what_is_expected_by_chance_is_computed() -> None:
    low, high = expected_largest(2)
    assert f"{low:.1f} to {high:.1f} for 2 basins" in by_chance(result())
    low, high = expected_largest(2, edges=True)
    assert f"{low:.1f} to {high:.1f} for 2 marginals" in by_chance(result())
    many = result(marginals=[{"name": "x", "z": 1.0}] * 500)
    assert "{:.1f} to {:.1f} for 500 marginals".format(*expected_largest(500, edges=True)) in by_chance(many)


@pytest.mark.parametrize("n", [1, 5, 60])
def test_the_largest_of_normal_deviates(n: int) -> None:
    largest = np.abs(np.random.default_rng(0).standard_normal((40_000, n))).max(axis=1)
    np.testing.assert_allclose(np.quantile(largest, [0.05, 0.95]), expected_largest(n), atol=0.03)


@pytest.mark.parametrize("n", [5, 30])
def test_the_largest_along_many_edges(n: int) -> None:
    """A standardised Brownian bridge at 100 edges, which is an Ornstein-Uhlenbeck process: a little below."""
    rng = np.random.default_rng(0)
    share = np.linspace(TAIL, 1 - TAIL, 100)
    steps = np.diff(0.5 * np.log(share / (1 - share)))
    z = rng.standard_normal((2_000, n))
    largest = np.abs(z)
    for step in steps:
        z = np.exp(-step) * z + np.sqrt(-np.expm1(-2 * step)) * rng.standard_normal(z.shape)
        np.maximum(largest, np.abs(z), out=largest)
    found = np.quantile(largest.max(axis=1), [0.05, 0.95])
    expected = np.array(expected_largest(n, edges=True))
    assert (found < expected).all() and (found > expected - 0.5).all()
