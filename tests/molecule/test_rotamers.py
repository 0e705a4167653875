"""States of torsions: where the circle is cut, that labels do not matter, and that the intervals of
populations cover.
"""

import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import integrate

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.molecule.states import DIVISIONS, Rotamer, state_labels
from boltzgen.molecule.system import System
from boltzgen.samples.weighted_samples import WeightedSamples
from tests.helpers.molecules import peptide, random_y, relabelled


@pytest.mark.parametrize(
    ("division", "angles", "states"),
    [
        (
            "threefold",
            [0.001, 119.9, 120.1, 180, -180, -120.1, -119.9, -0.001, 300],
            "g+ g+ t t t t g- g- g-",
        ),
        (
            "twofold",
            [0, 44.9, 45.1, 90, 134.9, 135.1, 180, -44.9, -45.1, -135.1],
            "planar planar perpendicular perpendicular perpendicular "
            "planar planar planar perpendicular planar",
        ),
        (
            "eclipsed",
            [-59.9, 0, 59.9, 60.1, 179.9, 180.1, -60.1],
            "cis cis cis skew+ skew+ skew- skew-",
        ),
        *((d, [0.001, 179.9, -179.9, -0.001], "+ + - -") for d in ("ring", "sides")),
        *(
            (d, [0, 89.9, 90.1, 180, -180, -90.1, -89.9], "cis cis trans trans trans trans cis")
            for d in ("amide", "planar")
        ),
        ("twist", [0.001, 45, 89.9, 90.1, 135, 179.9, -179.9, -45, -0.001], "+ + + - - - + - -"),
        ("amine", [0.001, 59.9, 60.1, 119.9, 120.1, 179.9, -0.001], "g- g- t t g+ g+ g+"),
        ("quarters", [45, 135, -135, -45], "cis+ trans+ trans- cis-"),
        ("phi", [0.001, 60, 179.9, -179.9, -60, -0.001], "+ + + - - -"),
        (
            "psi",
            [-130.1, -129.9, -40, 49.9, 50.1, 150, 180, -180],
            "beta alpha alpha alpha beta beta beta beta",
        ),
    ],
)
def test_where_the_circle_is_cut(division: str, angles: list[float], states: str) -> None:
    arcs = DIVISIONS[division].arcs
    assert all(-180 <= low < 180 and -180 < high <= 180 for low, high in arcs)
    middles = [(low + high + 360 * (high < low)) / 2 for low, high in arcs]
    assert state_labels(np.radians(middles), DIVISIONS[division]).tolist() == list(range(len(middles)))
    labels = state_labels(np.radians(angles), DIVISIONS[division])
    assert [DIVISIONS[division].states[k] for k in labels] == states.split()
    again = state_labels(np.radians(angles) + 2 * np.pi, DIVISIONS[division])
    np.testing.assert_array_equal(labels, again)


@pytest.mark.parametrize("division", DIVISIONS)
def test_every_angle_is_in_a_state(division: str) -> None:
    edges = np.radians(np.arange(-360.0, 361.0, 15.0))
    angles = np.concatenate([edges, np.nextafter(edges, -10), np.nextafter(edges, 10), [np.nan]])
    labels = state_labels(angles, DIVISIONS[division])
    assert labels.dtype == np.int8
    assert set(labels) == set(range(len(DIVISIONS[division].states)))


def chain(torsion: torch.Tensor) -> torch.Tensor:
    """Four atoms with this torsion (n,), positions (n, 4, 3)."""
    zero, one = torch.zeros_like(torsion), torch.ones_like(torsion)
    atoms = [
        (one, zero, zero),
        (zero, zero, zero),
        (zero, zero, one),
        (torch.cos(torsion), torch.sin(torsion), one),
    ]
    return torch.stack([torch.stack(a, -1) for a in atoms], 1)


class Butane:
    torsions = {"chi": (0, 1, 2, 3)}
    basins = ()
    rotamers = {"chi": Rotamer("threefold", ((0, 1, 2, 3),))}


def butane(n: int, seed: int) -> WeightedSamples:
    """Torsions drawn uniformly, weighted towards exp(-u) with u = 1 + cos 3 tau + (1 + cos tau) / 2 +
    sin(tau) / 2 kT.
    """
    tau = torch.from_numpy(np.random.default_rng(seed).uniform(-math.pi, math.pi, n))
    return WeightedSamples.from_energies(
        chain(tau), potential(tau), torch.full((n,), -math.log(2 * math.pi)), Butane()
    )  # type: ignore[arg-type]


def potential(tau: torch.Tensor) -> torch.Tensor:
    return 1 + torch.cos(3 * tau) + (1 + torch.cos(tau)) / 2 + torch.sin(tau) / 2


def test_populations_and_intervals_of_a_weighted_sample() -> None:
    edges = np.radians([0, 120, 240, 360])
    mass = [
        integrate.quad(lambda t: math.exp(-potential(torch.tensor(t, dtype=torch.float64))), *arc)[0]
        for arc in pairwise(edges)
    ]
    exact = np.array(mass) / sum(mass)
    assert exact.max() - exact.min() > 0.2
    hits = []
    for seed in range(200):
        rows = butane(500, seed).rotamer_populations()["chi"]
        assert [row.name for row in rows] == ["g+", "t", "g-"]
        assert sum(row.population for row in rows) == pytest.approx(1.0)
        hits.append([row.low <= p <= row.high for row, p in zip(rows, exact, strict=True)])
    assert (np.abs(np.mean(hits, axis=0) - 0.95) < 0.05).all()


@pytest.mark.parametrize("name", ["phe_pro_trp", "asp_glu_lys", "arg_his_ala"])
def test_populations_of_a_peptide_add_to_one(name: str) -> None:
    system = peptide(name)
    coordinates = MolecularCoordinates(system)
    x = coordinates(random_y(coordinates, 100))[0]
    samples = WeightedSamples.from_energies(x, torch.linspace(-1, 1, 100), torch.zeros(100), system)
    found = samples.rotamer_populations()
    assert list(found) == list(system.rotamers)
    for name, rows in found.items():
        assert tuple(row.name for row in rows) == DIVISIONS[system.rotamers[name].division].states
        assert sum(row.population for row in rows) == pytest.approx(1.0)
        assert sum(row.n_raw for row in rows) == 100


@pytest.mark.parametrize(
    ("name", "torsion"),
    [("ace_phe_nme", "chi2"), ("ace_asp_nme", "chi2"), ("ace_glu_nme", "chi3"), ("ace_arg_nme", "chi5")],
)
def test_labels_of_equivalent_ends_do_not_matter(name: str, torsion: str) -> None:
    system = peptide(name)
    rotamer = system.rotamers[torsion]
    coordinates = MolecularCoordinates(system)
    generator = torch.Generator().manual_seed(1)
    x = coordinates(random_y(coordinates, 2000))[0]
    mixed = x
    for rotor in reversed(system.rotors):
        mixed = relabelled(mixed, rotor, generator)
    labels = rotamer.labels(x)
    np.testing.assert_array_equal(rotamer.labels(mixed), labels)
    # One end alone would not do: near the edges its angle is off by what the ends are not 180 degrees apart.
    alone = Rotamer("twofold", rotamer.torsions[:1])
    assert (alone.labels(mixed) != alone.labels(x)).any()
    assert 0.4 < labels.mean() < 0.6


def test_the_side_chain_of_phenylalanine_is_where_it_is_put() -> None:
    """The input structure, minimised: chi2 is perpendicular."""
    system = peptide("ace_phe_nme")
    chi2 = system.rotamers["chi2"]
    assert chi2.names[chi2.labels(system.positions[None])[0]] == "perpendicular"


def test_a_molecule_without_side_chains_has_none() -> None:
    assert (
        System.from_pdb(
            Path(__file__).parents[1] / "data/peptides/capped_ala3.pdb", ["amber14/protein.ff14SB.xml"]
        ).rotamers
        == {}
    )
