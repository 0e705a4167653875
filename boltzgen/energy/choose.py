"""Which energy computes a system."""

import logging
from typing import Any

from boltzgen.energy.forcefield import ForceFieldEnergy
from boltzgen.energy.openmm import OpenMMEnergy
from boltzgen.energy.terms.term import UnsupportedForceError
from boltzgen.molecule.system import System

_log = logging.getLogger(__name__)


def energy_for(system: System, temperature: Any = None) -> ForceFieldEnergy | OpenMMEnergy:
    """The batched `ForceFieldEnergy` where it computes every force of the system, else `OpenMMEnergy`.

    Which one, and why, goes to the log. For several processes make ``OpenMMEnergy(system, workers=n)``
    yourself, and close it.

    Args:
        system: the molecule.
        temperature: T in K, by default the system's.
    """
    try:
        energy = ForceFieldEnergy(system, temperature)
    except UnsupportedForceError as error:
        _log.warning(
            "%s: energies come from OpenMM, one configuration at a time, because %s", system.name, error
        )
        return OpenMMEnergy(system, temperature)
    _log.info("%s: energies come from ForceFieldEnergy, batched: %s", system.name, ", ".join(energy.terms))
    return energy
