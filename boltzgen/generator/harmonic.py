"""Reference and scales of the flow coordinates from the Hessian at an energy minimum."""

import logging
from typing import NamedTuple

import numpy as np
import torch
from scipy import optimize
from torch import Tensor

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.energy.base import Energy
from boltzgen.generator.target import PullbackEnergy
from boltzgen.molecule.system import System

logger = logging.getLogger(__name__)


class HarmonicReference(NamedTuple):
    """Flow coordinates about an energy minimum, and the harmonic approximation there.

    Attributes:
        coordinates: stiff coordinates scaled by their standard deviations at fixed torsions.
        precision: (n_stiff, n_stiff) Hessian of u_y in those coordinates, in kT: a correlation matrix's
            inverse.
    """

    coordinates: MolecularCoordinates
    precision: Tensor


class _Unrestricted(PullbackEnergy):
    """Without the domain's edges.

    A minimiser may turn a symmetric rotor past its part of the circle, which only renames atoms.
    """

    def evaluate(self, y: Tensor) -> tuple[Tensor, Tensor]:
        x, log_det = self.coordinates(y)
        return self.energy.potential(x), log_det


def harmonic_reference(system: System, energy: Energy, *, step: float = 1e-3) -> HarmonicReference:
    """Minimise u_y from the system's positions, then scale the stiff coordinates by the Hessian there.

    Everything is computed in float64 at the energy's temperature; the Hessian over the stiff coordinates is a
    central difference of exact gradients with `step` in scaled coordinates. Directions with no positive
    curvature are given that of the softest positive one.

    Raises:
        ValueError: the energy of the input positions is not finite, or the molecule is not bound in most
            directions.
    """
    start = MolecularCoordinates(system)
    target = _Unrestricted(energy, start)
    y0 = start.inverse(system.positions)[0]
    # The input may sit on a symmetric saddle (a planar backbone), where the gradient off the plane vanishes.
    y0 = y0 + 0.05 * torch.randn(y0.shape, generator=torch.Generator().manual_seed(0), dtype=y0.dtype)
    if not torch.isfinite(target(y0)):
        raise ValueError(
            "the energy of the input positions is not finite; expected a structure without overlapping "
            "atoms: minimise it first"
        )

    def value_and_gradient(y: np.ndarray) -> tuple[float, np.ndarray]:
        u, gradient = target.value_and_gradient(torch.from_numpy(y))
        return float(u.nan_to_num(nan=1e30, posinf=1e30)), gradient.numpy()

    found = optimize.minimize(
        value_and_gradient, y0.numpy(), jac=True, method="L-BFGS-B", options={"maxiter": 2000, "maxfun": 4000}
    )
    y = torch.from_numpy(found.x)
    reference = start.to_internal(y)
    centred = MolecularCoordinates(system, reference)
    hessian = _stiff_hessian(PullbackEnergy(energy, centred), centred, step)
    deviation = torch.linalg.inv(hessian).diagonal().sqrt()
    scale = centred.scale.clone()
    scale[centred.stiff_index] = scale[centred.stiff_index] * deviation
    coordinates = MolecularCoordinates(system, reference, scale)
    logger.info("reference minimum at u = %.3f kT after %d evaluations", found.fun, found.nfev)
    return HarmonicReference(coordinates, deviation.unsqueeze(-1) * hessian * deviation)


def _stiff_hessian(target: PullbackEnergy, coordinates: MolecularCoordinates, step: float) -> Tensor:
    """Positive definite Hessian (n_stiff, n_stiff) of u_y at the reference, over the stiff coordinates."""
    y = coordinates.from_internal(coordinates.reference)
    n, m = coordinates.n_stiff, coordinates.n_periodic
    moves = torch.zeros(n, y.shape[-1], dtype=y.dtype)
    moves[:, m:] = step * torch.eye(n, dtype=y.dtype)
    _, gradient = target.value_and_gradient(torch.cat((y + moves, y - moves)))
    hessian = (gradient[:n, m:] - gradient[n:, m:]) / (2 * step)
    hessian = (hessian + hessian.T) / 2
    if not bool(hessian.isfinite().all()):
        raise ValueError("the Hessian at the minimum is not finite; check the force field")
    values, vectors = torch.linalg.eigh(hessian)
    positive = values[values > 1e-6 * values.max()]
    if 2 * len(positive) < n:
        raise ValueError(
            f"the Hessian at the minimum has positive curvature in {len(positive)} of {n} directions only; "
            "expected a bound molecule, without force constants that are millions of times as large as "
            "others: check the force field"
        )
    if len(positive) < n:
        logger.warning(
            "%d of %d stiff directions have no positive curvature at the minimum", n - len(positive), n
        )
    return vectors @ torch.diag(values.clamp(min=positive.min())) @ vectors.T
