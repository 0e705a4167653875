"""Names and values of a molecule's internal coordinates, as tables and histograms show them."""

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.coordinates.zmatrix import TorsionKind
from boltzgen.perception import Quadruple


def coordinate_names(coordinates: MolecularCoordinates, elements: tuple[str, ...], torsions: Mapping[str, Quadruple] | None = None) -> list[str]:
    """Name of each flow coordinate, in their order: kind and atoms, each an element with its number from 1, as in ``"bond C5-N7"``.

    A methyl's mean torsion is ``"methyl C2"``. Improper offsets are ``"offset H3-C2-C5-H1"``: the torsion of the first atom less that of the last.
    Torsions among the named ones (`System.torsions`) take their names: ``"phi C15-C9-N7-C5"``.
    """
    known = {frozenset((atoms, atoms[::-1])): name for name, atoms in (torsions or {}).items()}
    rows, n = coordinates.zmatrix.rows, coordinates.n_atoms
    label = [f"{element}{i + 1}" for i, element in enumerate(elements)]
    names = [f"bond {label[r.atom]}-{label[r.bonded]}" for r in rows[1:]]
    names += [f"angle {label[r.atom]}-{label[r.bonded]}-{label[r.second]}" for r in rows[2:]]
    for r in rows[3:]:
        atoms = (r.atom, r.bonded, r.second, r.third)
        kind = "offset" if r.kind is TorsionKind.OFFSET else known.get(frozenset((atoms, atoms[::-1])), "torsion")
        names.append(f"{kind} {label[r.atom]}-{label[r.bonded]}-{label[r.second]}-{label[r.third]}")
    for tau, carbon in zip(coordinates.methyl_index, coordinates.methyl_carbons, strict=True):
        names[tau] = f"methyl {label[carbon]}"
    assert len(names) == 3 * n - 6
    return [names[k] for k in coordinates.order]


def coordinate_units(coordinates: MolecularCoordinates) -> list[str]:
    """``"nm"`` for bonds and ``"radians"`` for the rest, in the order of the flow coordinates."""
    return ["nm" if k < coordinates.n_atoms - 1 else "radians" for k in coordinates.order]


@torch.no_grad()
def coordinate_values(coordinates: MolecularCoordinates, x: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Values (n, 3 n_atoms - 6) in nm and radians of conformations x (n, n_atoms, 3) in any labelling of the methyls' hydrogens, and whether each
    lies in the domain, bool (n,).

    Circles come first: torsions in [-pi, pi), and for a methyl 3 (tau - tau_ref), its mean torsion within its third of the circle times three. Then
    bonds, angles, offsets and omegas within pi of the reference.
    """
    y, _ = coordinates.inverse(coordinates.canonical(x.double()))
    inside = coordinates.in_domain(y)
    narrow = coordinates.narrow_index
    values = y.clone()
    values[:, coordinates.n_circles :] = coordinates.reference[narrow] + coordinates.scale[narrow] * y[:, coordinates.n_circles :]
    return values.numpy(force=True), inside.numpy(force=True)
