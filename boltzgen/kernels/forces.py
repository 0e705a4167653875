"""Energy and gradient of the usual forces of a molecule by compiled kernels, in one pass.

A configuration has the same bits wherever it is in a batch, and on any number of threads.
"""

from typing import NamedTuple

import numpy as np
from torch import Tensor

from boltzgen.kernels.runtime import run

_NONE = np.empty(0)
#: What a pair of atoms takes, in the numbers that `runtime.run` counts.
_PAIR = 4


class Parameters(NamedTuple):
    """Parameters of the forces, float64 and int64; arrays without elements for a force that is not there.

    Attributes:
        bonds: atoms (k, 2), r0 in nm, constants in kJ/(mol nm^2), each (k,).
        angles: atoms (k, 3), theta0 in rad, constants in kJ/(mol rad^2), each (k,).
        torsions: atoms (k, 4), coefficients of cos(n phi) and sin(n phi) in kJ/mol, (n, 2, k), constant
            energy.
        pairs: first and second atoms of all pairs.
        nonbonded: qq in kJ nm/mol, c6 in kJ nm^6/mol and c12 in kJ nm^12/mol of leading pairs.
        born: charge in e, offset radius and scaled radius in nm of atoms, qq in kJ nm/mol of pairs; the
            numbers of `OBCModel` (8,) from its polynomial to its surface, and whether it is engulfing.
    """

    bonds: tuple = (np.empty((0, 2), np.int64), _NONE, _NONE)
    angles: tuple = (np.empty((0, 3), np.int64), _NONE, _NONE)
    torsions: tuple = (np.empty((0, 4), np.int64), np.empty((0, 2, 0)), 0.0)
    pairs: tuple = (np.empty(0, np.int64), np.empty(0, np.int64))
    nonbonded: tuple = (_NONE, _NONE, _NONE)
    born: tuple = (_NONE, _NONE, _NONE, _NONE, np.zeros(8), False)


def forces(x: Tensor, parameters: Parameters, *, with_gradient: bool) -> tuple[Tensor, Tensor | None]:
    """Energy (n,) in kJ/mol and, if wanted, its gradient (n, n_atoms, 3) in kJ/(mol nm), without a graph.

    Args:
        x: positions in nm, float32 on the CPU, (n, n_atoms, 3).
        parameters: what acts on them.
        with_gradient: whether the gradient is wanted; else None is returned for it.
    """
    from boltzgen.kernels.compiled.forces import evaluate

    energy = x.new_empty(len(x))
    gradient = x.new_empty(x.shape) if with_gradient else None
    arrays = (
        x.contiguous().numpy(),
        *parameters,
        energy.numpy(),
        None if gradient is None else gradient.numpy(),
    )
    n_pairs = len(parameters.pairs[0])
    run(lambda start, stop: evaluate(*arrays, start, stop), batch=len(x), numbers=_PAIR * n_pairs * len(x))
    return energy, gradient
