"""A structure as it comes from a file, and whether it is one whole molecule."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import networkx
import numpy as np
from openmm import app, unit
from scipy.spatial import KDTree

from boltzgen.molecule.labels import atom_names, residue_numbers
from boltzgen.molecule.openmm_files import open_structure
from boltzgen.preparation.formats import check_format

WATER = frozenset("HOH H2O WAT SOL TIP TIP3 TIP4 TP3 T4P SPC DOD".split())  # noqa: SIM905
#: Residues of one atom that are ions, by their usual names.
IONS = frozenset("NA NA+ SOD CL CL- CLA K K+ POT LI LI+ MG MG2+ CA CA2+ CAL ZN ZN2+ BR F IOD RB CS".split())  # noqa: SIM905
#: Bonds are shorter than this and atoms farther apart than that, in nm.
LONGEST_BOND, CLOSEST_PAIR = 0.25, 0.05


def read_input(path: Path, *, dry: bool = False) -> tuple[app.Topology, np.ndarray, tuple[str, ...]]:
    """A user's PDB (or .cif) file, its first model.

    Args:
        path: of the file.
        dry: leave water and lone ions out, where there is something else.

    Returns:
        (topology, positions, notes): positions (n_atoms, 3) in nm, and what is not taken of the file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it cannot be read, says of some atoms more than once where they are, or holds water (or
            nothing else).
    """
    if path.is_file() and path.suffix != ".cif":
        _check_records(path)
    structure = open_structure(path)
    topology = structure.topology
    positions = np.asarray(
        structure.getPositions(asNumpy=True).value_in_unit(unit.nanometer), dtype=np.float64
    )
    left_out: tuple[str, ...] = ()
    if dry:
        topology, positions, left_out = _dried(path, topology, positions)
    notes = (*structure_notes(path, topology, structure.getNumFrames()), *left_out)
    check_atoms(topology)
    topology.setPeriodicBoxVectors(None)  # a crystal's cell means nothing to a molecule on its own
    return topology, positions, notes


def _dried(
    path: Path, topology: app.Topology, positions: np.ndarray
) -> tuple[app.Topology, np.ndarray, tuple[str, ...]]:
    """What is neither water nor a lone ion, as `read_input` gives it, with a note of what is left out."""
    residues = list(topology.residues())
    water = [r for r in residues if r.name in WATER]
    ions = [r for r in residues if r.name.upper() in IONS and len(list(r.atoms())) == 1]
    if not (water or ions) or len(water) + len(ions) == len(residues):
        return topology, positions, ()
    model = app.Modeller(topology, positions * unit.nanometer)
    model.delete([*water, *ions])
    counted = (
        f"{len(water)} water molecule{'s' * (len(water) > 1)}" if water else "",
        f"{len(ions)} ion{'s' * (len(ions) > 1)} ({listed(dict.fromkeys(r.name for r in ions))})"
        if ions
        else "",
    )
    note = (
        f"{path} holds {' and '.join(filter(None, counted))}, which are left out: the molecule is on its "
        "own, in vacuum or an implicit solvent"
    )
    placed = np.array(model.positions.value_in_unit(unit.nanometer), dtype=np.float64)
    return model.topology, placed, (note,)


def structure_notes(path: Path, topology: app.Topology, n_models: int = 1) -> tuple[str, ...]:
    """What is not taken of a file, in sentences: further models, the box, numbers of residues."""
    notes = []
    own = [residue.id.strip() for residue in topology.residues()]
    if residue_numbers(topology) == [str(k) for k in range(1, len(own) + 1)] != own:
        notes.append(
            f"the numbers of residues in {path} do not tell them apart: names count them from 1, in its order"
        )
    if n_models > 1:
        notes.append(f"{path} holds {n_models} models: the first one is taken")
    if (box := topology.getUnitCellDimensions()) is not None:
        sides = box.value_in_unit(unit.nanometer)
        # A cell of 1 Angstrom stands for none.
        if max(sides) > 0.1 + 1e-6:
            lengths = " x ".join(f"{side:.3g}" for side in sides)
            notes.append(
                f"{path} has a periodic box ({lengths} nm), which is ignored: the molecule is on its own"
            )
    return tuple(notes)


def _check_records(path: Path) -> None:
    content = path.read_bytes()
    if not content.strip():
        raise ValueError(f"{path} is empty; expected a PDB file with ATOM records")
    if b"\0" in content:
        raise ValueError(f"{path} is a binary file; expected a PDB file, which is text")
    check_format(path, content.decode("latin-1"))
    chains = [part.splitlines() for part in content.decode("latin-1").split("\nENDMDL")[0].split("\nTER")]
    atoms = [
        (k, line) for k, lines in enumerate(chains) for line in lines if line.startswith(("ATOM  ", "HETATM"))
    ]
    alternates = sorted({line[16:17] for _, line in atoms} - {" ", ""})
    if len(alternates) > 1:
        raise ValueError(
            f"{path} has alternate locations {', '.join(alternates)} (column 17) of some atoms; expected "
            "one of each: delete the lines of the others"
        )
    twice = [
        key
        for key, count in Counter((chain, line[17:27], line[12:16].strip()) for chain, line in atoms).items()
        if count > 1
    ]
    if twice:
        (_, residue, name), *others = twice
        more = f", and {len(others)} others" if others else ""
        raise ValueError(
            f"{path} holds atom {name} of residue {' '.join(residue.split())} more than once{more}; give "
            "every atom a name of its own"
        )


def check_molecule(topology: app.Topology, positions: np.ndarray) -> None:
    """Raise ValueError unless these are the atoms of one whole molecule, all of them placed, none on another.

    Args:
        topology: atoms and bonds.
        positions: (n_atoms, 3) in nm.
    """
    names = atom_names(topology)
    if lost := [names[i] for i in np.flatnonzero(~np.isfinite(positions).all(1))]:
        raise ValueError(
            f"coordinates of {listed(lost)} are NaN or infinite; give a structure in which every atom is "
            "placed"
        )
    _check_connected(topology, names)
    _check_distances(topology, positions, names)


def check_atoms(topology: app.Topology) -> None:
    """Raise ValueError if there is water among the atoms, or one that is no atom."""
    names = atom_names(topology)
    water = sum(residue.name in WATER for residue in topology.residues())
    if water:
        raise ValueError(
            f"expected a molecule on its own, got {water} water molecules; strip the water (and ions) and "
            "choose an implicit solvent, for instance with "
            "`forcefield=['amber14-all.xml', 'implicit/obc2.xml']`, or `solvent='OBC2'` for Amber files"
        )
    if sites := [names[a.index] for a in topology.atoms() if a.element is None]:
        raise ValueError(
            f"{listed(sites)} have no element: virtual sites are not supported; remove them, or fill in the "
            "element columns (77-78)"
        )


def _check_connected(topology: app.Topology, names: list[str]) -> None:
    atoms, graph = list(topology.atoms()), networkx.Graph()
    graph.add_nodes_from(range(len(atoms)))
    graph.add_edges_from((a.index, b.index) for a, b in topology.bonds())
    parts = sorted(networkx.connected_components(graph), key=len)
    if len(parts) == 1:
        return
    loose = [i for part in parts if len(part) == 1 for i in part if len(list(atoms[i].residue.atoms())) > 1]
    if loose:
        raise ValueError(
            f"{listed(names[i] for i in loose)} are bonded to nothing: bonds follow from the PDB's standard "
            "atom names; "
            "rename these atoms, or give CONECT records"
        )
    starts = ", ".join(
        f"{atoms[i].residue.name} {atoms[i].residue.id} of chain {atoms[i].residue.chain.id}"
        for i in sorted(map(min, parts))[:4]
    )
    raise ValueError(
        f"expected one molecule, got {len(parts)} that no bond joins, which begin at {starts}; keep one of "
        "them, "
        "or give CONECT records where bonds are missing"
    )


def _check_distances(topology: app.Topology, positions: np.ndarray, names: list[str]) -> None:
    for a, b in topology.bonds():
        length = float(np.linalg.norm(positions[a.index] - positions[b.index]))
        if length < LONGEST_BOND:
            continue
        bond = (
            f"the bond {names[a.index]} - {names[b.index]} would be {length:.2f} nm long, expected below "
            f"{LONGEST_BOND} nm"
        )
        if a.residue is b.residue:
            raise ValueError(
                f"{bond}: check that coordinates and topology have the same order of atoms, and the units"
            )
        raise ValueError(
            f"{bond}: residues are missing in between; add them with PDBFixer, or keep one piece and cap "
            "its ends (ACE, NME)"
        )
    near = sorted(KDTree(positions).query_pairs(CLOSEST_PAIR))
    if near:
        i, j = near[0]
        distance = float(np.linalg.norm(positions[i] - positions[j]))
        raise ValueError(
            f"{names[i]} and {names[j]} are {distance:.3f} nm "
            f"apart{f', and {len(near) - 1} other pairs as close' if near[1:] else ''}: "
            "atoms overlap; give a structure without clashes"
        )


def listed(items: Iterable[str], most: int = 4) -> str:
    """The first few of many words."""
    words = list(items)
    return ", ".join(words[:most]) + (f" and {len(words) - most} more" if len(words) > most else "")
