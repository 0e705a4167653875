"""Minima of a molecule's energy near a conformation, in its flow coordinates."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from scipy import optimize
from torch import Tensor

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.energy.base import Energy

#: What the minimiser is told where the energy is not finite.
_HIGH = 1e30
_OPTIONS = {"maxiter": 3000, "maxfun": 6000, "ftol": 1e-11, "gtol": 1e-3}


def relaxed(
    coordinates: MolecularCoordinates, energy: Energy, y: Tensor, *, fixed: Sequence[int] = ()
) -> tuple[Tensor, float]:
    """A nearby minimum of the energy, by L-BFGS (Byrd et al., SIAM J. Sci. Comput. 16, 1190, 1995).

    Stiff coordinates come first, at fixed torsions: the first steps of a strained conformation could lead its
    torsions into another well. Constrained bonds keep their lengths, which are no coordinates.

    Args:
        coordinates: of the molecule.
        energy: of the molecule.
        y: flow coordinates to begin at, (n_periodic + n_stiff,).
        fixed: coordinates that stay as they are.

    Returns:
        Flow coordinates of the minimum, float64, and its energy u in kT.

    Raises:
        ValueError: the energy is not finite where it begins.
    """
    here = y.detach().double()
    if not energy(coordinates(here)[0]).isfinite():
        raise ValueError("the energy of the conformation is not finite: atoms lie on each other")
    torsions = range(coordinates.n_periodic)
    u = math.inf
    for held in ({*fixed, *torsions}, set(fixed)):
        free = [k for k in range(len(here)) if k not in held]
        here, u = _minimised(coordinates, energy, here, free)
    return here, u


def _minimised(
    coordinates: MolecularCoordinates, energy: Energy, start: Tensor, free: list[int]
) -> tuple[Tensor, float]:
    def with_free(values: np.ndarray) -> Tensor:
        here = start.clone()
        here[free] = torch.from_numpy(values)
        return here

    def value_and_gradient(values: np.ndarray) -> tuple[float, np.ndarray]:
        here = with_free(values).requires_grad_()
        u = energy(coordinates(here)[0])
        (gradient,) = torch.autograd.grad(u, here)
        if not (u.isfinite() and gradient.isfinite().all()):
            return _HIGH, np.zeros(len(free))
        return float(u.detach()), gradient.numpy()[free]

    found = optimize.minimize(
        value_and_gradient, start.numpy()[free], jac=True, method="L-BFGS-B", options=_OPTIONS
    )
    return with_free(found.x), float(found.fun)
