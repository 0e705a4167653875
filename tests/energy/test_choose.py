"""energy_for: the compiled energy where there is one, and the log says which."""

import logging
from collections.abc import Callable

import openmm
import pytest
import torch

from boltzgen.energy import ForceFieldEnergy, OpenMMEnergy, UnsupportedForceError, energy_for
from boltzgen.molecule.system import System


def with_force(alanine: System, force: openmm.Force) -> System:
    system = openmm.XmlSerializer.clone(alanine.openmm_system)
    system.addForce(force)
    return System(alanine.topology, system, alanine.positions, name="altered")


def test_compiled_where_possible(alanine: System, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, logger="boltzgen"):
        energy = energy_for(alanine, 450.0)
    assert type(energy) is ForceFieldEnergy
    assert energy.temperature == 450.0
    assert energy_for(alanine).temperature == alanine.temperature
    assert any(
        r.levelno == logging.INFO and "ForceFieldEnergy" in r.message and "NonbondedForce" in r.message
        for r in caplog.records
    )


def test_openmm_otherwise_with_the_reason(alanine: System, caplog: pytest.LogCaptureFixture) -> None:
    force = openmm.RMSDForce(alanine.positions.tolist())
    system = with_force(alanine, force)
    with caplog.at_level(logging.INFO, logger="boltzgen"):
        energy = energy_for(system, 450.0)
    assert type(energy) is OpenMMEnergy
    assert energy.temperature == 450.0
    record = next(r for r in caplog.records if r.levelno == logging.WARNING)
    assert "altered" in record.message and "RMSDForce" in record.message and "superposition" in record.message
    torch.testing.assert_close(energy(system.positions), energy_for(alanine, 450.0)(system.positions))


REFUSED: dict[str, tuple[Callable[[], openmm.Force], str]] = {
    "MonteCarloBarostat": (lambda: openmm.MonteCarloBarostat(1.0, 300.0), "periodic box"),
    "MonteCarloAnisotropicBarostat": (
        lambda: openmm.MonteCarloAnisotropicBarostat(openmm.Vec3(1, 1, 1), 300.0),
        "periodic box",
    ),
    "DrudeForce": (openmm.DrudeForce, "Drude particles"),
    "AmoebaMultipoleForce": (openmm.AmoebaMultipoleForce, "polarisable multipoles"),
    "AmoebaVdwForce": (openmm.AmoebaVdwForce, "polarisable multipoles"),
    "HippoNonbondedForce": (openmm.HippoNonbondedForce, "polarisable multipoles"),
    "CustomCVForce": (lambda: openmm.CustomCVForce("1"), "function of other forces"),
    "AndersenThermostat": (lambda: openmm.AndersenThermostat(300.0, 1.0), "no energy"),
    "GayBerneForce": (openmm.GayBerneForce, "no batched form.*known forces are HarmonicBondForce"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_every_other_force_is_refused_by_name_and_reason(alanine: System, kind: str) -> None:
    make, reason = REFUSED[kind]
    with pytest.raises(
        UnsupportedForceError, match=f"cannot compute {kind}: .*{reason}.*use OpenMMEnergy"
    ) as error:
        ForceFieldEnergy(with_force(alanine, make()))
    assert error.value.force == kind
