"""The files that a system is made of: structures, force fields, serialized OpenMM Systems.

Nothing in them is executed.
"""

import math
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import openmm
from openmm import app, unit

from boltzgen.molecule.forcefields import OPENMM_DATA, near_misses
from boltzgen.molecule.xml_files import check_expressions, check_force_field, check_numbers, parse

#: Force-field files that include each other, at most.
_MOST_FILES = 100
#: What the `type` of a node of a serialized System may be: classes whose XML holds numbers and expressions. A
#: PythonForce's holds a pickle, which OpenMM would load and so execute.
_PLAIN = {
    "System",
    "AndersenThermostat",
    "CMMotionRemover",
    "MonteCarloAnisotropicBarostat",
    "MonteCarloBarostat",
    "MonteCarloFlexibleBarostat",
    "MonteCarloMembraneBarostat",
    "ATMForce",
    "AmoebaGeneralizedKirkwoodForce",
    "AmoebaMultipoleForce",
    "AmoebaTorsionTorsionForce",
    "AmoebaVdwForce",
    "AmoebaWcaDispersionForce",
    "CMAPTorsionForce",
    "ConstantPotentialForce",
    "CustomAngleForce",
    "CustomBondForce",
    "CustomCVForce",
    "CustomCentroidBondForce",
    "CustomCompoundBondForce",
    "CustomExternalForce",
    "CustomGBForce",
    "CustomHbondForce",
    "CustomManyParticleForce",
    "CustomNonbondedForce",
    "CustomTorsionForce",
    "CustomVolumeForce",
    "DrudeForce",
    "GBSAOBCForce",
    "GayBerneForce",
    "HarmonicAngleForce",
    "HarmonicBondForce",
    "HippoNonbondedForce",
    "LCPOForce",
    "NonbondedForce",
    "OrientationRestraintForce",
    "PeriodicTorsionForce",
    "RBTorsionForce",
    "RGForce",
    "RMSDForce",
    "Continuous1DFunction",
    "Continuous2DFunction",
    "Continuous3DFunction",
    "Discrete1DFunction",
    "Discrete2DFunction",
    "Discrete3DFunction",
}


def read_structure(path: Path) -> tuple[app.Topology, np.ndarray]:
    """Topology and positions (n_atoms, 3) in nm of the first model in a file; errors as `open_structure`."""
    structure = open_structure(path)
    return structure.topology, np.asarray(
        structure.getPositions(asNumpy=True).value_in_unit(unit.nanometer), dtype=np.float64
    )


def open_structure(path: Path) -> app.PDBFile | app.PDBxFile:
    """A PDB file, or a PDBx/mmCIF file (.cif), as OpenMM has it.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it cannot be read, or holds no atoms.
    """
    kind = "PDBx/mmCIF" if path.suffix == ".cif" else "PDB"
    if not path.is_file():
        raise FileNotFoundError(f"no {kind} file at {path}")
    try:
        structure = app.PDBxFile(str(path)) if path.suffix == ".cif" else app.PDBFile(str(path))
    except Exception as error:
        raise ValueError(
            f"{path} is not a readable {kind} file ({first_line(error)}); expected ATOM records with "
            "coordinates"
        ) from error
    if structure.topology.getNumAtoms() == 0:
        raise ValueError(f"{path} holds no atoms; expected a {kind} file with ATOM records")
    return structure


def load_forcefield(files: Sequence[str], *, trust: bool = False) -> app.ForceField:
    """OpenMM's `ForceField` of files that OpenMM ships or that are the user's own.

    Args:
        files: names or paths.
        trust: let OpenMM run the Python code that a file may hold.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file cannot be read, or one of the user's own holds a script.
    """
    for file in files:
        own_files(file, trust=trust)
    try:
        return app.ForceField(*files)
    except Exception as error:
        raise ValueError(
            f"force field {list(files)} cannot be read: {first_line(error)}; expected OpenMM force-field "
            "XML files"
        ) from error


def own_files(file: str, *, trust: bool = False) -> dict[str, Path]:
    """A force-field file and all that it includes, but for OpenMM's own.

    Returns:
        Each path, by what it is called next to the first one.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is not XML, or holds Python code (which OpenMM would run) and is not trusted.
    """
    found: dict[str, Path] = {}
    _collect(file, Path(file).name, found, trust=trust)
    return found


def _collect(file: str, name: str, found: dict[str, Path], *, trust: bool) -> None:
    path = Path(file)
    if not path.is_file():
        if not (OPENMM_DATA / file).is_file():
            meant = " or ".join(near_misses(file))
            raise FileNotFoundError(
                f"no force-field file {file!r}: neither a path nor one of OpenMM's own files, which the "
                f"command `boltzgen forcefields` lists{f'; did you mean {meant}?' if meant else ''}"
            )
        return
    if path.resolve().is_relative_to(OPENMM_DATA.resolve()) or any(
        path.samefile(other) for other in found.values()
    ):
        return
    found[name] = path
    if len(found) > _MOST_FILES:
        raise ValueError(f"more than {_MOST_FILES} force-field files include each other; put them into fewer")
    root = parse(path, "force-field file")
    if not trust:
        check_force_field(root, file)
    for element in root.iter("Include"):
        include = element.get("file", "")
        beside = path.parent / include
        source = str(beside) if beside.is_file() else include
        _collect(source, str(Path(name).parent / include), found, trust=trust)


def template_file(files: Sequence[str], template: str) -> str:
    """The first of some force-field files that has a template of this name, or includes a file that has."""
    known = re.compile(rf'<Residue [^>]*\bname="{re.escape(template)}"')
    for file in files:
        path = Path(file) if Path(file).is_file() else OPENMM_DATA / file
        text = path.read_text(encoding="utf-8", errors="replace")
        if known.search(text):
            return file
        included = re.findall(r'<Include [^>]*file="([^"]*)"', text)
        beside = [str(path.parent / name) if (path.parent / name).is_file() else name for name in included]
        if beside and template_file(beside, template):
            return file
    return ""


def forcefield_system(
    topology: app.Topology, forcefield: app.ForceField, constraints: Any = None
) -> openmm.System:
    """The molecule's OpenMM System without a cutoff.

    Whatever OpenMM raises where the force field does not fit passes through. The same System in every
    process: OpenMM numbers the atom types of a <LennardJonesForce> (CHARMM) by a set of strings, whose order
    changes.
    """
    system = forcefield.createSystem(
        topology, nonbondedMethod=app.NoCutoff, constraints=constraints, removeCMMotion=False
    )
    for force in system.getForces():
        if isinstance(force, openmm.CustomNonbondedForce) and force.getName() == "LennardJones":
            _number_types(force)
    return system


def _number_types(force: openmm.CustomNonbondedForce) -> None:
    """Number the atom types as they come among the atoms.

    They are the only per-particle parameter, and index rows and columns of the force's tables.
    """
    types = [int(force.getParticleParameters(k)[0]) for k in range(force.getNumParticles())]
    order = list(dict.fromkeys(types))
    place = {old: new for new, old in enumerate(order)}
    for k in range(force.getNumTabulatedFunctions()):
        table = force.getTabulatedFunction(k)
        n, _, values = table.getFunctionParameters()
        table.setFunctionParameters(
            len(order), len(order), np.reshape(values, (n, n))[np.ix_(order, order)].flatten().tolist()
        )
    for k, old in enumerate(types):
        force.setParticleParameters(k, (place[old],))


def read_system(path: Path) -> openmm.System:
    """A System written by `openmm.XmlSerializer.serialize`, less its removers of centre-of-mass motion.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is anything else, or holds code.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no serialized OpenMM System at {path}")
    root = parse(path, "serialized OpenMM System")
    if root.tag != "System":
        raise ValueError(
            f"{path} is not a serialized OpenMM System: expected <System>, got <{root.tag}>; write it with "
            "openmm.XmlSerializer"
        )
    kinds = {kind for node in root.iter() if not (kind := node.get("type", "0")).isdigit()}
    if kinds - _PLAIN:
        raise ValueError(
            f"{path} holds a {min(kinds - _PLAIN)}, which may be code that OpenMM would run; only OpenMM's "
            "own forces that are plain data are read"
        )
    check_numbers(root, path)
    check_expressions(root, path)
    try:
        # What was checked is what OpenMM reads: not the file, in which two parsers might see different
        # things.
        system = openmm.XmlSerializer.deserialize(ElementTree.tostring(root, encoding="unicode"))
    except Exception as error:
        raise ValueError(
            f"{path} is not a whole serialized OpenMM System ({first_line(error)}); write it again"
        ) from error
    for k in reversed(range(system.getNumForces())):
        if isinstance(system.getForce(k), openmm.CMMotionRemover):
            system.removeForce(k)
    try:
        check_constraints(system)
        # Forces of atoms that are not there, tables of another size and the like.
        reference_context(system)
    except Exception as error:
        raise ValueError(
            f"{path} is no System that OpenMM can compute ({first_line(error)}); write it again"
        ) from error
    return system


def reference_context(system: openmm.System) -> openmm.Context:
    """What computes energies and forces in double precision, the same everywhere."""
    return openmm.Context(
        system, openmm.VerletIntegrator(0.001), openmm.Platform.getPlatformByName("Reference")
    )


def check_constraints(system: openmm.System) -> None:
    """Raise ValueError for a constraint of an atom with itself, of no positive length, or made twice."""
    seen: set[frozenset[int]] = set()
    atoms = set(range(system.getNumParticles()))
    for k in range(system.getNumConstraints()):
        i, j, length = system.getConstraintParameters(k)
        nm = float(length.value_in_unit(unit.nanometer))
        if i == j or not 0 < nm < math.inf or not {i, j} <= atoms:
            raise ValueError(
                f"the OpenMM System constrains atoms {i + 1} and {j + 1} to {nm:g} nm; expected two atoms of "
                f"its {system.getNumParticles()} and a positive length"
            )
        if frozenset((i, j)) in seen:
            raise ValueError(
                f"the OpenMM System constrains atoms {i + 1} and {j + 1} more than once; expected each pair "
                "once"
            )
        seen.add(frozenset((i, j)))


def first_line(error: Exception) -> str:
    """The first line of an exception's message, or its class."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
