"""Conformations as trajectories that other programs read, written whole or not at all."""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np
from mdtraj.formats import DCDTrajectoryFile, HDF5TrajectoryFile, PDBTrajectoryFile, XTCTrajectoryFile

from boltzgen.samples.file import check_target, iter_samples, read_header, read_log_weights, read_topology
from boltzgen.weights import resampled_indices

#: Formats that samples are exported to: they come from HDF5 files.
FORMATS = (".dcd", ".xtc", ".pdb")
_KINDS = {
    ".dcd": DCDTrajectoryFile,
    ".h5": HDF5TrajectoryFile,
    ".pdb": PDBTrajectoryFile,
    ".xtc": XTCTrajectoryFile,
}
_ANGSTROM_PER_NM = 10.0


def export(
    path: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    resample: int | None = None,
    seed: int = 0,
) -> int:
    """Write a samples file as a DCD, XTC or PDB trajectory, and return the number of frames.

    Without `resample`, frames are the samples in order, one for one: they do *not* have equal weight. With
    it, so many frames of equal weight are drawn with replacement, in the order of the file. XTC keeps 0.001
    nm and PDB 0.0001 nm. Memory does not grow with the number of samples.

    Raises:
        FileNotFoundError: no such samples file, or no folder for the target.
        ValueError: not a samples file, an unknown format, or (with `resample`) no sample with any weight.
    """
    target = Path(target)
    check_target(target, FORMATS)
    if read_header(path).n_samples == 0:
        raise ValueError(f"{path} holds no samples; expected at least one")
    chosen = (
        None
        if resample is None
        else np.sort(resampled_indices(read_log_weights(path), resample, seed).numpy())
    )
    return write_frames(target, read_topology(path), _frames(path, chosen))


def write_frames(path: Path, topology: mdtraj.Topology, frames: Iterable[np.ndarray]) -> int:
    """Write positions as a trajectory and return the number of frames.

    The file appears under its name when all is written; an exception leaves what was there.

    Args:
        path: the suffix gives the format: .h5 (MDTraj's), .xtc, .dcd or .pdb.
        topology: of the molecule; XTC and DCD do not hold it.
        frames: parts (m, n_atoms, 3) in nm, in order, one in memory at a time.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: an unknown format.
    """
    check_target(path, tuple(_KINDS))
    partial = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix.lower()}")
    n_frames = 0
    try:
        with closing(_KINDS[partial.suffix](str(partial), mode="w")) as trajectory:
            write = _writer(trajectory, topology)
            for x in frames:
                write(x, n_frames)
                n_frames += len(x)
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return n_frames


def _frames(path: str | os.PathLike[str], chosen: np.ndarray | None) -> Iterator[np.ndarray]:
    """Positions (m, n_atoms, 3) in nm, chunk by chunk: all, or those of sorted indices, repeats included."""
    start = 0
    for chunk in iter_samples(path):
        x = chunk.x.numpy()
        if chosen is not None:
            low, high = np.searchsorted(chosen, (start, start + len(x)))
            x = x[chosen[low:high] - start]
        start += len(chunk)
        if len(x):
            yield x


def _writer(trajectory: Any, topology: mdtraj.Topology) -> Callable[[np.ndarray, int], None]:
    """A function of positions (m, n_atoms, 3) in nm and the index of the first, for an open file's format."""

    def write_h5(x: np.ndarray, start: int) -> None:
        trajectory.write(x)

    def write_dcd(x: np.ndarray, start: int) -> None:
        trajectory.write(_ANGSTROM_PER_NM * x)

    def write_xtc(x: np.ndarray, start: int) -> None:
        index = np.arange(start, start + len(x))
        trajectory.write(x, time=index.astype(np.float32), step=index.astype(np.int32))

    def write_pdb(x: np.ndarray, start: int) -> None:
        for i, frame in enumerate(x):
            trajectory.write(_ANGSTROM_PER_NM * frame, topology, modelIndex=start + i)

    if isinstance(trajectory, HDF5TrajectoryFile):
        trajectory.topology = topology
        return write_h5
    if isinstance(trajectory, DCDTrajectoryFile):
        return write_dcd
    return write_xtc if isinstance(trajectory, XTCTrajectoryFile) else write_pdb
