"""Implicit solvents for a System without one, with OpenMM's radii for each model."""

from typing import Any

import numpy as np
import openmm
from openmm import app
from openmm.app.internal import customgbforces

#: Models and OpenMM's forces of them; OBC2 is a force of its own.
_CUSTOM = {
    "HCT": customgbforces.GBSAHCTForce,
    "OBC1": customgbforces.GBSAOBC1Force,
    "OBC2": customgbforces.GBSAOBC2Force,
    "GBn": customgbforces.GBSAGBnForce,
    "GBn2": customgbforces.GBSAGBn2Force,
}
MODELS = ("none", *_CUSTOM)


def add_solvent(system: openmm.System, topology: app.Topology, charges: np.ndarray, model: str) -> None:
    """Add a generalised Born model with its surface-area term to a System.

    Args:
        system: is changed.
        topology: its atoms.
        charges: (n_atoms,) in elementary charges.
        model: one of `MODELS`; Born radii are those that OpenMM takes for it (mbondi2 for OBC1 and OBC2).

    Raises:
        ValueError: no such model, or one without parameters for an element.
    """
    if model not in MODELS:
        raise ValueError(f"expected `solvent` to be one of {', '.join(MODELS)}, got {model!r}")
    if model == "none":
        return
    try:
        parameters = _CUSTOM[model].getStandardParameters(topology)
    except Exception as error:
        raise ValueError(f"solvent {model} has no parameters for this molecule: {error}; use OBC2") from error
    force: Any
    if model == "OBC2":
        force = openmm.GBSAOBCForce()
        for charge, (radius, scale) in zip(charges, parameters, strict=True):
            force.addParticle(float(charge), float(radius), float(scale))
    else:
        force = _CUSTOM[model](SA="ACE")
        for charge, row in zip(charges, parameters, strict=True):
            force.addParticle([float(charge), *map(float, row)])
        force.finalize()
    force.setNonbondedMethod(force.NoCutoff)
    system.addForce(force)
