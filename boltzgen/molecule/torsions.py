"""Named torsions of a molecule.

A peptide's are phi, psi, omega and chi, found by the names of atoms as MDTraj knows them, and what else turns
freely; any other molecule's are its free torsions. Rings that change their shape have some as well, proline's
among its chi.

* `phi`, `psi`, `omega`, `chi1` ... `chi5` where there is one amino acid; `phi3`, `psi3`, `omega3`, `chi1_3`
  of residue 3 of several. Residues have the numbers of their file, see `names.residue_numbers`.
* omega belongs to the residue before its bond, C_i-N_i+1 (IUPAC-IUB 1970), be it an acetyl cap; with one
  amino acid alone that of the cap is `omega0`. A carbon of the cap takes the place of its missing CA.
* Others are named by their atoms: ``"torsion C5-C6-O2-H7"``, of a ring ``"ring C2-C3-C4-C5"``, see
  `labels.AtomLabels`.
"""

from collections.abc import Callable, Mapping

import mdtraj
import numpy as np
from mdtraj import geometry
from openmm import app

from boltzgen.molecule.graph import MolecularGraph, Quadruple
from boltzgen.molecule.labels import AtomLabels, residue_numbers
from boltzgen.molecule.puckers import shape_torsions

_BACKBONE = {"phi": geometry.indices_phi, "psi": geometry.indices_psi}
_SIDE_CHAIN = {
    "chi1": geometry.indices_chi1,
    "chi2": geometry.indices_chi2,
    "chi3": geometry.indices_chi3,
    "chi4": geometry.indices_chi4,
    "chi5": geometry.indices_chi5,
}


def named_torsions(topology: app.Topology, graph: MolecularGraph) -> dict[str, Quadruple]:
    """Atoms of each named torsion: every phi, then psi, omega, chi1 and so on by residue, the others, rings.

    Of a peptide those of groups of equivalent single atoms (NH2, COO-) are left out, unless they are a chi.
    """
    known = mdtraj.Topology.from_openmm(topology)
    amino_acids, label = alpha_carbons(known), AtomLabels(topology)
    free = {frozenset(atoms[1:3]): atoms for atoms in graph.free_torsions()}
    found: dict[str, Quadruple] = {}
    if amino_acids:
        # With one alone there is nothing to tell apart.
        numbers = residue_numbers(topology) if len(amino_acids) > 1 else [""] * topology.getNumResidues()
        number = {residue: numbers[residue] for residue in amino_acids}
        found = {
            **_by_atom_names(_BACKBONE, known, graph, number),
            **_omegas(known, graph, number, numbers),
            **_by_atom_names(_SIDE_CHAIN, known, graph, number),
        }
        turned = {
            frozenset((rotor.axis, rotor.centre))
            for rotor in graph.rotors()
            if all(len(graph.neighbours[i]) == 1 for i in rotor.ends)
        }
        turned |= {frozenset(atoms[1:3]) for atoms in found.values()}
        free = {bond: atoms for bond, atoms in free.items() if bond not in turned}
    found |= {f"torsion {label(*atoms)}": atoms for atoms in free.values()}
    named = {frozenset(atoms[1:3]) for atoms in found.values()}
    for ring in shape_torsions(graph):
        if not named.intersection(frozenset(atoms[1:3]) for atoms in ring):
            found |= {f"ring {label(*atoms)}": atoms for atoms in ring}
    return found


def alpha_carbons(topology: mdtraj.Topology) -> dict[int, int]:
    """Atom CA of each amino acid, by the index of its residue.

    Amino acids are the residues with atoms N, CA and C, so that caps are none.
    """
    named = {
        residue.index: {atom.name: atom.index for atom in residue.atoms} for residue in topology.residues
    }
    return {residue: atoms["CA"] for residue, atoms in named.items() if {"N", "CA", "C"} <= atoms.keys()}


def _by_atom_names(
    kinds: Mapping[str, Callable[[mdtraj.Topology], np.ndarray]],
    topology: mdtraj.Topology,
    graph: MolecularGraph,
    number: Mapping[int, str],
) -> dict[str, Quadruple]:
    """Torsions of some kinds as MDTraj finds them, less those whose atoms are not bonded.

    MDTraj goes by the order of residues alone.
    """
    found: dict[str, Quadruple] = {}
    for kind, indices in kinds.items():
        for a, b, c, d in indices(topology).tolist():
            residue = topology.atom(b).residue.index
            if residue in number and all(j in graph.neighbours[i] for i, j in ((a, b), (b, c), (c, d))):
                joint = "_" if number[residue] and kind[-1].isdigit() else ""
                found.setdefault(f"{kind}{joint}{number[residue]}", (a, b, c, d))
    return found


def _omegas(
    topology: mdtraj.Topology, graph: MolecularGraph, number: Mapping[int, str], numbers: list[str]
) -> dict[str, Quadruple]:
    """Omega of each amide bond C-N of the chain, in the order of the carbons.

    Bonds to caps are included, which MDTraj leaves out.
    """

    def beyond(i: int, other: int) -> list[int]:
        """Where the chain goes on: CA, or the carbons of a cap."""
        carbons = [j for j in graph.neighbours[i] if j != other and graph.elements[j] == "C"]
        return (
            [j for j in carbons if topology.atom(j).name == "CA"]
            if topology.atom(i).residue.index in number
            else carbons
        )

    found: dict[str, Quadruple] = {}
    for c, n in sorted(graph.amide_bonds()):
        before, after = topology.atom(c).residue.index, topology.atom(n).residue.index
        starts, ends = beyond(c, n), beyond(n, c)
        if before != after and (before in number or after in number) and len(starts) == len(ends) == 1:
            alone = "" if before in number else "0"
            found[f"omega{numbers[before] or alone}"] = (starts[0], c, n, ends[0])
    return found
