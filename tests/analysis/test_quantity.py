"""What a text names is what the library measures, and what it does not name is refused."""

import math

import mdtraj
import numpy as np
import pytest
import torch

from boltzgen.analysis.quantity import check_finite, quantity
from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.molecule.system import System
from boltzgen.samples.sizes import end_to_end_distance, radius_of_gyration
from boltzgen.samples.weighted_samples import WeightedSamples
from tests.helpers.molecules import peptide, random_y


def drawn(system: System, n: int = 50) -> WeightedSamples:
    """Conformations with torsions drawn uniformly."""
    coordinates = MolecularCoordinates(system)
    x = coordinates(random_y(coordinates, n))[0]
    return WeightedSamples.from_energies(x, torch.zeros(n), torch.zeros(n), system)


@pytest.fixture(scope="module")
def samples() -> WeightedSamples:
    return drawn(peptide("capped_ala3"))


def atoms(samples: WeightedSamples, *names: str) -> list[int]:
    """Indices of atoms NAME-NUMBER."""
    found = {f"{a.name}-{a.residue.resSeq}": a.index for a in samples.mdtraj_topology.atoms}
    return [found[name] for name in names]


@pytest.mark.parametrize(
    "text", ["distance CA2 CA4", "distance(CA2, CA4)", "distance( ALA2:CA  4:CA )", " distance  CA2,CA4 "]
)
def test_distance(samples: WeightedSamples, text: str) -> None:
    found = quantity(text, samples.system)
    expected = mdtraj.compute_distances(samples.to_mdtraj(), [atoms(samples, "CA-2", "CA-4")])[:, 0]
    np.testing.assert_allclose(found(samples), expected, rtol=1e-5)
    assert (found.unit, found.is_torsion) == ("nm", False)
    assert found(samples).dtype == torch.float64


def test_angle_and_torsion_in_degrees(samples: WeightedSamples) -> None:
    trajectory = samples.to_mdtraj()
    angle = quantity("angle N2 CA2 C2", samples.system)
    expected = mdtraj.compute_angles(trajectory, [atoms(samples, "N-2", "CA-2", "C-2")])[:, 0]
    np.testing.assert_allclose(angle(samples), np.degrees(expected), rtol=1e-4)
    assert (angle.unit, angle.is_torsion) == ("degrees", False)
    psi = np.degrees(samples.torsion("psi2").numpy())
    for text in ("psi2", "torsion N2 CA2 C2 N3", "dihedral(N2, CA2, C2, N3)"):
        torsion = quantity(text, samples.system)
        np.testing.assert_allclose(torsion(samples), psi, atol=1e-2)
        assert (torsion.unit, torsion.is_torsion) == ("degrees", True)


def test_sizes(samples: WeightedSamples, system: System) -> None:
    for name, function in (("radius_of_gyration", radius_of_gyration), ("end_to_end", end_to_end_distance)):
        np.testing.assert_allclose(quantity(name, samples.system)(samples), function(samples))
        assert quantity(name, samples.system).unit == "nm"
    with pytest.raises(ValueError, match="two amino acids or more, got 1"):
        quantity("end_to_end", system)


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("cos(phi2) + 2 * sin(psi3)^2", ""),
        ("phi2 + psi2 - 60", "degrees"),
        ("-abs(phi2) / 2", "degrees"),
        ("10 * (distance(CA2, CA4) - radius_of_gyration)", "nm"),
        ("distance(CA2, CA4) / radius_of_gyration", ""),
        ("distance(CA2, CA4) * radius_of_gyration", ""),
        ("phi2 + radius_of_gyration", ""),
        ("acos(cos(phi2))", "degrees"),
        ("atan2(sin(phi2), cos(phi2))", "degrees"),
        ("max(phi2, psi2)", "degrees"),
        ("select(step(phi2), psi2, phi2)", ""),
        ("select(phi2 >= 0, psi2, phi2)", ""),
        ("(1 + 2) * phi2", "degrees"),
    ],
)
def test_expressions(samples: WeightedSamples, text: str, unit: str) -> None:
    phi, psi, psi3 = (np.degrees(samples.torsion(name).double().numpy()) for name in ("phi2", "psi2", "psi3"))
    rg = radius_of_gyration(samples).double().numpy()
    ends = mdtraj.compute_distances(samples.to_mdtraj(), [atoms(samples, "CA-2", "CA-4")])[:, 0]
    expected = {
        "cos(phi2) + 2 * sin(psi3)^2": np.cos(np.radians(phi)) + 2 * np.sin(np.radians(psi3)) ** 2,
        "phi2 + psi2 - 60": phi + psi - 60,
        "-abs(phi2) / 2": -np.abs(phi) / 2,
        "10 * (distance(CA2, CA4) - radius_of_gyration)": 10 * (ends - rg),
        "distance(CA2, CA4) / radius_of_gyration": ends / rg,
        "distance(CA2, CA4) * radius_of_gyration": ends * rg,
        "phi2 + radius_of_gyration": phi + rg,
        "acos(cos(phi2))": np.abs(phi),
        "atan2(sin(phi2), cos(phi2))": phi,
        "max(phi2, psi2)": np.maximum(phi, psi),
        "select(step(phi2), psi2, phi2)": np.where(phi >= 0, psi, phi),
        "select(phi2 >= 0, psi2, phi2)": np.where(phi >= 0, psi, phi),
        "(1 + 2) * phi2": 3 * phi,
    }[text]
    found = quantity(text, samples.system)
    np.testing.assert_allclose(found(samples), expected, rtol=1e-4, atol=1e-4)
    assert (found.unit, found.is_torsion) == (unit, False)


def test_torsions_whose_names_are_no_words() -> None:
    system = System.load("dimethoxyethane")
    s = drawn(system)
    name = "torsion O1-C2-C3-O2"
    angle = s.torsion(name).double()
    alone, cosine = quantity(name, system), quantity(f"1 - cos({name})", system)
    assert (alone.is_torsion, cosine.is_torsion) == (True, False)
    torch.testing.assert_close(alone(s), angle.rad2deg(), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(cosine(s), 1 - angle.cos(), rtol=1e-5, atol=1e-5)


def test_a_quantity_has_an_expectation(samples: WeightedSamples) -> None:
    found = samples.mean(quantity("distance CA2 CA4", samples.system))
    assert found.unit == "nm"
    assert found.value == pytest.approx(float(end_to_end_distance(samples).double().mean()), rel=1e-5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a quantity of 1 to 300 characters"),
        ("phi2 + " * 60 + "phi2", "expected a quantity of 1 to 300 characters"),
        ("3 + 4", "the same number in every conformation"),
        ("phi9", r"unknown name 'phi9' in 'phi9'; expected torsions \(phi2, phi3, "),
        ("gamma(phi2)", "'gamma\\(phi2\\)' is not allowed here; expected numbers, names, "),
        ("phi2 +", "'phi2 \\+' cannot be read .*; expected for instance .* 'distance CA2 CA4'"),
        ("distance(CA2, CA4) 5", "'distance\\(CA2, CA4\\) 5' cannot be read"),
        ("phi2 > 0", "is true or false; expected a number"),
        ("distance CA2", "expected distance of 2 atoms, such as 'distance CA2 C2', got 1: 'CA2'"),
        ("angle(CA2, CA3)", "expected angle of 3 atoms"),
        ("distance CA2 2:CA", "of 2 different atoms"),
        ("distance CA2 XX", "no atom called 'XX'"),
        ("__import__('os')", "not allowed"),
    ],
)
def test_what_is_no_quantity_is_refused(samples: WeightedSamples, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        quantity(text, samples.system)


def test_values_that_are_no_numbers_count_where_there_is_weight() -> None:
    values = torch.tensor([1.0, math.nan, math.inf])
    check_finite(values, torch.tensor([0.0, -math.inf, -math.inf]), "log(phi)")
    with pytest.raises(ValueError, match=r"'log\(phi\)' is not a finite number in 1 of 3 conformations"):
        check_finite(values, torch.tensor([0.0, 0.0, -math.inf]), "log(phi)")
