"""ForceFieldEnergy against OpenMM on altered systems and other force fields, and forces that it refuses."""

from collections.abc import Callable

import openmm
import pytest
import torch
from openmm import app
from torch import Tensor

from boltzgen.energy import ForceFieldEnergy, OpenMMEnergy, UnsupportedForceError
from boltzgen.molecule.system import System
from tests.helpers.against_openmm import altered, assert_same, energy_and_gradient, force_of


def test_every_phase_and_periodicity(alanine: System, thermal_frames: dict[float, Tensor]) -> None:
    generator = torch.Generator().manual_seed(4)

    def scramble(system: openmm.System) -> None:
        force = force_of(system, openmm.PeriodicTorsionForce)
        for n in range(force.getNumTorsions()):
            i, j, k, l, *_ = force.getTorsionParameters(n)
            phase, height = (torch.rand(2, generator=generator, dtype=torch.float64) * 6.28 - 3.14).tolist()
            force.setTorsionParameters(n, i, j, k, l, 1 + n % 6, phase, height)

    system = altered(alanine, scramble)
    x = thermal_frames[1200.0][::16]
    assert_same(
        energy_and_gradient(ForceFieldEnergy(system).potential, x),
        energy_and_gradient(OpenMMEnergy(system).potential, x),
    )


def test_born_spheres_inside_one_another(alanine: System, thermal_frames: dict[float, Tensor]) -> None:
    """Radii far from any force field's reach the branches r + s < o and o < s - r of the pair integral."""
    generator = torch.Generator().manual_seed(5)

    def scramble(system: openmm.System) -> None:
        force = force_of(system, openmm.CustomGBForce)
        for i in range(force.getNumParticles()):
            charge, _, _ = force.getParticleParameters(i)
            offset_radius, scaled = torch.rand(2, generator=generator, dtype=torch.float64).tolist()
            force.setParticleParameters(i, [charge, 0.05 + 0.4 * offset_radius, 0.02 + 0.15 * scaled])
        force.setParticleParameters(0, [0.3, 0.06, 0.35])

    system = altered(alanine, scramble)
    x = thermal_frames[1200.0][::16]
    reference = energy_and_gradient(OpenMMEnergy(system).potential, x)
    assert_same(energy_and_gradient(ForceFieldEnergy(system).potential, x), reference)


@pytest.mark.parametrize(
    "files",
    [
        ["amber96.xml"],
        ["amber96.xml", "implicit/obc2.xml"],
        ["amber99sbildn.xml", "implicit/obc1.xml"],
        ["amber14-all.xml", "implicit/obc1.xml"],
    ],
)
def test_other_force_fields(alanine: System, thermal_frames: dict[float, Tensor], files: list[str]) -> None:
    assert alanine.folder is not None
    system = System.from_pdb(alanine.folder / "topology.pdb", files)
    x = thermal_frames[1200.0][::32]
    assert_same(
        energy_and_gradient(ForceFieldEnergy(system).potential, x),
        energy_and_gradient(OpenMMEnergy(system).potential, x),
    )


def test_two_forces_of_a_kind_add_up(alanine: System) -> None:
    def double(system: openmm.System) -> None:
        system.addForce(copy_of_force(force_of(system, openmm.HarmonicBondForce)))
        system.addForce(openmm.CMMotionRemover())

    system = altered(alanine, double)
    energies = ForceFieldEnergy(system).potentials(alanine.positions)
    assert energies["HarmonicBondForce_2"] == energies["HarmonicBondForce"] > 0
    torch.testing.assert_close(
        ForceFieldEnergy(system).potential(alanine.positions),
        OpenMMEnergy(system).potential(alanine.positions),
    )


def copy_of_force(force: openmm.Force) -> openmm.Force:
    return openmm.XmlSerializer.deserialize(openmm.XmlSerializer.serialize(force))


def add_unknown(system: openmm.System) -> None:
    system.addForce(openmm.GayBerneForce())


def make_periodic(system: openmm.System) -> None:
    force_of(system, openmm.HarmonicAngleForce).setUsesPeriodicBoundaryConditions(True)


def add_gb_cutoff(system: openmm.System) -> None:
    force = force_of(system, openmm.CustomGBForce)
    force.setNonbondedMethod(openmm.CustomGBForce.CutoffNonPeriodic)
    force.setCutoffDistance(0.4)


def change_gb_integral(system: openmm.System) -> None:
    force = force_of(system, openmm.CustomGBForce)
    name, text, kind = force.getComputedValueParameters(0)
    force.setComputedValueParameters(0, name, text.replace("0.25", "0.26"), kind)


def change_gb_radius(system: openmm.System) -> None:
    force = force_of(system, openmm.CustomGBForce)
    name, text, kind = force.getComputedValueParameters(1)
    force.setComputedValueParameters(1, name, text.replace("tanh", "sin"), kind)


def change_gb_energy(system: openmm.System) -> None:
    force = force_of(system, openmm.CustomGBForce)
    text, kind = force.getEnergyTermParameters(2)
    force.setEnergyTermParameters(2, text.replace("4*B1", "3*B1"), kind)


def add_gb_energy(system: openmm.System) -> None:
    force_of(system, openmm.CustomGBForce).addEnergyTerm(
        "charge^2; kappa=0; soluteDielectric=1; solventDielectric=2", openmm.CustomGBForce.SingleParticle
    )


def add_virtual_site(system: openmm.System) -> None:
    system.setParticleMass(0, 0.0)
    system.setVirtualSite(0, openmm.TwoParticleAverageSite(1, 2, 0.5, 0.5))


@pytest.mark.parametrize(
    ("change", "names"),
    [
        (add_unknown, "GayBerneForce: .*known forces"),
        (make_periodic, "HarmonicAngleForce: .*periodic"),
        (add_virtual_site, "virtual sites"),
    ],
)
def test_what_is_not_computed_is_refused_by_name(
    alanine: System, change: Callable[[openmm.System], None], names: str
) -> None:
    with pytest.raises(UnsupportedForceError, match=names + ".*use OpenMMEnergy") as error:
        ForceFieldEnergy(altered(alanine, change))
    assert isinstance(error.value, ValueError)


@pytest.mark.parametrize(
    "change", [add_gb_cutoff, change_gb_integral, change_gb_radius, change_gb_energy, add_gb_energy]
)
def test_altered_born_models_are_not_taken_for_obc(
    alanine: System, thermal_frames: dict[float, Tensor], change: Callable[[openmm.System], None]
) -> None:
    system = altered(alanine, change)
    x = thermal_frames[300.0][::128]
    reference = energy_and_gradient(OpenMMEnergy(system).potential, x)
    assert (reference[0] - OpenMMEnergy(alanine).potential(x)).abs().min() > 1e-3
    assert_same(energy_and_gradient(ForceFieldEnergy(system).potential, x), reference)


def test_salt_is_computed(alanine: System, thermal_frames: dict[float, Tensor]) -> None:
    openmm_system = app.ForceField("amber96.xml", "implicit/obc1.xml").createSystem(
        alanine.topology, implicitSolventKappa=1.0
    )
    system = System(alanine.topology, openmm_system, alanine.positions)
    x = thermal_frames[300.0][::128]
    assert_same(
        energy_and_gradient(ForceFieldEnergy(system).potential, x),
        energy_and_gradient(OpenMMEnergy(system).potential, x),
    )


def test_constraints_are_no_part_of_the_energy(alanine: System, thermal_frames: dict[float, Tensor]) -> None:
    """The bond terms of constrained bonds are missing from the OpenMM System, and nothing else changes."""
    openmm_system = app.ForceField("amber96.xml", "implicit/obc1.xml").createSystem(
        alanine.topology, constraints=app.HBonds
    )
    system, x = System(alanine.topology, openmm_system, alanine.positions), thermal_frames[300.0][::128]
    assert system.openmm_system.getNumConstraints() == 12
    assert_same(
        energy_and_gradient(ForceFieldEnergy(system).potential, x),
        energy_and_gradient(OpenMMEnergy(system).potential, x),
    )
