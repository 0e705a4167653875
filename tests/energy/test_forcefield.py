"""ForceFieldEnergy against OpenMM's Reference platform, force by force and in total."""

import openmm
import pytest
import torch
from openmm import unit
from torch import Tensor

from boltzgen import units
from boltzgen.energy import ForceFieldEnergy, OpenMMEnergy
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.molecule.system import System
from tests.helpers.against_openmm import altered, assert_same, energy_and_gradient

#: The T-FAB energy at the shipped positions (the PDB file's three decimals in Angstrom), OpenMM 8.6.1
#: Reference, kJ/mol.
SHIPPED_ENERGY = -138.99325135876978


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
