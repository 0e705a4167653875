"""Generalized Born models that `OBC` does not know, through their expressions."""

import copy
from typing import Any

import numpy as np
import openmm
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from openmm import app, unit

from boltzgen import units
from boltzgen.energy import ForceFieldEnergy, UnsupportedForceError
from boltzgen.energy.custom.gb import CustomGB
from boltzgen.energy.terms.obc import OBC
from boltzgen.molecule.system import System
from tests.helpers.custom_forces import (
    assert_equals_openmm,
    definitions,
    energy_and_gradient,
    random_positions,
    system_of,
)

N_ATOMS = 6
X = random_positions(N_ATOMS, 10)
SINGLE, PAIR, ALL_PAIRS = (
    openmm.CustomGBForce.SingleParticle,
    openmm.CustomGBForce.ParticlePair,
    openmm.CustomGBForce.ParticlePairNoExclusions,
)
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "salt": {"implicitSolventKappa": 1.0},
    "cutoff": {"nonbondedMethod": app.CutoffNonPeriodic, "nonbondedCutoff": 0.5 * unit.nanometer},
    "dielectric": {"solventDielectric": 40.0, "soluteDielectric": 2.0},
}


def model(alanine: System, name: str, options: dict[str, Any]) -> openmm.CustomGBForce:
    system = app.ForceField("amber14-all.xml", f"implicit/{name}.xml").createSystem(
        alanine.topology, **options
    )
    return copy.deepcopy(
        next(force for force in system.getForces() if isinstance(force, openmm.CustomGBForce))
    )


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS.keys())
@pytest.mark.parametrize("name", ["hct", "obc1", "obc2", "gbn", "gbn2"])
def test_models_of_openmm(
    alanine: System, distorted_frames: torch.Tensor, name: str, options: dict[str, Any]
) -> None:
    force = model(alanine, name, options)
    assert_equals_openmm(force, distorted_frames[::16], least=0.9)
    (term,) = ForceFieldEnergy(system_of(force, alanine.n_atoms)).terms.values()
    assert type(term) is (
        OBC if name in ("obc1", "obc2") and options in (OPTIONS["plain"], OPTIONS["dielectric"]) else CustomGB
    )


@pytest.mark.parametrize("name", ["hct", "gbn", "gbn2"])
def test_float32_within_a_thousandth_of_kt(
    alanine: System, thermal_frames: dict[float, torch.Tensor], name: str
) -> None:
    energy = ForceFieldEnergy(system_of(model(alanine, name, {}), alanine.n_atoms))
    x = thermal_frames[300.0][::4].float()
    single, double = energy_and_gradient(energy, x), energy_and_gradient(energy, x.double())
    assert (single[0] - double[0]).abs().max() < 1e-3 * units.kt(300.0)
    assert (single[1] - double[1]).abs().max() < 1e-5 * double[1].abs().max()


def particles(seed: int = 0) -> openmm.CustomGBForce:
    force = openmm.CustomGBForce()
    for name in ("a", "b"):
        force.addPerParticleParameter(name)
    for row in 0.3 + np.random.default_rng(seed).random((N_ATOMS, 2)):
        force.addParticle(row.tolist())
    for i, j in ((0, 1), (4, 1), (5, 2)):
        force.addExclusion(i, j)
    return force


@pytest.mark.parametrize("cutoff", [None, 0.5])
@pytest.mark.parametrize("value_kind", [PAIR, ALL_PAIRS])
@pytest.mark.parametrize("energy_kind", [PAIR, ALL_PAIRS])
def test_kinds_of_values_and_energies(cutoff: float | None, value_kind: int, energy_kind: int) -> None:
    """The first value is not symmetric: each particle sums over the others as the second of the pair."""
    force = particles()
    force.addGlobalParameter("k", 0.7)
    force.addComputedValue("I", "k*a1^2*b2/(r+0.1)+step(r-0.3)*a2", value_kind)
    force.addComputedValue("B", "1/(a+I)+0.1*x*y", SINGLE)
    force.addComputedValue("C", "B*I+z", SINGLE)
    force.addEnergyTerm("k*a*B*C+x^2", SINGLE)
    force.addEnergyTerm("a1*a2*(B1+B2)/(r+B1*B2)+(C1*C2)^2", energy_kind)
    if cutoff is not None:
        force.setNonbondedMethod(force.CutoffNonPeriodic)
        force.setCutoffDistance(cutoff)
    assert_equals_openmm(force, X)


def test_beyond_the_cutoff_leaves_no_trace() -> None:
    """The expressions are NaN there."""
    force = particles()
    force.addComputedValue("I", "sqrt(0.4-r)*a2", ALL_PAIRS)
    force.addEnergyTerm("sqrt(0.4-r)*(I1+I2)", ALL_PAIRS)
    force.addEnergyTerm("I^2", SINGLE)
    force.setNonbondedMethod(force.CutoffNonPeriodic)
    force.setCutoffDistance(0.39)
    assert_equals_openmm(force, X)


def test_without_exclusions_or_parameters() -> None:
    force = openmm.CustomGBForce()
    # Without any computed value, OpenMM's Reference platform crashes.
    force.addComputedValue("one", "1", ALL_PAIRS)
    for _ in range(N_ATOMS):
        force.addParticle([])
    force.addEnergyTerm("r^2", PAIR)
    force.addEnergyTerm("3", ALL_PAIRS)
    assert_equals_openmm(force, X)


@settings(max_examples=20)
@given(st.data())
def test_random_forces(data: st.DataObject) -> None:
    force = particles(data.draw(st.integers(0, 9)))
    kinds = st.sampled_from([PAIR, ALL_PAIRS])
    force.addComputedValue("I", data.draw(definitions(["r", "a1", "b2"])), data.draw(kinds))
    force.addComputedValue("B", data.draw(definitions(["I", "b", "a"])), SINGLE)
    force.addEnergyTerm(data.draw(definitions(["B", "a", "x"])), SINGLE)
    force.addEnergyTerm("B1*B2*(a1+a2)+exp(-r)*(B1+B2)", data.draw(kinds))
    assert_equals_openmm(force, X, least=0.0)


def test_refusals() -> None:
    force = particles()
    force.addComputedValue("I", "foo*a1", PAIR)
    with pytest.raises(
        UnsupportedForceError, match="CustomGBForce: unknown name 'foo' in 'foo.*use OpenMMEnergy"
    ):
        ForceFieldEnergy(system_of(force, N_ATOMS))
    force = particles()
    force.setNonbondedMethod(force.CutoffPeriodic)
    with pytest.raises(UnsupportedForceError, match="CustomGBForce: .*periodic"):
        ForceFieldEnergy(system_of(force, N_ATOMS))
