"""Lengths and angles of atoms, and the molecule's sizes, by the names that expressions give them.

======================================  ========================
name                                    is
======================================  ========================
``distance CA2 CA4``                    of two atoms, in nm
``angle N2 CA2 C2``                     of three atoms, in degrees
``torsion N2 CA2 C2 N3``                of four atoms, in degrees (``dihedral`` is the same)
``radius_of_gyration``, ``end_to_end``  of the molecule, in nm
======================================  ========================

Atoms have the names of `atoms.find_atom`. ``torsion C5-C6-O2-H7``, in one word, is a named torsion and no
measure: see `System.torsions`.
"""

from collections.abc import Callable
from typing import Any

import mdtraj
import torch
from openmm import app
from torch import Tensor

from boltzgen import geometry
from boltzgen.molecule.atoms import find_atom
from boltzgen.molecule.torsions import alpha_carbons

NM, DEGREES = "nm", "degrees"
#: A function of positions (n, n_atoms, 3) in nm, float64 (n,).
Measure = Callable[[Tensor], Tensor]

#: By kind: number of atoms, unit, and function of their positions.
OF_ATOMS: dict[str, tuple[int, str, Callable[..., Tensor]]] = {
    "distance": (2, NM, geometry.distance),
    "angle": (3, DEGREES, lambda *points: torch.rad2deg(geometry.angle(*points))),
    "torsion": (4, DEGREES, lambda *points: torch.rad2deg(geometry.dihedral(*points))),
    "dihedral": (4, DEGREES, lambda *points: torch.rad2deg(geometry.dihedral(*points))),
}


def topology_of(molecule: Any) -> app.Topology | mdtraj.Topology | None:
    """That of a `System`, which has all that its file says (insertion codes of residues), or of a header."""
    return getattr(molecule, "topology", None) or molecule.mdtraj_topology


def is_measure(name: str) -> bool:
    """Whether it is one of these names, whatever the molecule; named torsions are none."""
    kind, *atoms = name.split()
    return name in _SIZES or (kind in OF_ATOMS and not (kind == "torsion" and len(atoms) == 1))


def is_torsion(name: str) -> bool:
    """Whether a measure is a value on the circle."""
    return name.split()[0] in ("torsion", "dihedral")


def unit_of(name: str) -> str:
    """Of a measure: nm or degrees."""
    return NM if name in _SIZES else OF_ATOMS[name.split()[0]][1]


def measure(name: str, topology: app.Topology | mdtraj.Topology | None) -> Measure:
    """The function of positions that a name is of.

    Raises:
        ValueError: no such atom, another number of atoms, one twice, an end-to-end distance of one amino
            acid; or no topology.
    """
    if topology is None:
        raise ValueError(f"{name!r} needs the names of atoms, and none are known: draw the samples again")
    if name in _SIZES:
        known = topology if isinstance(topology, mdtraj.Topology) else mdtraj.Topology.from_openmm(topology)
        return _SIZES[name](known)
    kind, *names = name.split()
    n, _, function = OF_ATOMS[kind]
    if len(names) != n:
        raise ValueError(
            f"expected {kind} of {n} atoms, such as '{kind} {' '.join(['CA2', 'C2', 'N3', 'CA3'][:n])}', "
            f"got {len(names)}: {' '.join(names)!r}"
        )
    atoms = [find_atom(topology, atom) for atom in names]
    if len(set(atoms)) < n:
        raise ValueError(f"expected {kind} of {n} different atoms, got {' '.join(names)!r}")
    return lambda x: function(*(x[:, i].double() for i in atoms))


def _radius_of_gyration(topology: mdtraj.Topology) -> Measure:
    """Root of sum m |r - c|^2 / sum m with c the centre of mass; the masses are the elements'."""
    masses = torch.tensor([atom.element.mass for atom in topology.atoms], dtype=torch.float64)
    share = masses / masses.sum()

    def found(x: Tensor) -> Tensor:
        r, own = x.double(), share.to(x.device)
        r = r - torch.einsum("nak,a->nk", r, own)[:, None]
        return torch.einsum("nak,nak,a->n", r, r, own).sqrt()

    return found


def _end_to_end(topology: mdtraj.Topology) -> Measure:
    """From the first amino acid's alpha carbon to the last one's."""
    ends = list(alpha_carbons(topology).values())
    if len(ends) < 2:
        raise ValueError(f"expected a peptide of two amino acids or more, got {len(ends)}")
    return lambda x: geometry.distance(x[:, ends[0]].double(), x[:, ends[-1]].double())


_SIZES: dict[str, Callable[[mdtraj.Topology], Measure]] = {
    "radius_of_gyration": _radius_of_gyration,
    "end_to_end": _end_to_end,
}
