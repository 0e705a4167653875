"""The frames of a simulation as a trajectory for other programs."""

import os
from contextlib import closing
from pathlib import Path

import mdtraj
from mdtraj.formats import DCDTrajectoryFile, HDF5TrajectoryFile, XTCTrajectoryFile

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.molecule.system import System
from boltzgen.samples.file import check_target
from boltzgen.simulation.ensemble import Ensemble

TRAJECTORIES = (".h5", ".xtc", ".dcd")
_ANGSTROM_PER_NM = 10.0


def check_trajectory(path: Path, folder: Path) -> None:
    """Raise unless a trajectory can be written there, once the simulation's folder exists."""
    check_target(path, TRAJECTORIES, makes=folder)


def write_trajectory(folder: Path, system: System, target: Path) -> int:
    """Write the frames at the system's temperature, walker after walker, as HDF5, XTC or DCD.

    Frames outside the domain are left out. Methyl hydrogens are put into the domain's labelling. XTC keeps
    0.001 nm.

    Returns:
        The number of frames.
    """
    check_target(target, TRAJECTORIES)
    ensemble = Ensemble.load(folder, system)
    coordinates = MolecularCoordinates(system)
    partial = target.with_name(f".{target.stem}.{os.getpid()}.part{target.suffix.lower()}")
    topology, n_frames = mdtraj.Topology.from_openmm(system.topology), 0
    kinds = {".h5": HDF5TrajectoryFile, ".xtc": XTCTrajectoryFile, ".dcd": DCDTrajectoryFile}
    try:
        with closing(kinds[partial.suffix](str(partial), mode="w")) as file:
            if partial.suffix == ".h5":
                file.topology = topology
            for w in range(ensemble.n_walkers):
                labelled = coordinates.canonical(ensemble.x[:, w, 0])
                frames = labelled[coordinates.in_domain(coordinates.inverse(labelled)[0])].numpy()
                file.write(_ANGSTROM_PER_NM * frames if partial.suffix == ".dcd" else frames)
                n_frames += len(frames)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    return n_frames
