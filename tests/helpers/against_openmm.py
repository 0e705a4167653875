"""Systems with something altered, and energies and gradients that have to be those of OpenMM."""

from collections.abc import Callable

import openmm
import torch
from torch import Tensor

from boltzgen.molecule.system import System


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
