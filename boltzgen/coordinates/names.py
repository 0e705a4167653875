"""Names and values of a molecule's internal coordinates, as tables and histograms show them."""

import numpy as np
import torch
from torch import Tensor

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.coordinates.zmatrix import TorsionKind
from boltzgen.molecule.system import System

#: What the torsions of rows are called that are no torsions of their own.
KINDS = {TorsionKind.OFFSET: "offset", TorsionKind.LINEAR: "bend across"}


def coordinate_names(coordinates: MolecularCoordinates, system: System) -> list[str]:
    """Name of each flow coordinate, in their order: kind and atoms, as in ``"bond CA-CB"``.

    Atoms have the names of `System.labels`. A symmetric rotor's mean torsion is ``"methyl CB"``, ``"ammonium
    NZ"`` or ``"rotor CG"``, the bends of a straight group ``"bend C2-C1-H5"``. Improper offsets are ``"offset
    HB-CB-CA-CG"``: the torsion of the first atom less that of the last. Those among the named torsions take
    their names: ``"phi ALA2:C-CA-N-ACE1:C"``.
    """
    elements, label = system.graph.elements, system.labels
    # A free torsion's own name has its atoms in it.
    known = {frozenset((atoms, atoms[::-1])): name.split()[0] for name, atoms in system.torsions.items()}
    rows, n = coordinates.zmatrix.rows, coordinates.n_atoms
    names = [f"bond {label(r.atom, r.bonded)}" for r in rows[1:]]
    for r in rows[2:]:
        kind = "bend" if r.kind is TorsionKind.LINEAR else "angle"
        names.append(f"{kind} {label(r.atom, r.bonded, r.second)}")
    for r in rows[3:]:
        atoms = (r.atom, r.bonded, r.second, r.third)
        kind = KINDS[r.kind] if r.kind in KINDS else known.get(frozenset((atoms, atoms[::-1])), "torsion")
        names.append(f"{kind} {label(*atoms)}")
    for rotor in coordinates.rotors:
        hydrogens = rotor.fold == 3 and {elements[i] for i in rotor.ends} == {"H"}
        group = (
            {"C": "methyl", "N": "ammonium"}.get(elements[rotor.frame[0]], "rotor") if hydrogens else "rotor"
        )
        names[rotor.leader] = f"{group} {label(rotor.frame[0])}"
    assert len(names) == 3 * n - 6
    return [names[k] for k in coordinates.order]


def coordinate_units(coordinates: MolecularCoordinates) -> list[str]:
    """``"nm"`` for bonds and ``"radians"`` for the rest, in the order of the flow coordinates."""
    return ["nm" if k < coordinates.n_atoms - 1 else "radians" for k in coordinates.order]


@torch.no_grad()
def coordinate_values(coordinates: MolecularCoordinates, x: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Values of conformations x (n, n_atoms, 3) in nm and radians, and whether each is in the domain.

    The first is (n, n_periodic + n_stiff), the second bool (n,). Any labelling of equivalent atoms will do.
    Periodic torsions come first: full ones in [-pi, pi), and for a symmetric rotor fold (tau - tau_ref), its
    mean torsion within 1/fold of the circle, times the fold. Then bonds, angles, offsets, ring torsions and
    omegas within pi of the reference.
    """
    y, _ = coordinates.inverse(coordinates.canonical(x.double()))
    inside = coordinates.in_domain(y)
    stiff = coordinates.stiff_index
    values = y.clone()
    values[:, : coordinates.n_full] = coordinates.full_torsions(y)
    values[:, coordinates.n_periodic :] = (
        coordinates.reference[stiff] + coordinates.scale[stiff] * y[:, coordinates.n_periodic :]
    )
    return values.numpy(force=True), inside.numpy(force=True)
