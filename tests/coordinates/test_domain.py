"""Mapping and testing at once gives what mapping and testing one after the other give."""

import math
from pathlib import Path

import pytest
import torch
from openmm import app

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.generator.target import PullbackEnergy
from boltzgen.molecule.system import System

FOLDER = Path(__file__).parents[1] / "data" / "peptides"


@pytest.fixture(scope="module", params=["free", "rigid"])
def chart(request: pytest.FixtureRequest) -> MolecularCoordinates:
    """Of a peptide with threefold rotors and a twofold one, with free and with constrained bonds."""
    constraints = app.HBonds if request.param == "rigid" else None
    fields = ["amber14/protein.ff14SB.xml", "implicit/obc2.xml"]
    return MolecularCoordinates(System.from_pdb(FOLDER / "ace_phe_nme.pdb", fields, constraints=constraints))


def wide(chart: MolecularCoordinates, n: int) -> torch.Tensor:
    """Flow coordinates inside the domain and out of it, for every reason."""
    generator = torch.Generator().manual_seed(0)
    y = torch.randn(n, chart.n_periodic + chart.n_stiff, generator=generator, dtype=torch.float64)
    y *= torch.logspace(-1, 1, n, dtype=torch.float64).unsqueeze(1)
    y[: n // 2, : chart.n_periodic] = y[: n // 2, : chart.n_periodic].clamp(-math.pi, math.pi)
    y[-1, -1] = math.nan
    return y


def test_forward(chart: MolecularCoordinates) -> None:
    y = wide(chart, 400).requires_grad_()
    x, log_det, inside = chart.forward_in_domain(y)
    for found, expected in zip((x, log_det), chart(y), strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(inside, chart.in_domain(y))
    assert 40 < int(inside.sum()) < 360
    assert not inside[-1]
    assert x.requires_grad
    assert log_det.requires_grad


def test_inverse(chart: MolecularCoordinates) -> None:
    """Of conformations, and of those with one bond longer than a constraint allows."""
    x = chart(wide(chart, 400)[:-1])[0]
    moved = x.clone()
    row = chart.zmatrix.rows[1:][chart.fixed[0] if chart.fixed else -1]
    moved[:, row.atom] += 0.01 * (x[:, row.atom] - x[:, row.bonded])
    for positions, constrained in ((x, 0), (moved, len(chart.fixed))):
        y, log_det, inside = chart.inverse_in_domain(positions)
        for found, expected in zip((y, log_det), chart.inverse(positions), strict=True):
            torch.testing.assert_close(found, expected, rtol=0, atol=0)
        assert torch.equal(inside, chart.in_domain(y) & chart.on_constraints(positions))
        assert bool(inside.any()) is not bool(constrained)


def test_outside_the_domain_the_target_is_zero(chart: MolecularCoordinates) -> None:
    class Flat(torch.nn.Module):
        temperature = 300.0

        def potential(self, x: torch.Tensor) -> torch.Tensor:
            return torch.zeros_like(x[..., 0, 0])

    y = wide(chart, 400)
    u, gradient = PullbackEnergy(Flat(), chart).value_and_gradient(y)  # type: ignore[arg-type]
    inside = chart.in_domain(y)
    assert torch.equal(u.isfinite(), inside)
    assert not gradient[~inside].any()
    torch.testing.assert_close(u[inside], -chart(y)[1][inside])
