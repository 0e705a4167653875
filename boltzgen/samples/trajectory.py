"""Trajectories of other programs, read in chunks and checked against a molecule.

Every format that MDTraj reads, and samples files.
"""

import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import mdtraj
import numpy as np
import torch
from torch import Tensor

from boltzgen.hdf5 import open_hdf5
from boltzgen.molecule.system import System
from boltzgen.samples import dcd, foreign, mdtraj_hdf5, xtc
from boltzgen.samples.contents import iter_draws, read_header
from boltzgen.samples.header import SamplesHeader
from boltzgen.samples.mdtraj_hdf5 import SUFFIXES

#: A bond this many times longer, or shorter, than in the reference structure is no bond.
_BROKEN = 1.5


class Frames(NamedTuple):
    """Consecutive frames of a trajectory.

    Attributes:
        x: positions, float32 (n, n_atoms, 3) in nm.
        log_w: log-weights, float64 (n,): those of a samples file, else 0.
    """

    x: Tensor
    log_w: Tensor


def iter_frames(
    path: str | os.PathLike[str],
    system: System,
    *,
    topology: str | os.PathLike[str] | None = None,
    chunk: int = 4096,
) -> Iterator[Frames]:
    """The frames of a trajectory of `system` in order, at most `chunk` at a time, each one checked.

    Atoms and bonds are checked against the trajectory's own topology, or that of the file `topology` where
    its format holds none; without either, the atoms' order shows in the bond lengths alone, which are checked
    in every frame. A samples file brings its weights. Formats other than HDF5 are read in a process of their
    own, since a damaged file can end it.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it cannot be read or is cut off, belongs to another molecule (atoms, order, bonds) or to
            another target (the weights of a samples file), is not in nm, has a molecule that is split by a
            periodic box, or a coordinate that is not finite.
    """
    path = Path(path)
    for file in (path, *([] if topology is None else [Path(topology)])):
        if not file.is_file():
            raise FileNotFoundError(f"no trajectory or topology at {file}")
    bonds = _Bonds(system)
    start = 0
    for x, log_w, found, periodic in _parts(path, system, topology, chunk):
        if start == 0 and found is not None:
            _check_topology(found, system, path)
        if start == 0 and x.shape[1] != system.n_atoms:
            raise ValueError(
                f"{path} has {x.shape[1]} atoms, but {system.name} has {system.n_atoms}; expected the "
                "molecule alone, with every hydrogen"
            )
        bonds.check(x, start, path, periodic=periodic)
        yield Frames(x, log_w)
        start += len(x)
    if start == 0:
        raise ValueError(f"{path} holds no frames; expected a trajectory of {system.name}")


def _parts(
    path: Path, system: System, topology: str | os.PathLike[str] | None, chunk: int
) -> Iterator[tuple[Tensor, Tensor, mdtraj.Topology | None, bool]]:
    """Positions, log-weights, topology, and whether there is a periodic box, of at most `chunk` frames."""
    if path.suffix.lower() in SUFFIXES and _is_samples_file(path):
        header = read_header(path)
        _check_target(header, system, path)
        for samples in iter_draws(path, chunk):
            yield samples.x, samples.log_w, header.mdtraj_topology, False
        return
    for x, found, periodic in _foreign_parts(path, system, topology, chunk):
        yield torch.from_numpy(x), torch.zeros(len(x), dtype=torch.float64), found, periodic


def _foreign_parts(
    path: Path, system: System, topology: str | os.PathLike[str] | None, chunk: int
) -> Iterator[tuple[np.ndarray, mdtraj.Topology | None, bool]]:
    """Positions (m, n_atoms, 3) in nm, topology and box; whatever goes wrong in reading is one ValueError."""
    if path.suffix.lower() in SUFFIXES:
        yield from mdtraj_hdf5.read_frames(path, chunk)
        return
    own = path.suffix.lower() in foreign.SELF_CONTAINED
    n_frames, n_read = _count_frames(path), 0
    try:
        _refuse_code(path)
        given = None if topology is None or own else _read_topology(Path(topology))
        n_atoms = system.n_atoms if given is None else given.n_atoms
        for x, found, periodic in foreign.read_frames(path, chunk, n_atoms):
            n_read += len(x)
            yield x, given or found, periodic
    except (OSError, ValueError, TypeError, KeyError) as error:
        detail = next(iter(str(error).strip().splitlines()), type(error).__name__)
        hint = (
            ""
            if topology or own
            else "; if its atoms are not this molecule's, give a file of them as `topology`"
        )
        raise ValueError(
            f"{path} cannot be read as a trajectory of the {system.n_atoms} atoms of {system.name}: "
            f"{detail}{hint}"
        ) from error
    if n_read < (n_frames or 0):
        raise ValueError(f"{path} is damaged: only {n_read} of its {n_frames} frames can be read")


def _count_frames(path: Path) -> int | None:
    """The number of frames that a trajectory must have, where its format lets it be known beforehand."""
    count = {".dcd": dcd.count_frames, ".xtc": xtc.count_frames}.get(path.suffix.lower())
    try:
        return None if count is None else count(path)
    except ValueError as error:
        raise ValueError(f"{path} cannot be read as a trajectory: {error}") from error


def _refuse_code(path: Path) -> None:
    if path.suffix.lower() in foreign.REFUSED:
        raise ValueError(f"{path.suffix} files can run code when they are read; write HDF5 or XTC instead")


def _read_topology(path: Path) -> mdtraj.Topology:
    if path.suffix.lower() in SUFFIXES:
        return mdtraj_hdf5.read_topology(path)
    _refuse_code(path)
    return foreign.read_topology(path)


def _is_samples_file(path: Path) -> bool:
    with open_hdf5(path, "a trajectory") as file:
        return "log_w" in file


def _check_target(header: SamplesHeader, system: System, path: Path) -> None:
    """Raise unless the weights of a samples file are those of the system's target."""
    if header.fingerprint != system.fingerprint:
        raise ValueError(
            f"the weights in {path} are for another target ({header.system}, another force field or domain) "
            f"than {system.name}; if its frames shall count as they are, export them with equal weights "
            "(`samples.export.export`, the command `boltzgen export`)"
        )
    if not math.isclose(header.temperature, system.temperature, rel_tol=1e-6):
        raise ValueError(
            f"the weights in {path} are for {header.temperature:g} K, but {system.name} is at "
            f"{system.temperature:g} K; draw samples at that temperature"
        )


def _check_topology(found: Any, system: System, path: Path) -> None:
    """Raise unless a trajectory has the system's atoms, in its order, and no bond that the system lacks."""
    atoms, ours = list(found.atoms), list(system.topology.atoms())
    if len(atoms) != len(ours):
        raise ValueError(
            f"{path} has {len(atoms)} atoms, but {system.name} has {len(ours)}; expected the molecule "
            "alone: strip solvent and ions "
            "(mdtraj's atom_slice), and keep every hydrogen"
        )
    elements = [a.element.symbol if a.element is not None else "?" for a in atoms]
    wrong = next(
        (
            i
            for i, (a, b) in enumerate(zip(elements, system.graph.elements, strict=True))
            if a not in (b, "?", "VS")
        ),
        None,
    )
    if wrong is not None:
        kind = (
            "the same atoms in another order"
            if sorted(elements) == sorted(system.graph.elements)
            else "another molecule"
        )
        raise ValueError(
            f"{path} holds {kind}: atom {wrong} is {atoms[wrong]} ({elements[wrong]}), expected "
            f"{ours[wrong].residue.name} {ours[wrong].name} "
            f"({system.graph.elements[wrong]}); reorder the atoms (mdtraj's atom_slice) or take the "
            "system's topology from the same file"
        )
    for bond in found.bonds:
        i, j = sorted((bond[0].index, bond[1].index))
        if j not in system.graph.neighbours[i]:
            raise ValueError(
                f"{path} has a bond between {atoms[i]} and {atoms[j]} that {system.name} lacks; it is "
                "another molecule or another atom order"
            )


class _Bonds:
    """The bond lengths of a molecule's reference structure, to check frames against."""

    def __init__(self, system: System) -> None:
        self.pairs = [(i, j) for i, near in enumerate(system.graph.neighbours) for j in near if i < j]
        self.names = [f"{a.residue.name} {a.name}" for a in system.topology.atoms()]
        self.lengths = self._measure(system.positions.float())

    def _measure(self, x: Tensor) -> Tensor:
        first, second = zip(*self.pairs, strict=True)
        return (x[..., first, :] - x[..., second, :]).norm(dim=-1)

    def check(self, x: Tensor, start: int, path: Path, *, periodic: bool) -> None:
        """Raise if a frame of x (n, n_atoms, 3) lacks these bonds in nm; its first is frame `start`."""
        bad = ~x.isfinite().flatten(1).all(1)
        if bad.any():
            raise ValueError(
                f"frame {start + int(bad.nonzero()[0])} of {path} has a coordinate that is NaN or infinite; "
                "remove such frames"
            )
        ratio = self._measure(x) / self.lengths
        for factor, unit in ((10.0, "Ångström"), (0.1, "units of 10 nm")):
            if start == 0 and 0.7 * factor < float(ratio[0].median()) < 1.4 * factor:
                raise ValueError(
                    f"bonds in {path} are {factor:g} times as long as expected: its positions seem to be in "
                    f"{unit}; write them in nm"
                )
        broken = (ratio > _BROKEN) | (ratio < 1 / _BROKEN)
        if broken.any():
            frame, bond = (int(k) for k in broken.nonzero()[0])
            i, j = self.pairs[bond]
            expected = float(self.lengths[bond])
            split = (
                "the molecule is split by the periodic box"
                if periodic
                else "the molecule was split by a periodic box"
            )
            raise ValueError(
                f"frame {start + frame} of {path}: {self.names[i]} and {self.names[j]} are "
                f"{expected * float(ratio[frame, bond]):.3f} nm apart, but "
                f"their bond is {expected:.3f} nm: {split} (make it whole: mdtraj's image_molecules, gmx "
                "trjconv -pbc mol), or its atoms are in "
                "another order"
            )
