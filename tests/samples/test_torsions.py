"""Torsions of samples."""

import mdtraj
import numpy as np

from boltzgen.molecule.system import System
from boltzgen.samples.weighted_samples import WeightedSamples
from tests.helpers.posing import made_up_samples, pose


def test_torsions_are_those_the_structure_was_turned_to() -> None:
    system = System.load("alanine_dipeptide")
    wanted = np.random.default_rng(0).uniform(-np.pi, np.pi, (50, 2))
    base = made_up_samples(system, 50)
    samples = WeightedSamples(pose(system, *wanted.T), base.u, base.log_q, base.log_w, system)
    values = np.stack([samples.torsion(name).numpy() for name in ("phi", "psi")], axis=-1)
    np.testing.assert_allclose(np.abs(np.angle(np.exp(1j * (values - wanted)))), 0.0, atol=2e-5)
    trajectory = mdtraj.Trajectory(samples.x.numpy(), mdtraj.Topology.from_openmm(system.topology))
    np.testing.assert_allclose(values[:, :1], mdtraj.compute_phi(trajectory)[1], atol=2e-5)
    np.testing.assert_allclose(values[:, 1:], mdtraj.compute_psi(trajectory)[1], atol=2e-5)
