"""What a molecule may be given as: structure, sequence, OpenMM System or Amber files."""

import logging
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import openmm
from openmm import app, unit

from boltzgen.molecule.forcefields import OPENMM_DATA
from boltzgen.molecule.labels import atom_names
from boltzgen.molecule.openmm_files import (
    first_line,
    load_forcefield,
    own_files,
    read_system,
)
from boltzgen.molecule.system_file import CONSTRAINTS, Domain
from boltzgen.preparation import peptide, residues
from boltzgen.preparation.checks import check_same_molecule
from boltzgen.preparation.incomplete import check_residues
from boltzgen.preparation.structure import check_atoms, check_molecule, read_input, structure_notes

#: Implicit solvents of Amber files and what OpenMM calls them.
SOLVENTS = {
    "none": None,
    "HCT": app.HCT,
    "OBC1": app.OBC1,
    "OBC2": app.OBC2,
    "GBn": app.GBn,
    "GBn2": app.GBn2,
}

#: Endings of Amber topologies.
AMBER = (".prmtop", ".parm7", ".top")

_EXAMPLE = "for instance `forcefield=['amber14-all.xml', 'implicit/obc2.xml']`"

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """A molecule as it was given, before its energy is minimised.

    Attributes:
        topology, openmm_system: its atoms and bonds, and their force field.
        positions: (n_atoms, 3) in nm.
        origin: in a few words.
        forcefield: the table of `system.toml`; empty where the folder is to hold the System itself.
        files: the user's own files that the table names, by those names.
        notes: what a user should know of how the files were taken, in sentences.
        domain: where its density is to be defined.
        sdf: the molecule with the orders of its bonds, as an SDF file; empty where they are not known.
    """

    topology: app.Topology
    openmm_system: openmm.System
    positions: np.ndarray
    origin: str
    forcefield: dict[str, Any] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    domain: Domain = field(default_factory=Domain)
    sdf: str = ""


def source_of(
    molecule: Source | str | Path | None, sequence: str | None, options: Mapping[str, Any]
) -> Source:
    """The molecule that the arguments of `prepare` describe.

    Args:
        molecule: a file, or what was read already; None with a sequence.
        sequence: residues of a peptide, or None.
        options: `prepare`'s of where the molecule comes from, by name; each has molecules it belongs to.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: an option is missing, or does not belong to such a molecule; or a file is wrong.
    """
    if (molecule is None) == (sequence is None):
        raise ValueError(
            "expected either a file or `sequence`: a PDB file with `forcefield`, an Amber topology with "
            "`coordinates`, or the residues of a peptide; or a small molecule as `smiles`, `sdf` or `mol2`"
        )
    given = {name: value for name, value in options.items() if value}
    if isinstance(molecule, Source):
        if given:
            raise ValueError(f"{_listed(given)} cannot be used with a Source, which has been read already")
        return molecule
    if sequence is not None:
        _only(given, "a sequence", "forcefield", "constraints", "trust_forcefield")
        return from_sequence(sequence, **given)
    assert molecule is not None
    file = Path(molecule)
    if file.suffix in AMBER:
        _only(given, "an Amber topology", "coordinates", "solvent", "constraints")
        return from_amber(file, Path(given.pop("coordinates")), **given)
    if "system" in given:
        _only(given, "a structure with `system`", "system")
        return from_openmm(file, Path(given["system"]))
    _only(given, "a PDB file", "forcefield", "constraints", "trust_forcefield", "add_hydrogens")
    return from_structure(file, **given)


def _only(given: Iterable[str], what: str, needed: str, *others: str) -> None:
    """Raise ValueError unless the options given are of these names, the needed one among them."""
    wrong = [name for name in given if name not in (needed, *others)]
    if wrong:
        takes = ", ".join(f"`{name}`" for name in (needed, *others))
        implicit = "solvent" in wrong and needed == "forcefield"
        advice = f": an implicit solvent is a second force-field file, {_EXAMPLE}" if implicit else ""
        raise ValueError(f"{_listed(wrong)} cannot be used with {what}; it takes {takes}{advice}")
    if needed not in given:
        raise ValueError(f"{what} needs `{needed}`{f'; {_EXAMPLE}' if needed == 'forcefield' else ''}")


def _listed(names: Iterable[str]) -> str:
    return " and ".join(f"`{name}`" for name in names)


def from_structure(
    pdb: Path,
    forcefield: Sequence[str],
    *,
    constraints: str = "none",
    add_hydrogens: bool = False,
    trust_forcefield: bool = False,
) -> Source:
    """A PDB file (or .cif) with OpenMM force-field files, see `System.from_pdb`.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: the file is not that of one whole molecule, or the force field does not fit it.
    """
    topology, positions, notes = read_input(pdb, dry=True)
    fields = load_forcefield(forcefield, trust=trust_forcefield)
    check_residues(topology, fields, file=pdb, forcefield_files=forcefield, adds_hydrogens=add_hydrogens)
    check_molecule(topology, positions)
    if add_hydrogens:
        topology, positions = residues.add_hydrogens(topology, positions, fields)
        check_molecule(topology, positions)
    source = _with_forcefield(
        topology, positions, fields, forcefield, constraints, pdb.name, trust=trust_forcefield
    )
    return replace(source, notes=(*notes, *residues.matched(topology, fields, forcefield)))


def from_sequence(
    sequence: str, forcefield: Sequence[str], *, constraints: str = "none", trust_forcefield: bool = False
) -> Source:
    """A peptide from the names of its residues, see `peptide.build`."""
    chain = peptide.Sequence.parse(sequence)
    fields = load_forcefield(forcefield, trust=trust_forcefield)
    topology, positions = peptide.build(chain, fields)
    what = "-".join(chain.residues)
    return _with_forcefield(
        topology, positions, fields, forcefield, constraints, what, trust=trust_forcefield
    )


def _with_forcefield(
    topology: app.Topology,
    positions: np.ndarray,
    fields: app.ForceField,
    forcefield: Sequence[str],
    constraints: str,
    what: str,
    *,
    trust: bool,
) -> Source:
    """A molecule that has its positions, with the force field of its atoms."""
    system = residues.create_system(topology, positions, fields, _constraints(constraints))
    origin = f"{what}, {' + '.join(forcefield)}"
    if trust:  # whoever loads the folder need not trust the files
        return Source(topology, system, positions, origin)
    names: list[str] = []
    files: dict[str, Path] = {}
    for file in forcefield:
        own = own_files(file)
        for name, path in own.items():
            if ".." in Path(name).parts or Path(name).is_absolute():
                raise ValueError(
                    f"force-field file {file} includes {name}, outside its own folder; put the files into "
                    "one folder"
                )
            if name in files and not files[name].samefile(path):
                raise ValueError(
                    f"two force-field files are called {name}: {files[name]} and {path}; rename one of them"
                )
            files[name] = path
        names.append(Path(file).name if own else _shipped_name(file))
    return Source(topology, system, positions, origin, {"files": names, "constraints": constraints}, files)


def _constraints(name: str) -> Any:
    """What OpenMM calls these constraints."""
    if name not in CONSTRAINTS:
        raise ValueError(f"expected `constraints` to be one of {', '.join(CONSTRAINTS)}, got {name!r}")
    return CONSTRAINTS[name]


def _shipped_name(file: str) -> str:
    """What OpenMM calls one of its own files, which may have been given by its path."""
    path = Path(file).resolve()
    return path.relative_to(OPENMM_DATA.resolve()).as_posix() if path.is_file() else file


def from_openmm(structure: Path, system: Path) -> Source:
    """A PDB file (or .cif) with the serialized OpenMM System of its atoms.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: the structure is not that of one whole molecule, or the System another one's.
    """
    topology, positions, notes = read_input(structure)
    check_molecule(topology, positions)
    read = read_system(system)
    check_same_molecule(topology, read)
    return Source(topology, read, positions, f"{structure.name}, {system.name}", notes=notes)


def from_amber(
    prmtop: Path, coordinates: Path, *, solvent: str = "none", constraints: str = "none"
) -> Source:
    """An Amber topology with coordinates (.inpcrd, .rst7, .pdb, .cif), in vacuum or an implicit solvent.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file cannot be read, or the coordinates are another molecule's.
    """
    rigid = _constraints(constraints)
    if solvent not in SOLVENTS:
        raise ValueError(f"expected `solvent` to be one of {', '.join(SOLVENTS)}, got {solvent!r}")
    if not prmtop.is_file():
        raise FileNotFoundError(f"no Amber topology at {prmtop}")
    try:
        amber = app.AmberPrmtopFile(str(prmtop))
        topology = amber.topology
    except Exception as error:
        raise ValueError(
            f"{prmtop} is not a readable Amber topology ({first_line(error)}); expected a prmtop file"
        ) from error
    check_atoms(topology)
    notes = structure_notes(prmtop, topology)
    topology.setPeriodicBoxVectors(None)
    positions, more = _amber_positions(topology, coordinates)
    check_molecule(topology, positions)
    try:
        with warnings.catch_warnings(record=True) as caught:
            system = amber.createSystem(
                nonbondedMethod=app.NoCutoff,
                constraints=rigid,
                implicitSolvent=SOLVENTS[solvent],
                removeCMMotion=False,
            )
    except Exception as error:
        raise ValueError(
            f"OpenMM makes no system of {prmtop} with solvent {solvent}: {first_line(error)}; check its "
            "parameters"
        ) from error
    for warning in caught:
        _log.warning("%s: %s", prmtop, warning.message)
    return Source(topology, system, positions, f"{prmtop.name}, solvent {solvent}", notes=(*notes, *more))


def _amber_positions(topology: app.Topology, coordinates: Path) -> tuple[np.ndarray, tuple[str, ...]]:
    """Coordinates (n_atoms, 3) in nm of the atoms of an Amber topology, and notes on their file."""
    notes: tuple[str, ...] = ()
    if coordinates.suffix in (".pdb", ".cif"):
        other, positions, notes = read_input(coordinates)
        elements, given = ([atom.element for atom in t.atoms()] for t in (topology, other))
        differ = [k for k, (a, b) in enumerate(zip(elements, given, strict=False)) if a is not b]
        if len(elements) == len(given) and differ:
            names, k = (atom_names(topology), atom_names(other)), differ[0]
            raise ValueError(
                f"atom {k + 1} is {names[0][k]} in the topology but {names[1][k]} in {coordinates}; both "
                "need the same atoms in the same order"
            )
    else:
        if not coordinates.is_file():
            raise FileNotFoundError(f"no coordinates at {coordinates}")
        try:
            read = app.AmberInpcrdFile(str(coordinates)).getPositions(asNumpy=True)
        except Exception as error:
            raise ValueError(
                f"{coordinates} holds no readable Amber coordinates ({first_line(error)}); expected "
                ".inpcrd, .rst7 or .pdb"
            ) from error
        positions = np.asarray(read.value_in_unit(unit.nanometer), dtype=np.float64)
    if len(positions) != topology.getNumAtoms():
        raise ValueError(
            f"the topology has {topology.getNumAtoms()} atoms but {coordinates} {len(positions)}; give the "
            "coordinates of this molecule"
        )
    return positions, notes
