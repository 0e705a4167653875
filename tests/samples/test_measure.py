"""The mass-metric factor: closed forms, and what OpenMM's constrained dynamics samples."""

import math

import numpy as np
import openmm
import pytest
import torch
from openmm import app

from boltzgen.energy.forcefield import ForceFieldEnergy
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.molecule.system import System
from boltzgen.samples.measure import mass_metric_log_det, weighted_for
from boltzgen.samples.weighted_samples import WeightedSamples
from tests.helpers.molecules import peptide
from tests.helpers.peroxide import peroxide

LENGTH = 0.1


def chain(masses: list[float]) -> System:
    """Atoms in a row, freely jointed by rigid bonds of 0.1 nm."""
    topology, system = app.Topology(), openmm.System()
    residue = topology.addResidue("ROW", topology.addChain())
    atoms = [topology.addAtom(f"C{k}", app.element.carbon, residue) for k in range(len(masses))]
    for mass in masses:
        system.addParticle(mass)
    for i in range(len(masses) - 1):
        topology.addBond(atoms[i], atoms[i + 1])
        system.addConstraint(i, i + 1, LENGTH)
    x = [[0.0, 0.0, 0.0]]
    for k in range(1, len(masses)):
        x.append([x[-1][0] + LENGTH * 0.6, LENGTH * 0.8 * (k % 2), 0.0])
    return System(topology, system, torch.tensor(x, dtype=torch.float64))


def bent(cosine: torch.Tensor) -> torch.Tensor:
    """Three atoms with cos of the angle at the middle one."""
    zero = torch.zeros_like(cosine)
    ends = (
        torch.stack((torch.ones_like(cosine), zero, zero), -1),
        torch.stack((cosine, (1 - cosine**2).sqrt(), zero), -1),
    )
    return torch.stack((ends[0], torch.zeros_like(ends[0]), ends[1]), -2) * LENGTH


def test_freely_jointed_trimer() -> None:
    """|Z|^(1/2) is sqrt(1 - cos^2 / 4) for equal masses, up to a constant."""
    cosine = torch.linspace(-0.99, 0.99, 41, dtype=torch.float64)
    found = 0.5 * mass_metric_log_det(chain([12.0] * 3), bent(cosine))
    torch.testing.assert_close(found, 0.5 * torch.log(4 - cosine**2) - math.log(12.0))


def test_determinant_of_gradients() -> None:
    """The definition, by autograd, of a peptide whose bonds to hydrogens are rigid."""
    system = peptide("ace_ser_nme", app.HBonds)
    x = system.positions + 0.01 * torch.randn(4, system.n_atoms, 3, dtype=torch.float64)
    masses = [system.openmm_system.getParticleMass(i)._value for i in range(system.n_atoms)]
    inverse = 1 / torch.tensor(masses, dtype=torch.float64)

    def lengths(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([(x[i] - x[j]).norm() for i, j in system.constraints])

    found = mass_metric_log_det(system, x.reshape(2, 2, -1, 3)).reshape(4)
    for k in range(4):
        gradient = torch.autograd.functional.jacobian(lengths, x[k])
        z = torch.einsum("aix,bix,i->ab", gradient, gradient, inverse)
        torch.testing.assert_close(found[k], torch.logdet(z))


def test_constrained_dynamics_has_the_factor() -> None:
    """A light atom between heavy ones, whose factor is large: the mean square cosine of OpenMM's frames."""
    masses = [16.0, 1.0, 16.0]
    system = chain(masses)
    integrator = openmm.LangevinMiddleIntegrator(300.0, 20.0, 0.002)
    integrator.setRandomNumberSeed(3)
    integrator.setConstraintTolerance(1e-8)
    context = openmm.Context(system.openmm_system, integrator, openmm.Platform.getPlatformByName("Reference"))
    context.setPositions(system.positions.numpy())
    context.setVelocitiesToTemperature(300.0, 4)
    found = []
    for _ in range(4000):
        integrator.step(100)
        x = context.getState(getPositions=True).getPositions(asNumpy=True)._value
        a, b = x[0] - x[1], x[2] - x[1]
        found.append((a @ b / LENGTH**2) ** 2)
    blocks = np.mean(np.reshape(found, (20, -1)), axis=1)
    error = blocks.std(ddof=1) / math.sqrt(len(blocks))
    cosine = torch.linspace(-1, 1, 20_001, dtype=torch.float64)[1:-1]
    weight = torch.exp(0.5 * mass_metric_log_det(system, bent(cosine)))
    expected = float((weight * cosine**2).sum() / weight.sum())
    assert abs(np.mean(found) - expected) < 4 * error
    assert abs(expected - 1 / 3) > 8 * error  # what it would be without the factor


def test_weighted_samples_are_those_of_the_measure() -> None:
    system = peroxide(constraints=True)
    samples = BoltzmannGenerator.for_system(system, ForceFieldEnergy(system)).sample(64)
    assert weighted_for(samples, system, "flexible-limit") is samples
    found = weighted_for(samples, system, "constrained-dynamics")
    expected = samples.log_w + 0.5 * mass_metric_log_det(system, samples.x)
    torch.testing.assert_close(found.log_w, expected)
    torch.testing.assert_close(found.log_w, -found.u - found.log_q)
    assert torch.equal(found.u, samples.u)  # which other temperatures scale, and the factor not
    assert (found.temperature, found.system) == (samples.temperature, samples.system)
    assert float(found.log_w.std()) != float(samples.log_w.std())
    free = peroxide()
    assert torch.equal(mass_metric_log_det(free, samples.x), torch.zeros(64, dtype=torch.float64))
    with pytest.raises(ValueError, match="one of flexible-limit, constrained-dynamics, got 'rigid'"):
        weighted_for(samples, system, "rigid")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"shape \(..., 4, 3\)"):
        mass_metric_log_det(system, samples.x[:, :3])


def test_draws_outside_the_domain_keep_no_weight() -> None:
    system = peroxide(constraints=True)
    samples = BoltzmannGenerator.for_system(system, ForceFieldEnergy(system)).sample(8)
    u = samples.u.clone()
    u[0] = math.inf
    x = samples.x.clone()
    x[0] = 0.0  # no direction of any bond
    outside = WeightedSamples.from_energies(x, u, samples.log_q)
    found = weighted_for(outside, system, "constrained-dynamics")
    assert found.log_w[0] == -math.inf
    assert found.log_q.isfinite().all()
