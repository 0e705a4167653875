"""Reduced energies u(x) in kT, differentiable and batched."""

from boltzgen.energy.base import CountedEnergy, Energy
from boltzgen.energy.choose import energy_for
from boltzgen.energy.forcefield import ForceFieldEnergy
from boltzgen.energy.openmm import OpenMMEnergy
from boltzgen.energy.terms.term import UnsupportedForceError
from boltzgen.energy.torch_energy import TorchEnergy
from boltzgen.energy.workers import WorkerError

__all__ = [
    "CountedEnergy",
    "Energy",
    "ForceFieldEnergy",
    "OpenMMEnergy",
    "TorchEnergy",
    "UnsupportedForceError",
    "WorkerError",
    "energy_for",
]
