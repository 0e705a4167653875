"""Samples as trajectories that other programs read."""

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import mdtraj
import numpy as np
from mdtraj.formats import DCDTrajectoryFile, PDBTrajectoryFile, XTCTrajectoryFile

from boltzgen.samples.file import check_target, iter_samples, read_log_weights, read_topology
from boltzgen.weights import resampled_indices

FORMATS = (".dcd", ".xtc", ".pdb")
_ANGSTROM_PER_NM = 10.0


def export(
    path: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    resample: int | None = None,
    seed: int = 0,
) -> int:
    """Write a samples file as a DCD, XTC or PDB trajectory in constant memory, and return the number of
    frames.

    Without `resample`, frames are the samples in order, one for one: they do *not* have equal weight. With
    it, so many frames of equal weight are drawn with replacement, in the order of the file. XTC keeps 0.001
    nm and PDB 0.0001 nm.

    Raises:
        FileNotFoundError: no such samples file, or no folder for the target.
        ValueError: not a samples file, an unknown format, or (with `resample`) no sample with any weight.
    """
    target = Path(target)
    check_target(target, FORMATS)
    chosen = (
        None
        if resample is None
        else np.sort(resampled_indices(read_log_weights(path), resample, seed).numpy())
    )
    frames = _frames(path, chosen)
    first = next(frames, None)
    if first is None:
        raise ValueError(f"{path} holds no samples; draw some with `boltzgen sample`")
    topology = read_topology(path)
    partial = target.with_name(f".{target.stem}.{os.getpid()}.part{target.suffix.lower()}")
    n_frames = 0
    try:
        with closing(_open(partial)) as trajectory:
            write = _writer(trajectory, topology)
            for x in itertools.chain([first], frames):
                write(x, n_frames)
                n_frames += len(x)
        os.replace(partial, target)
    finally:
        partial.unlink(missing_ok=True)
    return n_frames


def _frames(path: str | os.PathLike[str], chosen: np.ndarray | None) -> Iterator[np.ndarray]:
    """Positions (n, n_atoms, 3) in nm, chunk by chunk: all of them, or those of sorted indices, repeats
    included.
    """
    start = 0
    for chunk in iter_samples(path):
        x = chunk.x.numpy()
        if chosen is not None:
            low, high = np.searchsorted(chosen, (start, start + len(x)))
            x = x[chosen[low:high] - start]
        start += len(chunk)
        if len(x):
            yield x


def _open(path: Path) -> Any:
    kinds = {".dcd": DCDTrajectoryFile, ".xtc": XTCTrajectoryFile, ".pdb": PDBTrajectoryFile}
    return kinds[path.suffix](str(path), mode="w")


def _writer(trajectory: Any, topology: mdtraj.Topology) -> Callable[[np.ndarray, int], None]:
    """A function of positions (n, n_atoms, 3) in nm and the index of the first, in the units of the open
    file.
    """

    def write_dcd(x: np.ndarray, start: int) -> None:
        trajectory.write(_ANGSTROM_PER_NM * x)

    def write_xtc(x: np.ndarray, start: int) -> None:
        index = np.arange(start, start + len(x))
        trajectory.write(x, time=index.astype(np.float32), step=index.astype(np.int32))

    def write_pdb(x: np.ndarray, start: int) -> None:
        for i, frame in enumerate(x):
            trajectory.write(_ANGSTROM_PER_NM * frame, topology, modelIndex=start + i)

    return (
        write_dcd
        if isinstance(trajectory, DCDTrajectoryFile)
        else write_xtc
        if isinstance(trajectory, XTCTrajectoryFile)
        else write_pdb
    )
