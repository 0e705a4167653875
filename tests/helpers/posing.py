"""Conformations of alanine dipeptide with given phi and psi, and made-up samples of it."""

import mdtraj
import numpy as np
import torch

from boltzgen.molecule.system import System
from boltzgen.samples.weighted_samples import WeightedSamples


def pose(system: System, phi: np.ndarray, psi: np.ndarray) -> torch.Tensor:
    """Positions float32 (n, n_atoms, 3) with the torsions phi and psi (n,) in radians, turned rigidly from
    the reference structure.
    """
    trajectory = mdtraj.Trajectory(system.positions.numpy(), mdtraj.Topology.from_openmm(system.topology))
    x = np.repeat(system.positions.numpy()[None], len(phi), axis=0)
    for compute, wanted in ((mdtraj.compute_phi, phi), (mdtraj.compute_psi, psi)):
        quadruples, now = compute(trajectory)
        _, b, c, _ = (int(i) for i in quadruples[0])
        moved = sorted(system.graph.reachable(c, blocked=b) - {c})
        x[:, moved] = turn(
            x[:, moved], x[:, b, None], x[:, c, None], (wanted - float(now[0, 0]))[:, None, None]
        )
    return torch.from_numpy(x).float()


def turn(points: np.ndarray, start: np.ndarray, end: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Rodrigues' rotation of points about the axis start -> end."""
    axis = (end - start) / np.linalg.norm(end - start, axis=-1, keepdims=True)
    r = points - end
    along = (r * axis).sum(-1, keepdims=True) * axis
    return (
        end
        + along
        + np.cos(angle) * (r - along)
        + np.sin(angle) * np.cross(np.broadcast_to(axis, r.shape), r)
    )


def made_up_samples(system: System, n: int, seed: int = 0, *, spread: float = 0.3) -> WeightedSamples:
    """n posed conformations: 70 % near (-80, 70), 30 % near (-70, -40), 1 in 200 near (60, -60) degrees, a
    few outside the domain.
    """
    rng = np.random.default_rng(seed)
    kind = rng.choice(3, n, p=[0.695, 0.3, 0.005])
    centre = np.radians(np.array([(-80, 70), (-70, -40), (60, -60)]))[kind]
    phi, psi = (centre + np.radians(12) * rng.standard_normal((n, 2))).T
    u = torch.from_numpy(rng.normal(-50.0, 2.0, n))
    log_q = -u + spread * torch.from_numpy(rng.standard_normal(n)) + 3.0
    u[::100] = torch.inf
    return WeightedSamples.from_energies(pose(system, phi, psi), u, log_q, system)
