"""Residues and what they lack, by comparison with PDBFixer's templates; hydrogens."""

import random
from collections.abc import Sequence
from functools import cache
from importlib import resources

import numpy as np
import openmm
from openmm import app, unit

from boltzgen.molecule.labels import residue_names
from boltzgen.molecule.openmm_files import first_line, forcefield_system, template_file
from boltzgen.preparation.structure import listed

PH = 7.0


@cache
def standard_atoms(name: str) -> frozenset[str]:
    """Heavy atoms of a standard residue inside a chain, by PDBFixer's templates; none for other residues."""
    template = resources.files("pdbfixer") / "templates" / f"{name}.pdb"
    if not name.isalnum() or not template.is_file():
        return frozenset()
    return frozenset(
        line[12:16].strip() for line in template.read_text().splitlines() if line.startswith("ATOM")
    )


def create_system(
    topology: app.Topology, positions: np.ndarray, forcefield: app.ForceField, constraints: object = None
) -> openmm.System:
    """The OpenMM System of a molecule.

    Raises:
        ValueError: the force field does not fit the structure; the message says what this lacks.
    """
    if forcefield.getUnmatchedResidues(topology):
        _check_hydrogens(topology, positions)
    try:
        return forcefield_system(topology, forcefield, constraints)
    except Exception as error:
        reason = first_line(error).split("  For more information")[0].rstrip(".")
        raise ValueError(
            f"the force field does not fit: {reason}; choose one with templates of every residue, or change "
            "the residue"
        ) from error


def matched(topology: app.Topology, forcefield: app.ForceField, files: Sequence[str]) -> tuple[str, ...]:
    """By which template each residue is matched that is not a standard one, in a sentence.

    Args:
        topology: the force field fits it.
        forcefield: made of the files.
        files: names or paths.
    """
    residues, names = list(topology.residues()), residue_names(topology)
    if all(standard_atoms(residue.name) for residue in residues):
        return ()
    return tuple(
        f"{name} is matched by the template {template.name} of {template_file(files, template.name)}: its "
        "elements and bonds are the same, whatever the names"
        for residue, name, template in zip(
            residues, names, forcefield.getMatchingTemplates(topology), strict=True
        )
        if not standard_atoms(residue.name)
    )


def _check_hydrogens(topology: app.Topology, positions: np.ndarray) -> None:
    """Raise ValueError if there are fewer hydrogens than OpenMM's definitions have at pH 7."""
    whole, _ = add_hydrogens(topology, positions, None)
    rows = zip(residue_names(topology), topology.residues(), whole.residues(), strict=True)
    short = {name: n for name, old, new in rows if (n := len(list(new.atoms())) - len(list(old.atoms()))) > 0}
    if short:
        raise ValueError(
            f"{sum(short.values())} hydrogens are missing, in {listed(short)}; add them with `add_hydrogens`"
        )


def add_hydrogens(
    topology: app.Topology,
    positions: np.ndarray,
    forcefield: app.ForceField | None,
    variants: Sequence[str | None] | None = None,
) -> tuple[app.Topology, np.ndarray]:
    """The molecule with the hydrogens that it lacks at pH 7, the same every time.

    By OpenMM's `Modeller.addHydrogens`.

    Args:
        topology: a molecule with all its heavy atoms.
        positions: (n_atoms, 3) in nm.
        forcefield: places the new hydrogens; without one they are spread evenly.
        variants: for instance ``"HID"``, for each residue; None where pH and hydrogen bonds decide.

    Returns:
        (topology, positions): with the new atoms, (n_atoms, 3) in nm.

    Raises:
        ValueError: the force field does not fit the molecule with its hydrogens.
    """
    model = app.Modeller(topology, positions * unit.nanometer)
    state = random.getstate()
    random.seed(0)  # OpenMM draws first positions from Python's generator
    try:
        model.addHydrogens(
            forcefield,
            pH=PH,
            variants=list(variants) if variants is not None else None,
            platform=openmm.Platform.getPlatformByName("Reference"),
        )
    except Exception as error:
        raise ValueError(
            f"hydrogens cannot be added: {first_line(error)}; check atom names and the force field"
        ) from error
    finally:
        random.setstate(state)
    return model.topology, np.array(model.positions.value_in_unit(unit.nanometer), dtype=np.float64)
