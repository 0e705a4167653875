"""Why `ForceFieldEnergy` refuses a kind of force."""

from collections.abc import Iterable

#: Forces that belong to a whole family: part of the class's name -> why.
_FAMILIES = {
    "Barostat": (
        "it changes the volume of a periodic box, and only vacuum and implicit solvent are computed in "
        "batches (remove it)"
    ),
    "Drude": "Drude particles are relaxed or thermalised at every step: they are no free coordinates",
    "Amoeba": "its polarisable multipoles are solved for self-consistently, configuration by configuration",
    "Hippo": "its polarisable multipoles are solved for self-consistently, configuration by configuration",
    "ConstantPotential": "its charges are solved for, configuration by configuration",
    "CustomVolume": "it depends on the volume of a periodic box",
    "CustomCV": "it is a function of other forces",
    "ATM": "it is a function of other forces",
    "RMSD": "it needs an optimal superposition",
    "Thermostat": "it belongs to the dynamics and has no energy (remove it)",
    "Python": "it runs code of its own",
    "Torch": "it runs code of its own",
}


def why_unsupported(kind: str, known: Iterable[str]) -> str:
    """The reason, for the name of an OpenMM force class that is not among the known ones."""
    for part, reason in _FAMILIES.items():
        if part in kind:
            return reason
    return f"no batched form of it is implemented; known forces are {', '.join(known)}"
