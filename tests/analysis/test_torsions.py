"""Torsions of samples."""

import mdtraj
import numpy as np
import pytest

from boltzgen.analysis.torsions import torsion_values
from boltzgen.molecule.graph import backbone_pairs
from boltzgen.molecule.system import System
from boltzgen.samples.weighted_samples import WeightedSamples
from tests.helpers.posing import made_up_samples, pose


def test_torsions_are_those_the_structure_was_turned_to() -> None:
    system = System.load("alanine_dipeptide")
    wanted = np.random.default_rng(0).uniform(-np.pi, np.pi, (50, 2))
    base = made_up_samples(system, 50)
    samples = WeightedSamples(pose(system, *wanted.T), base.u, base.log_q, base.log_w, system)
    values = torsion_values(samples, ("phi", "psi"))
    np.testing.assert_allclose(np.abs(np.angle(np.exp(1j * (values - wanted)))), 0.0, atol=2e-5)
    trajectory = mdtraj.Trajectory(samples.x.numpy(), mdtraj.Topology.from_openmm(system.topology))
    np.testing.assert_allclose(values[:, :1], mdtraj.compute_phi(trajectory)[1], atol=2e-5)
    np.testing.assert_allclose(values[:, 1:], mdtraj.compute_psi(trajectory)[1], atol=2e-5)


@pytest.mark.parametrize(
    ("torsions", "pairs"),
    [
        ({"phi": (4, 6, 8, 14), "psi": (6, 8, 14, 16)}, [("phi", "psi")]),
        # Without caps the first residue has no phi and the last no psi, so that numbers do not match.
        (
            {"phi1": (2, 4, 5, 6), "phi2": (6, 8, 9, 10), "psi1": (0, 1, 2, 4), "psi2": (4, 5, 6, 8)},
            [("phi1", "psi2")],
        ),
        ({"psi": (6, 8, 14, 16)}, []),
        ({}, []),
    ],
)
def test_phi_goes_with_the_psi_of_its_residue(
    torsions: dict[str, tuple[int, int, int, int]], pairs: list[tuple[str, str]]
) -> None:
    assert backbone_pairs(torsions) == pairs
