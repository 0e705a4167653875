"""Reduced energies u(x) in kT, differentiable and batched.

Each name is imported when it is first used: a worker process of `OpenMMEnergy` needs none of them, nor
PyTorch.
"""

from typing import TYPE_CHECKING

from boltzgen.lazy import lazy_names

if TYPE_CHECKING:
    from boltzgen.energy.base import CountedEnergy, Energy
    from boltzgen.energy.choose import energy_for
    from boltzgen.energy.forcefield import ForceFieldEnergy
    from boltzgen.energy.openmm import OpenMMEnergy
    from boltzgen.energy.terms.term import UnsupportedForceError
    from boltzgen.energy.torch_energy import TorchEnergy
    from boltzgen.energy.workers import WorkerError

_HOMES = {
    "CountedEnergy": "boltzgen.energy.base",
    "Energy": "boltzgen.energy.base",
    "ForceFieldEnergy": "boltzgen.energy.forcefield",
    "OpenMMEnergy": "boltzgen.energy.openmm",
    "TorchEnergy": "boltzgen.energy.torch_energy",
    "UnsupportedForceError": "boltzgen.energy.terms.term",
    "WorkerError": "boltzgen.energy.workers",
    "energy_for": "boltzgen.energy.choose",
}

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

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
