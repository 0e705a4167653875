"""The frames of a simulation as a trajectory for other programs."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.molecule.system import System
from boltzgen.samples.export import write_frames
from boltzgen.samples.file import check_target
from boltzgen.simulation.ensemble import Ensemble

TRAJECTORIES = (".h5", ".xtc", ".dcd")


def check_trajectory(path: Path, folder: Path) -> None:
    """Raise unless a trajectory can be written there, once the simulation's folder exists."""
    check_target(path, TRAJECTORIES, makes=folder)


def write_trajectory(folder: Path, system: System, target: Path, *, skip: int = 0) -> int:
    """Write the frames at the system's temperature, walker after walker, as HDF5, XTC or DCD.

    Frames outside the domain are left out, and the first `skip` of each walker. Methyl hydrogens are put into
    the domain's labelling. XTC keeps 0.001 nm.

    Returns:
        The number of frames.
    """
    check_target(target, TRAJECTORIES)
    ensemble = Ensemble.load(folder, system).after(skip)
    return write_frames(target, system.mdtraj_topology, _frames(ensemble, MolecularCoordinates(system)))


def _frames(ensemble: Ensemble, coordinates: MolecularCoordinates) -> Iterator[np.ndarray]:
    """Frames at the lowest temperature within the domain, in its labelling, walker after walker."""
    for w in range(ensemble.n_walkers):
        labelled = coordinates.canonical(ensemble.x[:, w, 0])
        yield labelled[coordinates.in_domain(coordinates.inverse(labelled)[0])].numpy()
