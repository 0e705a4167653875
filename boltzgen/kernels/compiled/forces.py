"""The forces of a molecule in one pass: energy and gradient, one block of configurations after the other."""

import numpy as np

from boltzgen.kernels.compiled.block import GX, RECORD, SCRATCH, flush, load
from boltzgen.kernels.compiled.bonded import add_angles, add_bonds, add_torsions
from boltzgen.kernels.compiled.born import add_born_radii, sum_integrals
from boltzgen.kernels.compiled.mathematics import F, compiled, kept
from boltzgen.kernels.compiled.pairs import add_pairs, spread
from boltzgen.kernels.constants import LANES


@kept
@compiled
def evaluate(x, bonds, angles, torsions, pairs, nonbonded, born, energy, gradient, start, stop):
    """Fill the energies in kJ/mol and, unless None, gradients in kJ/(mol nm), of start ... stop - 1.

    Args:
        x: positions in nm, float32 (n, n_atoms, 3).
        bonds: this and the following as in `kernels.forces.Parameters`.
        angles: see there.
        torsions: see there.
        pairs: see there.
        nonbonded: see there.
        born: see there.
        energy: float32 (n,), filled.
        gradient: float32 (n, n_atoms, 3), filled, or None.
        start: first configuration.
        stop: last configuration + 1.
    """
    first, second = pairs
    qq, c6, c12 = nonbonded
    charge, radius, scaled, born_qq, model, engulfing = born
    n_atoms, n_pairs = x.shape[1], max(len(qq), len(born_qq))
    atoms, w, total = (
        np.empty((n_atoms, RECORD), F),
        np.zeros(SCRATCH * LANES, F),
        np.empty(LANES, np.float64),
    )
    # Of each pair the derivative of its energy, and of both its Born integrals, by r, over r.
    if gradient is None:  # noqa: SIM108, as the compiler decides on it by type
        by_distance = None
    else:
        by_distance = np.empty((n_pairs, 3 * LANES), F)
    for block in range(start, stop, LANES):
        load(x, block, stop, atoms, total, torsions[2])
        add_bonds(atoms, w, total, bonds[0], bonds[1], bonds[2], gradient)
        add_angles(atoms, w, total, angles[0], angles[1], angles[2], gradient)
        add_torsions(atoms, w, total, torsions[0], torsions[1], gradient)
        if len(born_qq):
            sum_integrals(atoms, w, first, second, radius, scaled, engulfing, by_distance)
            add_born_radii(atoms, w, total, radius, charge, model)
        add_pairs(atoms, w, total, first, second, qq, c6, c12, born_qq, by_distance)
        flush(w, total)
        if gradient is not None:
            spread(atoms, first, second, n_pairs, len(born_qq) > 0, by_distance)
        for l in range(min(LANES, stop - block)):
            energy[block + l] = total[l]
            if gradient is not None:
                for i in range(n_atoms):
                    for c in range(3):
                        gradient[block + l, i, c] = atoms[i, GX + c * LANES + l]
