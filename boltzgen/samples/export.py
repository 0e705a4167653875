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
from boltzgen.samples.draws import Draws
from boltzgen.samples.mdtraj_hdf5 import add_coordinates, describe_frames
from boltzgen.samples.sdf import read_connections, records
from boltzgen.samples.whole_file import new_file, new_hdf5
from boltzgen.storage import atomic_file
from boltzgen.units import kt
from boltzgen.weights import resampled_indices

#: Formats that samples are exported to: they come from HDF5 files.
FORMATS = (".dcd", ".xtc", ".pdb", ".sdf")
#: Fewest bytes that an atom's position takes in each format.
_BYTES = {".dcd": 12, ".h5": 12, ".pdb": 80, ".sdf": 80, ".xtc": 2}
#: Formats of `write_frames`, of nothing but positions.
_TRAJECTORIES = (".dcd", ".h5", ".pdb", ".xtc")
_WITHOUT_TOPOLOGY = (".dcd", ".xtc")
_ANGSTROM_PER_NM = 10.0


def export(
    path: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    resample: int | None = None,
    seed: int = 0,
    system: str | os.PathLike[str] | None = None,
) -> int:
    """Write a samples file as a DCD, XTC or PDB trajectory or as an SDF file; return the number of frames.

    Without `resample`, frames are the samples in order, one for one: they do *not* have equal weight. With
    it, so many frames of equal weight are drawn with replacement, in the order of the file. XTC keeps 0.001
    nm, PDB 0.0001 and SDF 0.00001 nm. See `write_frames`. Memory does not grow with the size of the
    conformations.

    In an SDF file each conformation has properties: `draw`, its place in the file, from 0; `energy_kJ_mol`,
    of the force field; and, without `resample`, `log_w` and `weight`, its share of the whole weight.

    Args:
        path: of the samples.
        target: of the trajectory; its ending says the format.
        resample: so many frames of equal weight.
        seed: of the resampling.
        system: for an SDF file, the folder that `prepare` made of the small molecule, with its
            ``molecule.sdf``; or another SDF file of it, with the same order of atoms.

    Raises:
        FileNotFoundError: no such samples file, or no folder for the target, or no SDF file.
        ValueError: not a samples file, an unknown format, or (with `resample`) no sample with any weight; or
            the SDF file is of another molecule.
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
    if target.suffix.lower() == ".sdf":
        return _write_sdf(path, target, chosen, system)
    if system is not None:
        raise ValueError("`system` is for a target that ends in .sdf; leave it out")
    return write_frames(
        target, read_topology(path), (draws.x.numpy() for _, draws in chosen_draws(path, chosen))
    )


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
    check_target(path, _TRAJECTORIES)
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


def chosen_draws(
    path: str | os.PathLike[str], chosen: np.ndarray | None
) -> Iterator[tuple[np.ndarray, Draws]]:
    """Draws of a samples file with their places, chunk by chunk: all, or those of sorted places."""
    start = 0
    for chunk in iter_draws(path):
        places = np.arange(start, start + len(chunk))
        if chosen is not None:
            low, high = np.searchsorted(chosen, (start, start + len(chunk)))
            places = chosen[low:high]
        start += len(chunk)
        if len(places):
            yield places, chunk[places - (start - len(chunk))]


def positions_at(path: str | os.PathLike[str], places: Iterable[int]) -> dict[int, np.ndarray]:
    """Positions (n_atoms, 3) in nm of some of a file's draws, by their places; for a few of them."""
    return {
        int(place): x
        for found, draws in chosen_draws(path, np.unique(np.fromiter(places, dtype=np.int64)))
        for place, x in zip(found, draws.x.numpy(), strict=True)
    }


def _write_sdf(
    path: str | os.PathLike[str],
    target: Path,
    chosen: np.ndarray | None,
    system: str | os.PathLike[str] | None,
) -> int:
    if system is None:
        raise ValueError(
            "an SDF file has orders of bonds, which samples do not know: give as `system` the folder that "
            "`boltzgen prepare` made of the small molecule, or its SDF file"
        )
    connections = read_connections(system, read_topology(path))
    unit = kt(read_header(path).temperature)
    log_sum = float(read_log_weights(path).logsumexp(0)) if chosen is None else 0.0

    def frames() -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
        for places, draws in chosen_draws(path, chosen):
            properties = {"draw": places, "energy_kJ_mol": unit * draws.u.numpy()}
            if chosen is None:
                log_w = draws.log_w.numpy()
                properties |= {"log_w": log_w, "weight": np.exp(log_w - log_sum)}
            yield draws.x.numpy(), properties

    n_frames = 0
    with atomic_file(target) as file:
        for record in records(connections, frames()):
            file.write(record.encode())
            n_frames += 1
    return n_frames


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
