"""Correction maps (CMAP): an energy of two torsions, interpolated on a periodic grid.

MacKerell, Feig and Brooks, J. Comput. Chem. 25, 1400, 2004.
"""

from math import pi

import numpy as np
import openmm
import torch
from openmm import unit
from scipy.interpolate import CubicSpline
from torch import Tensor
from typing_extensions import override

from boltzgen.energy.geometry import Geometry, PairList
from boltzgen.energy.measures import torsion_between
from boltzgen.energy.terms.term import Term
from boltzgen.energy.terms.torsions import Quadruple, bond_vectors

#: Values and derivatives at both ends of [0, 1] -> coefficients of 1, t, t^2, t^3.
_HERMITE = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0], [-3, 3, -2, -1], [2, -2, 1, 1]])


class CMAPTorsions(Term):
    """Correction maps for pairs of torsions (phi, psi): U = sum_kl c_kl s^k t^l.

    s and t in [0, 1) are the places of phi and psi in a cell of their map's grid.

    Args:
        first: atoms of phi.
        second: atoms of psi.
        which: the map of each pair.
        maps: square grids of energies in kJ/mol at phi, psi = 0, 2 pi/n, ...; phi varies along the first
            axis.
    """

    arms: Tensor
    size: Tensor
    start: Tensor
    patches: Tensor

    def __init__(
        self,
        first: list[Quadruple],
        second: list[Quadruple],
        which: list[int],
        maps: list[np.ndarray],
        n_atoms: int,
    ) -> None:
        super().__init__()
        self.register_buffer("arms", bond_vectors(first + second, n_atoms))
        # Maps of every size lie in one table, row after row; a cell is found by its map's start.
        sizes = [len(grid) for grid in maps]
        starts = np.cumsum([0, *(n * n for n in sizes)])
        self.register_buffer("size", torch.tensor([sizes[k] for k in which], dtype=torch.long).reshape(-1, 1))
        self.register_buffer(
            "start", torch.tensor([int(starts[k]) for k in which], dtype=torch.long).reshape(-1, 1)
        )
        table = [bicubic_patches(grid).reshape(-1, 16) for grid in maps]
        self.register_buffer("patches", torch.from_numpy(np.concatenate([np.zeros((0, 16)), *table])))

    @classmethod
    def from_openmm(cls, force: openmm.CMAPTorsionForce, pairs: PairList) -> "CMAPTorsions":
        """Read an OpenMM `CMAPTorsionForce`, whose maps list the energies with phi running fastest."""
        maps = []
        for n in range(force.getNumMaps()):
            size, energies = force.getMapParameters(n)
            maps.append(
                np.array(energies.value_in_unit(unit.kilojoule_per_mole), dtype=np.float64)
                .reshape(size, size)
                .T
            )
        which, first, second = [], [], []
        for n in range(force.getNumTorsions()):
            k, *atoms = force.getTorsionParameters(n)
            which.append(k)
            a, b, c, d, e, f, g, h = atoms
            first.append((a, b, c, d))
            second.append((e, f, g, h))
        return cls(first, second, which, maps, pairs.n_atoms)

    @override
    def forward(self, geometry: Geometry) -> Tensor:
        x = geometry.x
        phi, psi = torsion_between(*(self.arms.to(x.dtype) @ x).chunk(3, dim=1)).chunk(2)
        (row, t), (column, w) = self._cell(phi), self._cell(psi)
        patch = self.patches.to(x.dtype)[self.start + row * self.size + column].unflatten(-1, (4, 4))
        in_t = _horner(patch.unbind(-2), t.unsqueeze(-1))
        return _horner(in_t.unbind(-1), w).sum(0)

    def _cell(self, angle: Tensor) -> tuple[Tensor, Tensor]:
        """Index of the grid cell, and the place in it between 0 and 1, each (n, batch), of angles in rad."""
        size = self.size.to(angle.dtype)
        place = torch.remainder(angle * (size / (2 * pi)), size)
        # Rounding can put an angle just below zero at the far end of the last cell; NaN must index something
        # too.
        index = torch.minimum(place.detach().nan_to_num(0.0).long(), self.size - 1)
        return index, place - index


def bicubic_patches(grid: np.ndarray) -> np.ndarray:
    """Coefficients c, (n, n, 4, 4), of s^k t^l in every cell of a periodic (n, n) grid.

    Derivatives and cross derivatives at the grid's points are those of periodic cubic splines, as in OpenMM:
    the surface is the product spline.
    """
    n = len(grid)

    def derivative_along(values: np.ndarray, axis: int) -> np.ndarray:
        closed = np.concatenate([values, values.take([0], axis)], axis)
        return CubicSpline(np.arange(n + 1), closed, axis=axis, bc_type="periodic")(np.arange(n), 1)

    by_s, by_t = derivative_along(grid, 0), derivative_along(grid, 1)
    cross = derivative_along(by_t, 0)
    corners = np.empty((n, n, 4, 4))
    for along_s, (value, derivative) in enumerate(((grid, by_t), (by_s, cross))):
        for row in (0, 1):
            for column in (0, 1):
                corner = (-row, -column)
                corners[..., 2 * along_s + row, column] = np.roll(value, corner, (0, 1))
                corners[..., 2 * along_s + row, 2 + column] = np.roll(derivative, corner, (0, 1))
    return _HERMITE @ corners @ _HERMITE.T


def _horner(coefficients: tuple[Tensor, ...], t: Tensor) -> Tensor:
    c0, c1, c2, c3 = coefficients
    return c0 + t * (c1 + t * (c2 + t * c3))
