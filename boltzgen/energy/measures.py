"""Distances, angles and torsions of vectors (3, ...), with gradients that stay finite.

They differ from those of `boltzgen.geometry` by what an energy needs: components first, so that every
operation runs over contiguous rows, and a gradient of zero, not NaN, where there is no direction. Harmonic
and periodic terms have analytic gradients of their own instead, without a graph, several times faster;
kernels the same for blocks of float32 numbers.
"""

import torch
from torch import Tensor


def norm(v: Tensor) -> Tensor:
    """Length of vectors v (3, ...), shape (...); its gradient at zero length is zero."""
    squared = v.square().sum(0)
    zero = squared == 0
    return torch.where(zero, 0.0, torch.where(zero, 1.0, squared).sqrt())


def distance(p1: Tensor, p2: Tensor) -> Tensor:
    """Distance of two points, each (3, ...), in their unit."""
    return norm(p1 - p2)


def angle_between(a: Tensor, b: Tensor) -> Tensor:
    """Angle between vectors a and b (3, ...) in [0, pi], accurate near both ends.

    Where they are parallel the gradient is zero.
    """
    return torch.atan2(norm(torch.linalg.cross(a, b, dim=0)), (a * b).sum(0))


def angle(p1: Tensor, p2: Tensor, p3: Tensor) -> Tensor:
    """Angle at p2 in rad."""
    return angle_between(p1 - p2, p3 - p2)


def torsion_between(b1: Tensor, b2: Tensor, b3: Tensor) -> Tensor:
    """Torsion of three bond vectors (3, ...) in (-pi, pi] by the IUPAC sign.

    Where two in a row are parallel it is zero, without gradient.
    """
    m, n = torch.linalg.cross(b1, b2, dim=0), torch.linalg.cross(b2, b3, dim=0)
    sine, cosine = (b1 * n).sum(0) * norm(b2), (m * n).sum(0)
    undefined = (sine == 0) & (cosine == 0)
    return torch.atan2(torch.where(undefined, 0.0, sine), torch.where(undefined, 1.0, cosine))


def dihedral(p1: Tensor, p2: Tensor, p3: Tensor, p4: Tensor) -> Tensor:
    """Torsion of four points about p2-p3 in rad."""
    return torsion_between(p2 - p1, p3 - p2, p4 - p3)
