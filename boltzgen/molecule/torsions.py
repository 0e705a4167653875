"""Named torsions of a molecule, and those of them whose states are counted.

A peptide's are phi, psi, omega and chi, any other molecule's its free torsions. A peptide's torsions are
found by the names of atoms, as MDTraj knows them. Amino acids are numbered from 1, caps not counted:

* `phi`, `psi`, `omega`, `chi1` ... `chi5` where there is one amino acid; `phi3`, `psi3`, `omega3`, `chi1_3`
  of the third of several;
* omega belongs to the residue before its bond, C_i-N_i+1 (IUPAC-IUB 1970); before the first amino acid, at an
  acetyl cap, it is `omega0` (`omega0_3` in a chain that begins with the third). A carbon of the cap takes the
  place of its missing CA.

Other molecules' are named by their atoms, each an element with its number from 1: ``"torsion C1-C2-O3-H9"``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import mdtraj
import numpy as np
from mdtraj import geometry

from boltzgen.molecule.graph import MolecularGraph, Quadruple, Rotor

_BACKBONE = {"phi": geometry.indices_phi, "psi": geometry.indices_psi}
_SIDE_CHAIN = {
    "chi1": geometry.indices_chi1,
    "chi2": geometry.indices_chi2,
    "chi3": geometry.indices_chi3,
    "chi4": geometry.indices_chi4,
    "chi5": geometry.indices_chi5,
}


@dataclass(frozen=True)
class Rotamer:
    """A torsion whose states are counted.

    Attributes:
        division: how the torsion is divided into states, a key of `rotamers.DIVISIONS`.
        torsions: atoms of the torsion; of a twofold one, those to each of the equivalent ends.
    """

    division: Literal["threefold", "twofold", "ring", "amide", "phi", "psi"]
    torsions: tuple[Quadruple, ...]


def named_torsions(topology: mdtraj.Topology, graph: MolecularGraph) -> dict[str, Quadruple]:
    """Atoms of each named torsion: every phi, then psi, omega, chi1 and so on, each by residue."""
    number = {residue: k for k, residue in enumerate(alpha_carbons(topology), start=1)}
    if not number:
        return {
            f"torsion {'-'.join(f'{graph.elements[i]}{i + 1}' for i in atoms)}": atoms
            for atoms in graph.free_torsions()
        }
    return {
        **_by_atom_names(_BACKBONE, topology, graph, number),
        **_omegas(topology, graph, number),
        **_by_atom_names(_SIDE_CHAIN, topology, graph, number),
    }


def alpha_carbons(topology: mdtraj.Topology) -> dict[int, int]:
    """Atom CA of each amino acid, by the index of its residue.

    Amino acids are the residues with atoms N, CA and C, so that caps are none.
    """
    named = {
        residue.index: {atom.name: atom.index for atom in residue.atoms} for residue in topology.residues
    }
    return {residue: atoms["CA"] for residue, atoms in named.items() if {"N", "CA", "C"} <= atoms.keys()}


def rotamers(
    torsions: Mapping[str, Quadruple], graph: MolecularGraph, rotors: Sequence[Rotor]
) -> dict[str, Rotamer]:
    """Torsions whose states are counted, by name.

    They are those of side chains, of amides that may be cis (X-PRO), and the free torsions of molecules that
    are no peptides. phi and psi have basins, and secondary amides are trans. About the bond of a twofold
    rotor states do not depend on the labels of its ends.
    """
    twofold = {(rotor.axis, rotor.centre): rotor.ends for rotor in rotors if rotor.fold == 2}
    rings, amides, trans = graph.ring_bonds(), _bonds(graph.amide_bonds()), _bonds(graph.peptide_bonds())
    found = {}
    for name, (a, b, c, d) in torsions.items():
        bond = frozenset((b, c))
        if name.startswith(("phi", "psi")) or bond in trans:
            continue
        ends = [(i, b, c, l) for i in twofold.get((c, b), (a,)) for l in twofold.get((b, c), (d,))]
        if bond in rings:
            found[name] = Rotamer("ring", ((a, b, c, d),))
        elif len(ends) > 1:
            found[name] = Rotamer("twofold", tuple(ends))
        else:
            found[name] = Rotamer("amide" if bond in amides else "threefold", tuple(ends))
    return found


def torsion_states(torsions: Mapping[str, Quadruple], rotamers: Mapping[str, Rotamer]) -> dict[str, Rotamer]:
    """How every named torsion is divided into states: as its rotamer, or phi, psi and omega as such."""

    def division(name: str) -> Literal["amide", "phi", "psi"]:
        return "phi" if name.startswith("phi") else "psi" if name.startswith("psi") else "amide"

    return {name: rotamers.get(name) or Rotamer(division(name), (atoms,)) for name, atoms in torsions.items()}


def _bonds(pairs: Sequence[tuple[int, int]]) -> set[frozenset[int]]:
    return {frozenset(pair) for pair in pairs}


def _by_atom_names(
    kinds: Mapping[str, Callable[[mdtraj.Topology], np.ndarray]],
    topology: mdtraj.Topology,
    graph: MolecularGraph,
    number: Mapping[int, int],
) -> dict[str, Quadruple]:
    """Torsions of some kinds as MDTraj finds them, less those whose atoms are not bonded.

    MDTraj goes by the order of residues alone.
    """
    found: dict[str, Quadruple] = {}
    for kind, indices in kinds.items():
        joint = "_" if kind[-1].isdigit() else ""
        for a, b, c, d in indices(topology).tolist():
            residue = topology.atom(b).residue.index
            if residue in number and all(j in graph.neighbours[i] for i, j in ((a, b), (b, c), (c, d))):
                found.setdefault(
                    kind if len(number) == 1 else f"{kind}{joint}{number[residue]}", (a, b, c, d)
                )
    return found


def _omegas(
    topology: mdtraj.Topology, graph: MolecularGraph, number: Mapping[int, int]
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
        if before == after or not (before in number or after in number):
            continue
        if before in number:
            name = "omega" if len(number) == 1 else f"omega{number[before]}"
        else:
            name = "omega0" if number[after] == 1 else f"omega0_{number[after]}"
        starts, ends = beyond(c, n), beyond(n, c)
        if len(starts) == len(ends) == 1:
            found[name] = (starts[0], c, n, ends[0])
    return found
