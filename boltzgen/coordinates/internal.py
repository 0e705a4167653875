"""Internal coordinates (bonds, angles, torsions) <-> Cartesian positions, with the full log-determinant."""

import math

import torch
from torch import Tensor
from typing_extensions import override

from boltzgen.coordinates.zmatrix import TorsionKind, ZMatrix
from boltzgen.flow.transform import Transform
from boltzgen.geometry import angle, dihedral, distance, place


class InternalCoordinates(Transform):
    """The map from internal coordinates r (..., 3n - 6) to positions x (..., n, 3) in nm.

    r lists the n - 1 bonds [nm], the n - 2 angles and the n - 3 torsions [radians], each in the order of the
    z-matrix's rows. The density on positions is with respect to dx / (8 pi^2 V): translations and rotations
    are integrated out, so that

        log|det dx/dr| = sum over all bonds of 2 ln b + sum over all angles of ln sin(theta),

    the first three atoms' b1^2 b2^2 sin(theta) included (Herschbach, Johnston and Rapp, J. Chem. Phys. 31,
    1652, 1959). LINEAR rows of the z-matrix have in the places of theta and the torsion phi the bends p = rho
    cos(phi), q = rho sin(phi), rho = pi - theta, smooth in a straight group, and contribute ln(sin(rho) /
    rho) instead of ln sin(theta). `forward` puts the first atom at the origin, the second on the x axis and
    the third in the xy plane; `inverse` accepts any placement and returns torsions in (-pi, pi].
    """

    bond_index: Tensor
    angle_index: Tensor
    torsion_index: Tensor

    def __init__(self, zmatrix: ZMatrix) -> None:
        super().__init__()
        self.zmatrix = zmatrix
        rows = zmatrix.rows
        self.n_atoms = len(rows)
        tables = {
            "bond_index": [(r.atom, r.bonded) for r in rows[1:]],
            "angle_index": [(r.atom, r.bonded, r.second) for r in rows[2:]],
            "torsion_index": [(r.atom, r.bonded, r.second, r.third) for r in rows[3:]],
        }
        for name, table in tables.items():
            self.register_buffer(name, torch.tensor(table).T.contiguous(), persistent=False)
        straight = [k for k, row in enumerate(rows) if row.kind is TorsionKind.LINEAR]
        self._bends = [(self.n_atoms - 1 + k - 2, 2 * self.n_atoms - 3 + k - 3) for k in straight]
        # Placement works level by level: atoms placed together are appended, and `slot` says where each atom
        # ended up.
        self._levels: list[tuple[list[int], list[int], list[int], list[int]]] = []
        slot = {rows[k].atom: k for k in range(3)}
        for level in zmatrix.levels():
            members = [rows[k] for k in level]
            self._levels.append(
                (
                    level,
                    [slot[r.bonded] for r in members],
                    [slot[r.second] for r in members],
                    [slot[r.third] for r in members],
                )
            )
            for row in members:
                slot[row.atom] = len(slot)
        self._slot_of_atom = [slot[i] for i in range(self.n_atoms)]

    def angles(self, r: Tensor) -> Tensor:
        """Angles (..., n - 2) in radians of r (..., 3n - 6), those of LINEAR rows included."""
        n = self.n_atoms
        found = r[..., n - 1 : 2 * n - 3]
        if not self._bends:
            return found
        p, q = (r[..., list(k)] for k in zip(*self._bends, strict=True))
        return found.index_copy(
            -1, torch.tensor([k - (n - 1) for k, _ in self._bends], device=r.device), math.pi - _length(p, q)
        )

    def log_det(self, r: Tensor) -> Tensor:
        """log|det dx/dr|, shape (...), of internal coordinates r (..., 3n - 6)."""
        n = self.n_atoms
        bonds, angles = r[..., : n - 1], self.angles(r)
        log_det = 2 * bonds.abs().log().sum(-1) + torch.sin(angles).abs().log().sum(-1)
        for p, q in self._bends:
            log_det = log_det - _length(r[..., p], r[..., q]).log()
        return log_det

    def _spherical(self, r: Tensor) -> Tensor:
        """r with the angles and torsions of LINEAR rows in the places of their bends."""
        r = r.clone()
        for k, l in self._bends:
            p, q = r[..., k].clone(), r[..., l].clone()
            r[..., k], r[..., l] = (
                math.pi - _length(p, q),
                torch.atan2(q, torch.where((p == 0) & (q == 0), _TINY, p)),
            )
        return r

    def _bent(self, r: Tensor) -> Tensor:
        """The inverse of `_spherical`."""
        r = r.clone()
        for k, l in self._bends:
            rho, phi = math.pi - r[..., k], r[..., l].clone()
            r[..., k], r[..., l] = rho * torch.cos(phi), rho * torch.sin(phi)
        return r

    @override
    def forward(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        n = self.n_atoms
        if z.shape[-1] != 3 * n - 6:
            raise ValueError(
                f"expected internal coordinates of shape (..., {3 * n - 6}), got {tuple(z.shape)}"
            )
        batch = z.shape[:-1]
        spherical = self._spherical(z) if self._bends else z
        columns = spherical.reshape(-1, 3 * n - 6).T.contiguous()
        bonds, angles, torsions = columns[: n - 1], columns[n - 1 : 2 * n - 3], columns[2 * n - 3 :]
        zero = torch.zeros_like(bonds[0])
        third = (bonds[0] - bonds[1] * torch.cos(angles[0]), bonds[1] * torch.sin(angles[0]), zero)
        first_three = [
            torch.stack((zero, zero, zero)),
            torch.stack((bonds[0], zero, zero)),
            torch.stack(third),
        ]
        placed = torch.stack(first_three, dim=1)  # (3, atoms placed so far, batch)
        for level, j, k, l in self._levels:
            new = place(
                placed[:, j],
                placed[:, k],
                placed[:, l],
                bonds[[m - 1 for m in level]],
                angles[[m - 2 for m in level]],
                torsions[[m - 3 for m in level]],
            )
            placed = torch.cat((placed, new), dim=1)
        x = placed[:, self._slot_of_atom].permute(2, 1, 0)
        return x.reshape(*batch, n, 3), self.log_det(z)

    @override
    def inverse(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if x.shape[-2:] != (self.n_atoms, 3):
            raise ValueError(
                f"expected positions of shape (..., {self.n_atoms}, 3) in nm, got {tuple(x.shape)}"
            )
        bonds = distance(*(x[..., i, :] for i in self.bond_index))
        angles = angle(*(x[..., i, :] for i in self.angle_index))
        torsions = dihedral(*(x[..., i, :] for i in self.torsion_index))
        r = torch.cat((bonds, angles, torsions), dim=-1)
        if self._bends:
            r = self._bent(r)
        return r, -self.log_det(r)


#: Below this length [radians] a bend counts as straight: no gradient goes through its direction.
_TINY = 1e-9


def _length(p: Tensor, q: Tensor) -> Tensor:
    """sqrt(p^2 + q^2), at least 1e-9."""
    return (p.square() + q.square()).clamp_min(_TINY**2).sqrt()
