"""Wells of a free-energy surface over one or a few torsions, found on the torus from weighted draws.

The surface is -ln of the weighted density: a histogram on a periodic grid, smoothed by a Gaussian. Each
minimum is a well with the cells from which one descends to it. Two wells that a barrier lower than `barrier`
parts are one: the persistence of the shallower is too small (Edelsbrunner, Letscher and Zomorodian, Discrete
Comput. Geom. 28, 511, 2002; as a clustering: Chazal, Guibas, Oudot and Skraba, J. ACM 60, 41, 2013).
"""

import math
from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy import ndimage

#: Cells along an axis, by the number of torsions.
_CELLS = {1: 120, 2: 72, 3: 36}
#: Width of a torsion's well in degrees, a standard deviation, that the smoothing goes by.
_WELL = 20.0
#: Standard deviations of the smoothing beyond which a draw does not count.
_REACH = 4.0


@dataclass(frozen=True, eq=False)
class Wells:
    """Wells of a surface over d angles, the most populated first.

    Attributes:
        grid: well of each cell, int16 (n_cells,) * d; the first cell begins at -180 degrees.
        minima: centre of the deepest cell of each well, (n_wells, d) in radians.
        populations: share of the weight in each, (n_wells,).
    """

    grid: np.ndarray
    minima: np.ndarray
    populations: np.ndarray

    def labels(self, angles: np.ndarray) -> np.ndarray:
        """Well of each draw with angles (n, d) in radians, int16 (n,)."""
        return self.grid[_cells(angles, len(self.grid))]


def find_wells(
    angles: np.ndarray, weights: np.ndarray, *, barrier: float = 1.0, min_effective: float = 10.0
) -> Wells:
    """Wells of -ln p over d angles on the torus.

    The Gaussian's width follows Silverman's rule (Density Estimation, 1986, eq. 4.14) for wells with a
    standard deviation of 20 degrees and the effective number of draws. Cells that no draw is near belong to
    the nearest well.

    Args:
        angles: (n, d) in radians, each with a period of 2 pi, d from 1 to 3.
        weights: (n,), in any unit.
        barrier: in kT, above the shallower of two wells, that makes them two.
        min_effective: effective draws that a well has at least; others belong to their neighbours.

    Raises:
        ValueError: wrong shapes, no weight, or `barrier` or `min_effective` is not positive.
    """
    _check(angles, weights, barrier, min_effective)
    used = weights > 0
    angles, weights = angles[used], weights[used] / weights.sum()
    d = angles.shape[1]
    n_cells = _CELLS[d]
    shape = (n_cells,) * d
    cell = np.ravel_multi_index(_cells(angles, n_cells), shape)
    share, square = (np.bincount(cell, w, n_cells**d) for w in (weights, weights**2))
    # Within a cell at least: a narrower one would leave every cell a minimum of its own.
    width = max(_WELL * (4 / ((d + 2) / square.sum())) ** (1 / (d + 4)) * n_cells / 360.0, 1.0)
    density = ndimage.gaussian_filter(share.reshape(shape), width, mode="wrap", truncate=_REACH)
    grid = _nearest(_basins_of_descent(density.ravel(), share, square, shape, barrier, min_effective))
    found = np.bincount(grid.ravel(), share)
    order = np.argsort(-found, kind="stable")
    rank = np.argsort(order).astype(np.int16)
    minima = [np.unravel_index(np.argmax(np.where(grid == k, density, -1.0)), shape) for k in order]
    return Wells(rank[grid], (np.array(minima) + 0.5) * 2 * math.pi / n_cells - math.pi, found[order])


def _cells(angles: np.ndarray, n_cells: int) -> tuple[np.ndarray, ...]:
    """Cell of each draw along each axis; one that is not a number (a draw without weight) is in cell 0."""
    turns = np.mod(np.nan_to_num(np.asarray(angles, dtype=np.float64)) / (2 * math.pi) + 0.5, 1.0)
    return tuple((np.floor(turns * n_cells).astype(np.int64) % n_cells).T)


def _basins_of_descent(
    density: np.ndarray,
    share: np.ndarray,
    square: np.ndarray,
    shape: tuple[int, ...],
    barrier: float,
    min_effective: float,
) -> np.ndarray:
    """Well of each cell, int64 of `shape`; -1 where there is no density, or too few draws for a well.

    Cells are flooded from the highest density down. Where two wells meet, the one with the lower maximum
    joins the other unless it is deep enough and has enough draws.
    """
    parent = np.full(len(density), -1)
    share, square = share.copy(), square.copy()
    neighbours = _neighbours(shape)

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = int(parent[i])
        return i

    def is_well(top: int, saddle: float) -> bool:
        enough = share[top] ** 2 >= min_effective * square[top]
        return bool(enough and math.log(density[top] / saddle) >= barrier)

    for cell in np.argsort(-density, kind="stable"):
        if density[cell] <= 0:
            break
        near = {root(int(j)) for j in neighbours[cell] if parent[j] >= 0}
        # The root of a well is its highest cell.
        first, *others = sorted(near, key=lambda top: -density[top]) or [cell]
        parent[cell] = first
        if first != cell:
            share[first], square[first] = share[first] + share[cell], square[first] + square[cell]
        for other in others:
            if not is_well(other, density[cell]):
                parent[other] = first
                share[first], square[first] = share[first] + share[other], square[first] + square[other]
    roots = np.array([root(i) if parent[i] >= 0 else -1 for i in range(len(density))])
    tops = [t for t in np.unique(roots) if t >= 0 and share[t] ** 2 >= min_effective * square[t]]
    # Without enough draws for any well, all are in one.
    known = {top: k for k, top in enumerate(tops)} or {top: 0 for top in np.unique(roots) if top >= 0}
    return np.array([known.get(top, -1) for top in roots]).reshape(shape)


def _neighbours(shape: tuple[int, ...]) -> np.ndarray:
    """Cells next to each cell of a periodic grid, diagonals included, (n_cells, 3^d - 1)."""
    index = np.arange(math.prod(shape)).reshape(shape)
    axes = tuple(range(len(shape)))
    steps = [step for step in product((-1, 0, 1), repeat=len(shape)) if any(step)]
    return np.stack([np.roll(index, step, axes).ravel() for step in steps], axis=1)


def _nearest(grid: np.ndarray) -> np.ndarray:
    """The grid, with cells of -1 given to the nearest well on the torus."""
    n = len(grid)
    pad = n // 2
    wide = np.pad(grid, pad, mode="wrap")
    places = ndimage.distance_transform_edt(wide < 0, return_distances=False, return_indices=True)
    inner = (slice(pad, pad + n),) * grid.ndim
    return np.asarray(wide[tuple(places)][inner])


def _check(angles: np.ndarray, weights: np.ndarray, barrier: float, min_effective: float) -> None:
    if angles.ndim != 2 or angles.shape[1] not in _CELLS or weights.shape != angles.shape[:1]:
        raise ValueError(
            f"expected angles (n, d) of 1 to {max(_CELLS)} torsions and weights (n,), got shapes "
            f"{angles.shape} and {weights.shape}"
        )
    if not weights.sum() > 0:
        raise ValueError("all weights are zero: there are no wells to be found")
    if not (barrier > 0 and min_effective > 0):
        raise ValueError(
            f"expected `barrier` and `min_effective` above zero, got {barrier} and {min_effective}"
        )
