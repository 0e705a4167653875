"""Convergence of differences between Hamiltonians: each point is the estimate from those draws."""

import numpy as np
import pytest

from boltzgen.free_energy.hamiltonians import Draws, mixture
from boltzgen.thermodynamics.convergence import hamiltonian_convergence
from boltzgen.thermodynamics.hamiltonians import HamiltonianDifference


def gaussians(n: int, seed: int = 0) -> HamiltonianDifference:
    """Samplers N(0, 1.1^2) and N(0.3, 1.1^2) of targets N(0, 1) and N(0.3, 1) e^-1: f_B - f_A = 1."""
    rng = np.random.default_rng(seed)

    def draws(source: int) -> Draws:
        z = 0.3 * source + 1.1 * rng.standard_normal(n)
        apart = np.stack([z, z - 0.3], axis=1)
        u = 0.5 * apart**2 + np.array([0.0, 1.0])
        return Draws(u, -0.5 * (apart / 1.1) ** 2 - 0.5 * np.log(2 * np.pi * 1.21), source)

    a, b = draws(0), draws(1)
    return HamiltonianDifference(a, b, a, b, 300.0)


def test_points_are_estimates_from_parts() -> None:
    found = gaussians(2000)
    curve = hamiltonian_convergence(found, points=4)
    assert curve.n_draws == (500, 1000, 1500, 2000)
    assert curve.forward[-1] == curve.backward[-1] == found.mixture()
    a, b = (Draws(d.u[-500:], d.log_q[-500:], d.source) for d in (found.from_a, found.from_b))
    assert curve.backward[0].value == mixture(a, b).value
    assert all(abs(r.value - 1.0) < 5 * r.error for r in (*curve.forward, *curve.backward))
    alone = hamiltonian_convergence(found, "independent", points=2)
    assert alone.forward[-1] == found.independent()


def test_no_such_method() -> None:
    with pytest.raises(ValueError, match="`method` to be one of mixture, mbar"):
        hamiltonian_convergence(gaussians(10), "fep")
