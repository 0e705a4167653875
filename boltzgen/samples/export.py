"""Conformations as trajectories that other programs read, written whole or not at all."""

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import mdtraj
import numpy as np
from mdtraj.formats import PDBTrajectoryFile, XTCTrajectoryFile

from boltzgen.samples.ascii_path import ascii_folder
from boltzgen.samples.contents import check_target, iter_draws, read_header, read_log_weights, read_topology
from boltzgen.samples.dcd import write_dcd
from boltzgen.samples.mdtraj_hdf5 import add_coordinates, describe_frames
from boltzgen.samples.whole_file import new_file, new_hdf5
from boltzgen.storage import atomic_file
from boltzgen.weights import resampled_indices

#: Formats that samples are exported to: they come from HDF5 files.
FORMATS = (".dcd", ".xtc", ".pdb")
#: Fewest bytes that an atom's position takes in each format.
_BYTES = {".dcd": 12, ".h5": 12, ".pdb": 80, ".xtc": 2}
_WITHOUT_TOPOLOGY = (".dcd", ".xtc")
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
    nm and PDB 0.0001 nm. See `write_frames`. Memory does not grow with the number of samples.

    Raises:
        FileNotFoundError: no such samples file, or no folder for the target.
        ValueError: not a samples file, an unknown format, or (with `resample`) no sample with any weight.
        OSError: the trajectory cannot be written, or there is not room enough for it.
    """
    target = Path(target)
    check_target(target, FORMATS)
    header = read_header(path)
    if header.n_samples == 0:
        raise ValueError(f"{path} holds no samples; expected at least one")
    _check_room(target, header.n_samples if resample is None else resample, header.n_atoms)
    chosen = (
        None
        if resample is None
        else np.sort(resampled_indices(read_log_weights(path), resample, seed).numpy())
    )
    return write_frames(target, read_topology(path), _frames(path, chosen))


def write_frames(path: Path, topology: mdtraj.Topology, frames: Iterable[np.ndarray]) -> int:
    """Write positions as a trajectory and return the number of frames.

    The file appears under its name when all is written; an exception leaves what was there. Beside an XTC or
    DCD file, which do not hold the topology, the first frame is written as a PDB file, `topology_path`.

    Args:
        path: the suffix gives the format: .h5 (MDTraj's), .xtc, .dcd or .pdb.
        topology: of the molecule.
        frames: parts (m, n_atoms, 3) in nm, in order, one in memory at a time.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: an unknown format.
        OSError: it cannot be written (full disk, no permission).
    """
    check_target(path, tuple(_BYTES))
    writers: dict[str, Callable[[Path, mdtraj.Topology, Iterable[np.ndarray]], int]] = {
        ".dcd": _write_dcd,
        ".h5": _write_h5,
        ".pdb": _write_pdb,
        ".xtc": _write_xtc,
    }
    first: list[np.ndarray] = []

    def noted() -> Iterator[np.ndarray]:
        for x in frames:
            if len(x) and not first:
                first.append(x[:1].copy())
            yield x

    n_frames = writers[path.suffix.lower()](path, topology, noted())
    beside = topology_path(path)
    if beside is not None and first and not holds_topology(beside, topology):
        _write_pdb(beside, topology, first)
    return n_frames


def topology_path(path: Path) -> Path | None:
    """The PDB file that `write_frames` writes beside a trajectory; None where its format holds a topology."""
    if path.suffix.lower() not in _WITHOUT_TOPOLOGY:
        return None
    return path.with_name(f"{path.stem}.topology.pdb")


def holds_topology(path: Path, topology: mdtraj.Topology) -> bool:
    """Whether a PDB file has these atoms and bonds, as that beside another export of the same molecule."""
    try:
        found = _without_positions(path)
    except (OSError, UnicodeDecodeError):
        return False
    with tempfile.TemporaryDirectory() as folder:
        other = Path(folder) / "topology.pdb"
        _write_pdb(other, topology, [np.zeros((1, topology.n_atoms, 3), np.float32)])
        return found == _without_positions(other)


def _without_positions(path: Path) -> list[str]:
    """Lines of a PDB file that name atoms, residues and bonds, without the positions."""
    kept = [line for line in path.read_text().splitlines() if line.startswith(("ATOM", "HETATM", "CONECT"))]
    return [line if line.startswith("CONECT") else line[:30] + line[54:] for line in kept]


def _check_room(target: Path, n_frames: int, n_atoms: int) -> None:
    least, free = n_frames * n_atoms * _BYTES[target.suffix.lower()], shutil.disk_usage(target.parent).free
    if least > free:
        raise OSError(
            errno.ENOSPC,
            f"{n_frames} frames take {least:.2g} bytes or more, and {free:.2g} are free; ask for fewer, or "
            "choose another place",
            str(target),
        )


def _frames(path: str | os.PathLike[str], chosen: np.ndarray | None) -> Iterator[np.ndarray]:
    """Positions (m, n_atoms, 3) in nm, chunk by chunk: all, or those of sorted indices, repeats included."""
    start = 0
    for chunk in iter_draws(path):
        x = chunk.x.numpy()
        if chosen is not None:
            low, high = np.searchsorted(chosen, (start, start + len(x)))
            x = x[chosen[low:high] - start]
        start += len(chunk)
        if len(x):
            yield x


def _write_h5(path: Path, topology: mdtraj.Topology, frames: Iterable[np.ndarray]) -> int:
    n_frames = 0
    with new_hdf5(path) as file:
        describe_frames(file, topology, title="")
        coordinates = add_coordinates(file, 0, topology.n_atoms)
        for x in frames:
            coordinates.resize(n_frames + len(x), axis=0)
            coordinates[n_frames:] = x
            n_frames += len(x)
    return n_frames


def _write_dcd(path: Path, topology: mdtraj.Topology, frames: Iterable[np.ndarray]) -> int:
    with atomic_file(path) as file:
        return write_dcd(file, topology.n_atoms, frames)


def _write_pdb(path: Path, topology: mdtraj.Topology, frames: Iterable[np.ndarray]) -> int:
    n_frames = 0
    with (
        new_file(path) as temporary,
        closing(PDBTrajectoryFile(str(temporary), mode="w")) as trajectory,
    ):
        for x in frames:
            for frame in x:
                trajectory.write(_ANGSTROM_PER_NM * frame, topology, modelIndex=n_frames)
                n_frames += 1
    return n_frames


def _write_xtc(path: Path, topology: mdtraj.Topology, frames: Iterable[np.ndarray]) -> int:
    n_frames = 0
    stand_in = None if path.name.isascii() else path.with_name("trajectory.xtc")
    with new_file(path, stand_in=stand_in) as temporary, ascii_folder(temporary.parent) as folder:
        name = str(folder / temporary.name)
        with closing(XTCTrajectoryFile(name, mode="w")) as trajectory:
            for x in frames:
                index = np.arange(n_frames, n_frames + len(x))
                with _cause_named(temporary):
                    trajectory.write(x, time=index.astype(np.float32), step=index.astype(np.int32))
                n_frames += len(x)
        # Closing a file reports no error: whether there was room to the end shows in writing more, and
        # whether all is there in reading the last frame.
        _write_on(temporary)
        if n_frames:
            with _cause_named(temporary), closing(XTCTrajectoryFile(name)) as trajectory:
                trajectory.seek(n_frames - 1)
                trajectory.read(1)
    return n_frames


@contextmanager
def _cause_named(path: Path) -> Iterator[None]:
    """The library for XTC files says that writing failed and not why: the system is asked again."""
    try:
        yield
    except (RuntimeError, OSError, IndexError) as error:
        _write_on(path)
        raise OSError(errno.EIO, os.strerror(errno.EIO)) from error


def _write_on(path: Path) -> None:
    """Write some more of a file, and take it back; raises OSError where that cannot be done."""
    with path.open("ab") as file:
        end = file.tell()
        file.write(bytes(2**13))
        file.flush()
        os.fsync(file.fileno())
        file.truncate(end)
