"""ForceFieldEnergy against OpenMM's Reference platform, force by force and in total."""

from collections.abc import Callable

import openmm
import pytest
import torch
from openmm import app, unit
from torch import Tensor

from boltzgen import units
from boltzgen.energy import ForceFieldEnergy, OpenMMEnergy, UnsupportedForceError
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.molecule.system import System

#: The T-FAB energy at the shipped positions (the PDB file's three decimals in Angstrom), OpenMM 8.6.1
#: Reference, kJ/mol.
SHIPPED_ENERGY = -138.99325135876978


def copy_of(system: openmm.System) -> openmm.System:
    return openmm.XmlSerializer.deserialize(openmm.XmlSerializer.serialize(system))


def altered(system: System, change: Callable[[openmm.System], object]) -> System:
    """The system with `change` applied to a copy of its OpenMM System."""
    changed = copy_of(system.openmm_system)
    change(changed)
    return System(system.topology, changed, system.positions)


def force_of(system: openmm.System, kind: type) -> openmm.Force:
    return next(f for f in system.getForces() if isinstance(f, kind))


def energy_and_gradient(potential: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.clone().requires_grad_()
    energy = potential(x)
    (gradient,) = torch.autograd.grad(energy.sum(), x)
    return energy.detach(), gradient


def assert_same(ours: tuple[Tensor, Tensor], reference: tuple[Tensor, Tensor]) -> None:
    """Energies within 1e-5 kJ/mol or 1e-9 relative, and max|dF| / max|F| < 1e-7 in every configuration."""
    energy, gradient = reference
    assert torch.isfinite(energy).all()
    difference = (ours[0] - energy).abs()
    assert ((difference < 1e-5) | (difference < 1e-9 * energy.abs())).all(), difference.max()
    scale = gradient.abs().amax((-1, -2))
    assert ((ours[1] - gradient).abs().amax((-1, -2)) <= 1e-7 * scale.clamp_min(1e-12)).all()


@pytest.fixture(scope="module")
def energy(alanine: System) -> ForceFieldEnergy:
    return ForceFieldEnergy(alanine)


def test_shipped_positions(energy: ForceFieldEnergy, alanine: System) -> None:
    assert energy.potential(alanine.positions).item() == pytest.approx(SHIPPED_ENERGY, abs=1e-6)
    assert OpenMMEnergy(alanine).potential(alanine.positions).item() == pytest.approx(
        SHIPPED_ENERGY, abs=1e-6
    )


@pytest.mark.parametrize("temperature", [300.0, 1200.0])
def test_thermal_frames(
    energy: ForceFieldEnergy, alanine: System, thermal_frames: dict[float, Tensor], temperature: float
) -> None:
    x = thermal_frames[temperature]
    reference = energy_and_gradient(OpenMMEnergy(alanine).potential, x)
    assert_same(energy_and_gradient(energy.potential, x), reference)
    # The frames are thermal: equipartition puts them about 30 kT above a minimum, nowhere near a clash.
    assert reference[0].std() > 2 * units.kt(temperature)


def test_flow_samples(energy: ForceFieldEnergy, alanine: System) -> None:
    """Draws of an untrained generator: uniform torsions, so that many of them clash."""
    x = BoltzmannGenerator.for_system(alanine, energy, seed=0).sample(500, energy).x.double()
    reference = energy_and_gradient(OpenMMEnergy(alanine).potential, x)
    assert reference[0].median() < 500 < 1e5 < reference[0].max()
    assert_same(energy_and_gradient(energy.potential, x), reference)


def test_distorted_frames(energy: ForceFieldEnergy, alanine: System, distorted_frames: Tensor) -> None:
    reference = energy_and_gradient(OpenMMEnergy(alanine).potential, distorted_frames)
    assert reference[0].max() > 1e9
    assert_same(energy_and_gradient(energy.potential, distorted_frames), reference)


@pytest.mark.parametrize(
    "kind",
    ["HarmonicBondForce", "HarmonicAngleForce", "PeriodicTorsionForce", "NonbondedForce", "CustomGBForce"],
)
def test_each_force(
    energy: ForceFieldEnergy,
    alanine: System,
    thermal_frames: dict[float, Tensor],
    distorted_frames: Tensor,
    kind: str,
) -> None:
    x = torch.cat([thermal_frames[300.0][::16], thermal_frames[1200.0][::16], distorted_frames[::4]])

    def keep_only(system: openmm.System) -> None:
        for index in reversed(range(system.getNumForces())):
            if type(system.getForce(index)).__name__ != kind:
                system.removeForce(index)

    reference = energy_and_gradient(OpenMMEnergy(altered(alanine, keep_only)).potential, x)
    assert_same(energy_and_gradient(lambda y: energy.potentials(y)[kind], x), reference)
    assert_same(energy_and_gradient(ForceFieldEnergy(altered(alanine, keep_only)).potential, x), reference)


@pytest.mark.parametrize("temperature", [300.0, 1200.0])
def test_float32_within_a_thousandth_of_kt(
    energy: ForceFieldEnergy, thermal_frames: dict[float, Tensor], temperature: float
) -> None:
    # The same rounded positions for both: rounding positions to float32 is itself worth 1e-3 kT on stiff
    # bonds.
    x = thermal_frames[temperature].float()
    single, double = (
        energy_and_gradient(energy.at(temperature), x),
        energy_and_gradient(energy.at(temperature), x.double()),
    )
    assert (single[0] - double[0]).abs().max() < 1e-3
    assert (single[1] - double[1]).abs().max() < 1e-5 * double[1].abs().max()


def test_energy_alone_equals_energy_with_gradient(energy: ForceFieldEnergy, distorted_frames: Tensor) -> None:
    assert torch.equal(energy(distorted_frames), energy_and_gradient(energy, distorted_frames)[0])


def test_no_gradient_is_computed_where_none_is_wanted(
    energy: ForceFieldEnergy, alanine: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ForceFieldEnergy, "_chunk_with_gradient", None)
    energy(alanine.positions)
    with torch.no_grad():
        energy(alanine.positions.clone().requires_grad_())
    with pytest.raises(TypeError):
        energy(alanine.positions.clone().requires_grad_())


def test_chunks_do_not_show(
    energy: ForceFieldEnergy, distorted_frames: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = energy_and_gradient(energy, distorted_frames)
    monkeypatch.setattr(ForceFieldEnergy, "chunk_size", lambda self, device: 100)
    chunked = energy_and_gradient(energy, distorted_frames)
    torch.testing.assert_close(chunked, whole, rtol=1e-12, atol=1e-12)


def test_a_row_that_is_not_a_number_hides_no_close_pair(energy: ForceFieldEnergy, alanine: System) -> None:
    """Close pairs make Born integrals take a longer way for the whole chunk."""
    x = alanine.positions.clone().reshape(1, 22, 3)
    x[0, 1] = x[0, 0] + 0.01 * (x[0, 1] - x[0, 0])
    u, gradient = energy_and_gradient(
        energy, torch.cat([torch.full_like(x, torch.nan), x, alanine.positions[None]])
    )
    alone = energy_and_gradient(energy, x)
    torch.testing.assert_close((u[1:2], gradient[1:2]), alone, rtol=1e-12, atol=1e-9)
    assert_same(alone, energy_and_gradient(lambda x: OpenMMEnergy(alanine)(x), x))
    assert torch.isnan(u[0])


def test_reduced_precision_elsewhere_does_not_reach_the_energy(
    energy: ForceFieldEnergy, thermal_frames: dict[float, Tensor]
) -> None:
    x = thermal_frames[300.0][:64].float()
    expected = energy_and_gradient(energy, x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(energy_and_gradient(energy, x), expected)
    try:
        torch.set_float32_matmul_precision("medium")
        torch.testing.assert_close(energy_and_gradient(energy, x), expected)
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


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


def test_degenerate_geometry_has_finite_gradients(alanine: System) -> None:
    """A straight chain: every angle is 0 or pi and no torsion is defined."""
    x = torch.zeros(1, 22, 3, dtype=torch.float64)
    x[0, :, 0] = 0.1 * torch.arange(22)
    energy, gradient = energy_and_gradient(ForceFieldEnergy(alanine), x)
    assert torch.isfinite(energy).all()
    assert torch.isfinite(gradient).all()


def test_at_shares_buffers_and_leaves_the_original(energy: ForceFieldEnergy, alanine: System) -> None:
    hot = energy.at(1200.0 * unit.kelvin)
    assert (energy.temperature, hot.temperature) == (300.0, 1200.0)
    ours, theirs = dict(energy.named_buffers()), dict(hot.named_buffers())
    assert len(ours) > 10
    assert ours.keys() == theirs.keys()
    assert all(ours[name].data_ptr() == theirs[name].data_ptr() for name in ours)


def test_masters_stay_float64(alanine: System) -> None:
    energy = ForceFieldEnergy(alanine)
    before = energy.potential(alanine.positions)
    assert torch.equal(energy.float().half().potential(alanine.positions), before)


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
