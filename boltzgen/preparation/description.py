"""What a molecule is, in words: its charge and what carries it, its solvent."""

import re

import openmm
from openmm import app, unit

from boltzgen.molecule.labels import residue_names
from boltzgen.preparation.sources import SOLVENTS, Source

#: A residue's charge, in elementary charges, from which it is told.
_TOLD = 0.5
_HISTIDINES = {(True, False): "HID", (False, True): "HIE", (True, True): "HIP"}


def charge(topology: app.Topology, system: openmm.System) -> str | None:
    """The net charge and what carries it, such as ``"+1 (NH3+ of LYS 1, LYS 1 +1, COO- of ALA 2)"``.

    Charged ends are told from their atoms, other charges from the sums over residues. Histidines are told
    with their form. None where the System has no `NonbondedForce`, whose charges are plain numbers.
    """
    found = [force for force in system.getForces() if isinstance(force, openmm.NonbondedForce)]
    if not found:
        return None
    charges = [
        found[0].getParticleParameters(k)[0].value_in_unit(unit.elementary_charge)
        for k in range(system.getNumParticles())
    ]
    carriers = []
    for residue, name in zip(topology.residues(), residue_names(topology), strict=True):
        own = sum(charges[atom.index] for atom in residue.atoms())
        ends = _ends(residue)
        carriers += [f"{end} of {name}" for end in ends]
        side = own - sum(ends.values())
        if abs(side) > _TOLD:
            carriers.append(f"{name} {side:+.0f}")
        if form := _histidine(residue):
            carriers.append(f"{name} as {form}")
    net = f"{sum(charges):+.2f}".replace(".00", "")
    net = "0" if float(net) == 0 else net
    return f"{net} ({', '.join(carriers)})" if carriers else net


def _ends(residue: app.Residue) -> dict[str, int]:
    """Charged ends of a chain that an amino acid has, and the charge of each."""
    near: dict[str, list[app.Atom]] = {}
    for a, b in residue.internal_bonds():
        near.setdefault(a.name, []).append(b)
        near.setdefault(b.name, []).append(a)
    hydrogens = {
        name: sum(a.element is app.element.hydrogen for a in others) for name, others in near.items()
    }
    ends = {}
    if {"N", "CA", "C"} <= near.keys() and len(near["N"]) == 4:
        ends[f"NH{hydrogens['N']}+"] = 1
    if {"CA", "OXT"} <= near.keys() and not hydrogens["OXT"] and not hydrogens.get("O"):
        ends["COO-"] = -1
    return ends


def _histidine(residue: app.Residue) -> str | None:
    atoms = {atom.name for atom in residue.atoms()}
    if not {"ND1", "NE2", "CD2", "CE1"} <= atoms:
        return None
    return _HISTIDINES.get(("HD1" in atoms, "HE2" in atoms))


def solvent(source: Source) -> str:
    """The solvent model, by the force-field files or the option that chose it; or that there is none."""
    kinds = (openmm.GBSAOBCForce, openmm.CustomGBForce)
    found = [force for force in source.openmm_system.getForces() if isinstance(force, kinds)]
    if not found:
        return "none (vacuum)"
    if isinstance(found[0], openmm.GBSAOBCForce):
        return "OBC2 (implicit)"
    names = {name.lower(): name for name in SOLVENTS if name != "none"}
    said = [names[word] for word in re.findall(r"\w+", source.origin.lower().split(",")[-1]) if word in names]
    return f"{said[-1]} (implicit)" if said else "implicit (generalized Born)"
