"""bgflow's internal coordinates as a transform of ours, on our z-matrix and our measure."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor
from typing_extensions import override

from boltzgen.coordinates.zmatrix import ZMatrix
from boltzgen.flow.transform import Transform
from boltzgen.interop.bgflow_package import bgflow


def z_matrix_to_bgflow(zmatrix: ZMatrix) -> np.ndarray:
    """Rows (n_atoms, 4) of (atom, bonded, second, third) in our order, -1 where there is none."""
    return np.array([(row.atom, row.bonded, row.second, row.third) for row in zmatrix.rows])


class BgflowInternalCoordinates(Transform):
    """`bgflow.GlobalInternalCoordinateTransformation` in our direction, order, units and measure.

    That goes from positions (B, 3n) to ``(bonds, angles, torsions, x0, R, dlogp)``, angles in units of pi and
    torsions in turns from -pi unless ``normalize_angles=False``; R are three Euler angles, the middle one as
    its cosine, and dlogp is with respect to all 3n positions. Here `forward` goes from bonds, angles and
    torsions r (..., 3n - 6) in nm and radians, as `InternalCoordinates` has them, to positions (..., n, 3)
    at a fixed place, and log-determinants are with respect to dx / (8 pi^2 V): what is taken off is the
    constant that `offset` states.

    Attributes:
        offset: of log|det dx/d(theirs)| less log|det dx/dr|: (n - 2) ln pi + (n - 3) ln 2 pi + 2 ln 2 pi with
            normalised angles, else 0.

    Args:
        transformation: of bgflow's.
        zmatrix: ours, whose rows the transformation has, see `z_matrix_to_bgflow`.

    Raises:
        ValueError: it has another z-matrix.
    """

    def __init__(self, transformation: Any, zmatrix: ZMatrix) -> None:
        super().__init__()
        self.transformation = transformation
        self.n_atoms = n = len(zmatrix.rows)
        rows = z_matrix_to_bgflow(zmatrix)
        if not np.array_equal(np.asarray(transformation.z_matrix), rows[3:]):
            raise ValueError(
                "expected a transformation of the rows of `z_matrix_to_bgflow(zmatrix)`, got another z-matrix"
            )
        self.normalized = bool(transformation.normalize_angles)
        self.offset = (
            (n - 2) * math.log(math.pi) + (n - 1) * math.log(2 * math.pi) if self.normalized else 0.0
        )

    @classmethod
    def of(cls, zmatrix: ZMatrix, **options: Any) -> "BgflowInternalCoordinates":
        """bgflow's transformation of a z-matrix of ours; `options` are its own.

        Raises:
            ImportError: bgflow is missing.
        """
        transformation = bgflow().GlobalInternalCoordinateTransformation(
            z_matrix_to_bgflow(zmatrix), **options
        )
        return cls(transformation, zmatrix)

    @override
    def forward(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        n, flat = self.n_atoms, z.reshape(-1, z.shape[-1])
        bonds, angles, torsions = flat.split((n - 1, n - 2, n - 3), dim=-1)
        place = flat.new_tensor([0.5, 0.0, 0.5]) if self.normalized else flat.new_zeros(3)
        if self.normalized:
            angles, torsions = angles / math.pi, torsions / (2 * math.pi) + 0.5
        x, dlogp = self.transformation(
            bonds,
            angles,
            torsions,
            flat.new_zeros(len(flat), 1, 3),
            place.expand(len(flat), 3),
            inverse=True,
        )
        return x.reshape(*z.shape[:-1], n, 3), (dlogp - self.offset).reshape(z.shape[:-1])

    @override
    def inverse(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        batch = x.shape[:-2]
        bonds, angles, torsions, _, _, dlogp = self.transformation(x.reshape(-1, 3 * self.n_atoms))
        if self.normalized:
            angles, torsions = angles * math.pi, (torsions - 0.5) * (2 * math.pi)
        r = torch.cat((bonds, angles, torsions), dim=-1)
        return r.reshape(*batch, -1), (dlogp + self.offset).reshape(batch)
