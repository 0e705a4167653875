"""Single forces with random parameters against OpenMM's Reference platform, float64."""

from collections.abc import Callable
from math import pi

import numpy as np
import openmm
import pytest
import torch
from torch import Tensor

from boltzgen.energy import ForceFieldEnergy, OpenMMEnergy, UnsupportedForceError
from boltzgen.molecule.system import System

N_ATOMS = 22
#: phi and psi of alanine dipeptide.
PHI, PSI = (4, 6, 8, 14), (6, 8, 14, 16)


def alone(alanine: System, *forces: openmm.Force) -> System:
    """Alanine dipeptide's atoms with these forces only."""
    system = openmm.System()
    for _ in range(N_ATOMS):
        system.addParticle(12.0)
    for force in forces:
        system.addForce(openmm.XmlSerializer.clone(force))
    return System(alanine.topology, system, alanine.positions)


def atoms(rng: np.random.Generator, count: int) -> list[int]:
    return rng.choice(N_ATOMS, count, replace=False).tolist()


def rb_torsions(rng: np.random.Generator) -> openmm.Force:
    force = openmm.RBTorsionForce()
    for _ in range(10):
        force.addTorsion(*atoms(rng, 4), *rng.normal(scale=5.0, size=6))
    force.addTorsion(*PHI, *rng.normal(scale=5.0, size=6))
    force.addTorsion(*PHI, *rng.normal(scale=5.0, size=6))
    return force


def cmap(rng: np.random.Generator) -> openmm.Force:
    """Maps of three sizes, on phi and psi, and on torsions with no atom in common."""
    force = openmm.CMAPTorsionForce()
    for size in (24, 7, 3):
        force.addMap(size, rng.normal(scale=3.0, size=size * size).tolist())
    for n in range(9):
        force.addTorsion(n % 3, *(PHI if n == 0 else atoms(rng, 4)), *(PSI if n < 2 else atoms(rng, 4)))
    return force


def gbsa(rng: np.random.Generator, cutoff: float | None = None) -> openmm.Force:
    """Radii so different that some atoms are wholly inside others."""
    force = openmm.GBSAOBCForce()
    for _ in range(N_ATOMS):
        force.addParticle(rng.normal(), 0.12 + 0.15 * rng.random() ** 3, 0.8 + 0.9 * rng.random() ** 4)
    force.setSoluteDielectric(2.0)
    force.setSolventDielectric(60.0)
    force.setSurfaceAreaEnergy(3.0)
    if cutoff is not None:
        force.setNonbondedMethod(openmm.GBSAOBCForce.CutoffNonPeriodic)
        force.setCutoffDistance(cutoff)
    return force


def nonbonded(
    rng: np.random.Generator, cutoff: float | None = None, switch: float | None = None, offsets: bool = False
) -> openmm.Force:
    """Exceptions of all kinds: excluded, without charge, without Lennard-Jones energy, and both within and
    beyond the cutoff.
    """
    force = openmm.NonbondedForce()
    for _ in range(N_ATOMS):
        force.addParticle(rng.normal(), 0.1 + 0.1 * rng.random(), rng.random())
    for i in range(N_ATOMS - 3):
        force.addException(
            i, i + 3, rng.normal() * (i % 3 > 0), 0.1 + 0.1 * rng.random(), rng.random() * (i % 4 > 0)
        )
    force.addException(21, 0, 1.3, 0.2, 3.0)
    if cutoff is not None:
        force.setNonbondedMethod(openmm.NonbondedForce.CutoffNonPeriodic)
        force.setCutoffDistance(cutoff)
        force.setReactionFieldDielectric(40.0)
    if switch is not None:
        force.setUseSwitchingFunction(True)
        force.setSwitchingDistance(switch)
    if offsets:
        force.addGlobalParameter("a", 0.3)
        force.addGlobalParameter("b", -0.7)
        force.addParticleParameterOffset("a", 3, 0.3, 0.02, 0.4)
        force.addParticleParameterOffset("b", 3, 0.3, 0.02, 0.04)
        # The exception of atoms 0 and 3 is an exclusion without its offset.
        force.addExceptionParameterOffset("a", 0, 0.3, 0.02, 0.4)
    return force


FORCES: dict[str, Callable[[np.random.Generator], openmm.Force]] = {
    "Ryckaert-Bellemans": rb_torsions,
    "CMAP": cmap,
    "GBSAOBC": gbsa,
    "GBSAOBC, cutoff": lambda rng: gbsa(rng, cutoff=0.4),
    "nonbonded": nonbonded,
    "nonbonded, offsets": lambda rng: nonbonded(rng, offsets=True),
    "nonbonded, cutoff": lambda rng: nonbonded(rng, cutoff=0.5),
    "nonbonded, cutoff and switch": lambda rng: nonbonded(rng, cutoff=0.5, switch=0.3, offsets=True),
}


def energy_and_gradient(potential: Callable[[Tensor], Tensor], x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.clone().requires_grad_()
    energy = potential(x)
    (gradient,) = torch.autograd.grad(energy.sum(), x)
    return energy.detach(), gradient


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("make", FORCES.values(), ids=FORCES.keys())
def test_same_energies_and_forces(
    alanine: System, distorted_frames: Tensor, make: Callable[[np.random.Generator], openmm.Force], seed: int
) -> None:
    system = alone(alanine, make(np.random.default_rng(seed)))
    x = distorted_frames[::4]
    ours, reference = (
        energy_and_gradient(energy.potential, x)
        for energy in (ForceFieldEnergy(system), OpenMMEnergy(system))
    )
    assert reference[0].std() > 0.1
    difference = (ours[0] - reference[0]).abs()
    assert ((difference < 1e-10) | (difference < 1e-12 * reference[0].abs())).all(), difference
    scale = reference[1].abs().amax((-1, -2))
    assert ((ours[1] - reference[1]).abs().amax((-1, -2)) < 1e-10 * scale).all()


@pytest.mark.parametrize("make", FORCES.values(), ids=FORCES.keys())
def test_single_precision(alanine: System, make: Callable[[np.random.Generator], openmm.Force]) -> None:
    energy = ForceFieldEnergy(alone(alanine, make(np.random.default_rng(2))))
    noise = torch.randn(64, N_ATOMS, 3, generator=torch.Generator().manual_seed(0))
    x = alanine.positions.float() + 0.002 * noise
    single, double = (
        energy_and_gradient(energy.potential, x),
        energy_and_gradient(energy.potential, x.double()),
    )
    # Root mean squares: the error of one configuration is luck, and another on another processor.
    assert rms(single[0] - double[0]) < 2e-6 * rms(double[0]) + 1e-4
    assert (single[1] - double[1]).abs().max() < 2e-5 * double[1].abs().max()


def rms(values: Tensor) -> float:
    return float(values.double().square().mean().sqrt())


def bent_chain(phi: float, psi: float) -> Tensor:
    """Alanine dipeptide's atom numbers with the five atoms of PHI and PSI placed at these torsions (rad); the
    others anywhere.
    """
    x = torch.randn(N_ATOMS, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    # The middle bond of each torsion along its own axis: the next atom is a rotation about it.
    i, j, k, l, m = 4, 6, 8, 14, 16
    x[i], x[j], x[k] = torch.tensor([[0.1, 0.1, 0.0], [0.0, 0.0, 0.0], [0.15, 0.0, 0.0]], dtype=torch.float64)
    x[l] = x[k] + 0.1 * torch.tensor([0.5, np.cos(phi), np.sin(phi)], dtype=torch.float64)
    along = torch.nn.functional.normalize(x[l] - x[k], dim=0)
    across = x[j] - x[k]
    across = torch.nn.functional.normalize(across - (across @ along) * along, dim=0)
    x[m] = x[l] + 0.1 * (0.5 * along + np.cos(psi) * across + np.sin(psi) * torch.linalg.cross(along, across))
    return x


@pytest.mark.parametrize("size", [4, 24])
def test_map_at_its_grid_points_and_across_the_wrap(alanine: System, size: int) -> None:
    """The energy at a grid point is the map's, from either side: at -pi and pi, and around zero, where cells
    wrap.
    """
    rng = np.random.default_rng(5)
    grid = rng.normal(size=(size, size))
    force = openmm.CMAPTorsionForce()
    force.addMap(size, grid.T.flatten().tolist())
    force.addTorsion(0, *PHI, *PSI)
    energy = ForceFieldEnergy(alone(alanine, force))
    step = 2 * pi / size
    for row, column in [(0, 0), (0, 1), (size // 2, 0), (1, size // 2), (size - 1, size - 1), (2, 3)]:
        for side in (-1e-12, 0.0, 1e-12):
            for turn in (-2 * pi, 0.0):
                value = energy.potential(bent_chain(row * step + side + turn, column * step - side))
                assert value.item() == pytest.approx(grid[row, column], abs=1e-9)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("make", FORCES.values(), ids=FORCES.keys())
def test_non_finite_positions_stay_in_their_row(
    alanine: System, make: Callable[[np.random.Generator], openmm.Force], value: float
) -> None:
    energy = ForceFieldEnergy(alone(alanine, make(np.random.default_rng(0))))
    x = alanine.positions.repeat(3, 1, 1)
    x[1, 8, 0] = value
    u, gradient = energy_and_gradient(energy.potential, x)
    expected = energy_and_gradient(energy.potential, alanine.positions)
    assert not u[1].isfinite() or value == float("inf")
    torch.testing.assert_close(u[[0, 2]], expected[0].expand(2))
    torch.testing.assert_close(gradient[[0, 2]], expected[1].expand(2, -1, -1))


@pytest.mark.parametrize("make", [rb_torsions, cmap])
def test_collinear_atoms_have_finite_gradients(
    alanine: System, make: Callable[[np.random.Generator], openmm.Force]
) -> None:
    x = torch.zeros(1, N_ATOMS, 3, dtype=torch.float64)
    x[0, :, 0] = 0.1 * torch.arange(N_ATOMS)
    energy, gradient = energy_and_gradient(
        ForceFieldEnergy(alone(alanine, make(np.random.default_rng(0)))).potential, x
    )
    assert torch.isfinite(energy).all()
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("method", ["CutoffPeriodic", "Ewald", "PME", "LJPME"])
def test_periodic_nonbonded_is_refused(alanine: System, method: str) -> None:
    force = nonbonded(np.random.default_rng(0))
    force.setNonbondedMethod(getattr(openmm.NonbondedForce, method))
    with pytest.raises(UnsupportedForceError, match="NonbondedForce: .*periodic.*use OpenMMEnergy"):
        ForceFieldEnergy(alone(alanine, force))


def test_periodic_gbsa_is_refused(alanine: System) -> None:
    force = gbsa(np.random.default_rng(0), cutoff=0.5)
    force.setNonbondedMethod(openmm.GBSAOBCForce.CutoffPeriodic)
    with pytest.raises(UnsupportedForceError, match="GBSAOBCForce: .*periodic.*use OpenMMEnergy"):
        ForceFieldEnergy(alone(alanine, force))
