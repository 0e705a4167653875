"""Absolute F, U and -T S of hydrogen peroxide against quadrature; what the domain leaves out."""

import math

import numpy as np
import pytest

from boltzgen.energy.forcefield import ForceFieldEnergy
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.molecule.system import System
from boltzgen.thermodynamics.absolute import absolute, additions, change
from boltzgen.units import kt
from tests.helpers.molecules import peptide
from tests.helpers.peroxide import peroxide, quadrature


@pytest.fixture(scope="module")
def samples() -> tuple:  # type: ignore[type-arg]
    system = peroxide(charge=0.2)
    generator = BoltzmannGenerator.for_system(system, ForceFieldEnergy(system))
    return system, generator.sample(16384, seed=2)


def test_against_quadrature(samples: tuple) -> None:  # type: ignore[type-arg]
    system, drawn = samples
    log_z, u = quadrature(system)
    found = absolute(drawn, system)
    expected = -log_z, u, -log_z - u
    for result, value in zip((found.free_energy, found.energy, found.minus_ts), expected, strict=True):
        assert 0 < result.error < 0.05
        assert abs(result.value - value) < 4 * result.error
        assert result.is_trusted
    assert found.minus_ts.value == pytest.approx(found.free_energy.value - found.energy.value)
    assert found.to("kJ/mol").energy.value == pytest.approx(found.energy.value * kt(300.0))


def test_errors_scatter_as_they_say(samples: tuple) -> None:  # type: ignore[type-arg]
    """Over 64 parts of the draws; that of -T S is not the sum of squares of the other two."""
    system, drawn = samples
    parts = [absolute(drawn[k : k + 256], system) for k in range(0, 16384, 256)]
    for name in ("free_energy", "energy", "minus_ts"):
        results = [getattr(part, name) for part in parts]
        ratio = np.std([r.value for r in results]) / np.mean([r.error for r in results])
        assert 0.7 < ratio < 1.3, name


def test_change_is_a_difference(samples: tuple) -> None:  # type: ignore[type-arg]
    system, drawn = samples
    other = peroxide()
    generator = BoltzmannGenerator.for_system(other, ForceFieldEnergy(other))
    start = absolute(generator.sample(8192, seed=3), other)
    found = change(absolute(drawn, system), start)
    (f, u), (f0, u0) = quadrature(system), quadrature(other)
    assert abs(found.free_energy.value - (f0 - f)) < 4 * found.free_energy.error
    assert abs(found.energy.value - (u - u0)) < 4 * found.energy.error
    with pytest.raises(ValueError, match="one temperature, got 300.0 and 310"):
        change(absolute(drawn, system, 310.0), start)


def test_additions_by_name(alanine: System) -> None:
    assert additions(alanine) == pytest.approx(
        {"equivalent atoms": 3 * math.log(3), "mirror image": math.log(2)}
    )
    assert additions(peroxide()) == {}
    # Three methyls, and the two sides of the ring.
    assert additions(peptide("ace_phe_nme"))["equivalent atoms"] == pytest.approx(
        2 * math.log(3) + math.log(2)
    )


def test_additions_change_f_and_entropy_alone(alanine: System) -> None:
    drawn = BoltzmannGenerator.load("alanine_dipeptide").sample(256, seed=1)
    plain = absolute(drawn, alanine)
    more = absolute(drawn, alanine, add=["equivalent atoms", "mirror image"])
    assert more.free_energy.value - plain.free_energy.value == pytest.approx(-3 * math.log(3) - math.log(2))
    assert more.minus_ts.value - plain.minus_ts.value == pytest.approx(-3 * math.log(3) - math.log(2))
    assert more.energy.value == plain.energy.value
    text = "\n".join(plain.free_energy.notes)
    assert "leaves out 3.2958 of the other labellings" in text and "trans" in text
    assert "includes 3.2958" in "\n".join(more.free_energy.notes)
    with pytest.raises(ValueError, match="'methyl'.*has: 'equivalent atoms', 'mirror image'"):
        absolute(drawn, alanine, add=["methyl"])
