"""Residues of a file that are unknown or lack atoms, and all that can be done about it, in one message."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

from openmm import app

from boltzgen.molecule.forcefields import OPENMM_DATA
from boltzgen.molecule.labels import residue_names
from boltzgen.preparation.peptide import AMINO_ACIDS, CAPS, MOST_RESIDUES
from boltzgen.preparation.residues import standard_atoms
from boltzgen.preparation.structure import listed

#: OpenMM's file with templates of small molecules.
GENERAL = "charmm36.xml"
#: A strand's first phosphate, which nucleotides at its end lack.
_PHOSPHATE = {"P", "OP1", "OP2"}
#: `{0}` is the file, `{1}` the one that it writes and `{2}` this Python. Loops are not built: only what
#: residues lack.
_PDBFIXER = (
    '{2} -c "from pdbfixer import PDBFixer; from openmm.app import PDBFile; '
    "f = PDBFixer('{0}'); f.findMissingResidues(); f.missingResidues = {{}}; f.findMissingAtoms(); "
    "f.addMissingAtoms(); PDBFile.writeFile(f.topology, f.positions, open('{1}', 'w'), True)\""
)


def check_residues(
    topology: app.Topology,
    forcefield: app.ForceField,
    *,
    file: Path,
    forcefield_files: Sequence[str],
    adds_hydrogens: bool,
) -> None:
    """Raise ValueError for residues that are unknown, or whose heavy atoms are not those of their kinds.

    Known are those of the force field and of PDBFixer.

    Args:
        topology: without water.
        forcefield: made of its files.
        file: that the topology is of.
        forcefield_files: names or paths.
        adds_hydrogens: whether missing hydrogens are added afterwards.
    """
    names, lacking = residue_names(topology), dict[str, list[str]]()
    for residue in forcefield.getUnmatchedResidues(topology):
        where, expected = names[residue.index], set(standard_atoms(residue.name))
        if not expected:
            raise ValueError(
                f"unknown residue {where}: the force field has no template that fits its atoms and bonds; "
                f"give a file that has one (`forcefield`{_general_template(topology)}), or start from an "
                "OpenMM System (`system`) or Amber files"
            )
        last = list(residue.chain.residues())[-1]
        if residue is last and {"CA", "C", "O"} <= expected:
            expected.add("OXT")
        found = {atom.name for atom in residue.atoms() if atom.element is not app.element.hydrogen}
        if other := sorted(found - expected - {"OXT"}):
            raise ValueError(
                f"{where} has atoms {listed(other)} that are no atoms of {residue.name}; rename them as the "
                "PDB does, or remove them"
            )
        if lacks := sorted(expected - found - _PHOSPHATE):
            lacking[where] = lacks
    if lacking:
        raise ValueError(
            _advice(topology, lacking, file, forcefield_files, bare=not adds_hydrogens and _is_bare(topology))
        )


def _advice(
    topology: app.Topology, lacking: dict[str, list[str]], file: Path, files: Sequence[str], *, bare: bool
) -> str:
    """What is missing, and the ways to a whole molecule."""
    fixed = file.with_name(f"{file.stem}.whole.pdb")
    what = "; ".join(f"{where} lacks heavy atoms: {listed(atoms)}" for where, atoms in lacking.items())
    if bare:
        what += "; and there are no hydrogens, which `add_hydrogens` adds once the heavy atoms are there"
    fixer = f"PDBFixer (addMissingAtoms): `{_PDBFIXER.format(file, fixed, shlex.quote(sys.executable))}`"
    sequence = _capped(topology)
    if sequence is None:
        return f"{what}. Add heavy atoms with {fixer}"
    given = " ".join(f"--forcefield {shlex.quote(name)}" for name in files)
    build = f'`boltzgen prepare --sequence "{sequence}" {given} -o FOLDER`, which numbers residues from 1'
    if ["OXT"] in lacking.values():
        return (
            f"{what}. If the chain was cut here, build it with caps, as a cut end is charged otherwise: "
            f"{build}. If it ends here, add the atom with {fixer}"
        )
    return f"{what}. Add heavy atoms with {fixer}. Or build the peptide, capped for instance: {build}"


def _is_bare(topology: app.Topology) -> bool:
    return not any(atom.element is app.element.hydrogen for atom in topology.atoms())


def _capped(topology: app.Topology) -> str | None:
    """The sequence of a peptide with a cap at either end; None for other molecules."""
    inside = [residue.name for residue in topology.residues() if residue.name not in CAPS]
    if topology.getNumChains() > 1 or not inside or not set(inside) <= set(AMINO_ACIDS):
        return None
    return " ".join(("ACE", *inside, "NME")) if len(inside) + 2 <= MOST_RESIDUES else None


def _general_template(topology: app.Topology) -> str:
    """That the general force field knows a molecule of one residue, or nothing."""
    if topology.getNumResidues() > 1 or not (OPENMM_DATA / GENERAL).is_file():
        return ""
    general = app.ForceField(GENERAL)
    if general.getUnmatchedResidues(topology):
        return ""
    return f"; {GENERAL} has, as {general.getMatchingTemplates(topology)[0].name}"
