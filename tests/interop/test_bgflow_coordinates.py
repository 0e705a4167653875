"""Internal coordinates and log-determinants against bgflow's, on frames of dynamics and distorted ones."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from boltzgen.coordinates.internal import InternalCoordinates
from boltzgen.coordinates.zmatrix import ZMatrix
from boltzgen.geometry import wrap
from boltzgen.interop.bgflow_coordinates import BgflowInternalCoordinates, z_matrix_to_bgflow
from boltzgen.molecule.system import System


def compare(theirs: BgflowInternalCoordinates, ours: InternalCoordinates, x: Tensor) -> None:
    """r and log|det dr/dx| of positions x, and positions' shape of r."""
    n = ours.n_atoms
    r, log_det = ours.inverse(x)
    found, found_log_det = theirs.inverse(x)
    torch.testing.assert_close(found[..., : 2 * n - 3], r[..., : 2 * n - 3], rtol=1e-9, atol=1e-9)
    difference = wrap(found[..., 2 * n - 3 :] - r[..., 2 * n - 3 :])
    torch.testing.assert_close(difference, torch.zeros_like(difference), rtol=0, atol=1e-6)
    torch.testing.assert_close(found_log_det, log_det, rtol=1e-9, atol=1e-6)
    back, back_log_det = theirs(r)
    torch.testing.assert_close(back_log_det, -log_det, rtol=1e-9, atol=1e-6)
    placed, _ = ours(r)
    torch.testing.assert_close(torch.cdist(back, back), torch.cdist(placed, placed), rtol=0, atol=1e-6)


@pytest.mark.parametrize("normalize_angles", [True, False])
@pytest.mark.parametrize("kind", ["dynamics", "hot", "distorted"])
def test_internal_coordinates_are_theirs(
    bg: Any,
    alanine: System,
    thermal_frames: dict[float, Tensor],
    distorted_frames: Tensor,
    kind: str,
    *,
    normalize_angles: bool,
) -> None:
    zmatrix = ZMatrix.from_graph(alanine.graph)
    x = {"dynamics": thermal_frames[300.0], "hot": thermal_frames[1200.0], "distorted": distorted_frames}[
        kind
    ]
    theirs = BgflowInternalCoordinates.of(zmatrix, normalize_angles=normalize_angles)
    compare(theirs, InternalCoordinates(zmatrix), x[:64].reshape(2, 32, alanine.n_atoms, 3))


def test_the_constant_between_the_log_determinants(
    bg: Any, alanine: System, thermal_frames: dict[float, Tensor]
) -> None:
    """Theirs, as it comes, less ours: ln pi for each angle, ln 2 pi for each torsion and two Euler angles."""
    zmatrix = ZMatrix.from_graph(alanine.graph)
    x = thermal_frames[300.0][:16]
    transformation = bg.GlobalInternalCoordinateTransformation(z_matrix_to_bgflow(zmatrix))
    *_, dlogp = transformation(x.flatten(1))
    _, log_det = InternalCoordinates(zmatrix).inverse(x)
    expected = -(20 * math.log(math.pi) + 19 * math.log(2 * math.pi) + 2 * math.log(2 * math.pi))
    torch.testing.assert_close(dlogp.squeeze(-1) - log_det, torch.full_like(log_det, expected))


def test_another_z_matrix_is_refused(bg: Any, alanine: System) -> None:
    zmatrix = ZMatrix.from_graph(alanine.graph)
    rows = z_matrix_to_bgflow(zmatrix)
    rows[[5, 6]] = rows[[6, 5]]
    with pytest.raises(ValueError, match="got another z-matrix"):
        BgflowInternalCoordinates(bg.GlobalInternalCoordinateTransformation(rows), zmatrix)
