"""Reduced energies u(x) in kT, differentiable and batched."""

from boltzgen.energy.base import CountedEnergy, Energy
from boltzgen.energy.forcefield import ForceFieldEnergy
from boltzgen.energy.openmm import OpenMMEnergy
from boltzgen.energy.term import UnsupportedForceError

__all__ = ["CountedEnergy", "Energy", "ForceFieldEnergy", "OpenMMEnergy", "UnsupportedForceError"]
