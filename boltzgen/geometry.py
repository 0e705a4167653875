"""Bonds, angles and torsions of points, and their inverse: placing a point by all three.

Points are (..., 3), the layout of positions everywhere outside of energies and kernels. Torsions of collinear
points have NaN gradients here, which costs nothing; `boltzgen.energy.measures` has them safe.
"""

import torch
from torch import Tensor


def wrap(angle: Tensor) -> Tensor:
    """The same angle in [-pi, pi), shape kept, radians."""
    return torch.remainder(angle + torch.pi, 2 * torch.pi) - torch.pi


def distance(a: Tensor, b: Tensor) -> Tensor:
    """|a - b|, shape (...), of points (..., 3)."""
    return torch.linalg.vector_norm(a - b, dim=-1)


def angle(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """Angle a-b-c in [0, pi], shape (...), of points (..., 3). atan2 keeps it accurate near 0 and pi."""
    u, v = a - b, c - b
    return torch.atan2(torch.linalg.vector_norm(torch.linalg.cross(u, v), dim=-1), (u * v).sum(-1))


def dihedral(a: Tensor, b: Tensor, c: Tensor, d: Tensor) -> Tensor:
    """Torsion a-b-c-d in (-pi, pi], IUPAC sign, shape (...), of points (..., 3)."""
    u, v, w = b - a, c - b, d - c
    n1, n2 = torch.linalg.cross(u, v), torch.linalg.cross(v, w)
    sine = (u * n2).sum(-1) * torch.linalg.vector_norm(v, dim=-1)
    return torch.atan2(sine, (n1 * n2).sum(-1))


def place(bonded: Tensor, second: Tensor, third: Tensor, bond: Tensor, theta: Tensor, phi: Tensor) -> Tensor:
    """The point p of given bond, angle and torsion (lengths in nm, angles in radians).

    |p - bonded| = bond, the angle p-bonded-second is theta, and the torsion p-bonded-second-third is phi.
    Points are (3, ...), scalars (...): coordinates first, so that each is contiguous over the batch.
    """
    axis = second - bonded
    axis = axis / axis.square().sum(0).sqrt()
    across = third - second
    across = across - (across * axis).sum(0) * axis
    across = across / across.square().sum(0).sqrt()
    normal = torch.linalg.cross(across, axis, dim=0)
    sine = bond * torch.sin(theta)
    return (
        bonded
        + (bond * torch.cos(theta)) * axis
        + (sine * torch.cos(phi)) * across
        + (sine * torch.sin(phi)) * normal
    )


def dihedrals(x: Tensor, atoms: tuple[int, int, int, int]) -> Tensor:
    """The torsion of four atoms, (...) in (-pi, pi] radians, at positions x (..., n_atoms, 3)."""
    a, b, c, d = atoms
    return dihedral(x[..., a, :], x[..., b, :], x[..., c, :], x[..., d, :])
