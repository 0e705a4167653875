"""Trajectories of every format against the positions written, and each thing that can be wrong with one."""

from collections.abc import Callable
from pathlib import Path

import h5py
import mdtraj
import numpy as np
import pytest
import torch

from boltzgen.molecule.system import System
from boltzgen.samples import foreign
from boltzgen.samples.trajectory import iter_frames
from boltzgen.samples.writer import SamplesWriter
from boltzgen.samples.xtc import count_frames
from tests.helpers.posing import made_up_samples


@pytest.fixture(scope="module")
def frames(system: System) -> mdtraj.Trajectory:
    x = made_up_samples(system, 30).x.numpy()
    return mdtraj.Trajectory(x, mdtraj.Topology.from_openmm(system.topology))


def read(path: Path, system: System, **options: object) -> torch.Tensor:
    return torch.cat([part.x for part in iter_frames(path, system, **options)])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("suffix", "rounding"),
    [("h5", 0), ("dcd", 1e-6), ("nc", 1e-6), ("trr", 1e-6), ("xtc", 6e-4), ("pdb", 6e-5)],
)
@pytest.mark.parametrize("with_topology", [False, True])
def test_every_format_is_read_in_chunks(
    system: System,
    frames: mdtraj.Trajectory,
    tmp_path: Path,
    suffix: str,
    rounding: float,
    with_topology: bool,
) -> None:
    path, topology = tmp_path / f"md.{suffix}", tmp_path / "top.pdb"
    frames.save(str(path))
    frames[0].save_pdb(str(topology))
    parts = list(iter_frames(path, system, topology=topology if with_topology else None, chunk=7))
    assert [len(p.x) for p in parts] == [7, 7, 7, 7, 2]
    assert all(
        p.x.dtype == torch.float32 and torch.equal(p.log_w, torch.zeros(len(p.x), dtype=torch.float64))
        for p in parts
    )
    found = torch.cat([p.x for p in parts])
    assert (found - torch.from_numpy(frames.xyz)).abs().max() <= rounding


def test_a_samples_file_brings_its_weights(system: System, tmp_path: Path) -> None:
    samples = made_up_samples(system, 250)
    with SamplesWriter(tmp_path / "s.h5", system, 300.0) as writer:
        writer.write(samples)
    parts = list(iter_frames(tmp_path / "s.h5", system, chunk=100))
    assert [len(p.log_w) for p in parts] == [100, 100, 50]
    assert torch.equal(torch.cat([p.log_w for p in parts]), samples.log_w)
    assert torch.isinf(samples.log_w).any()
    assert torch.equal(torch.cat([p.x for p in parts]), samples.x)


def test_weights_for_another_target_are_refused(system: System, tmp_path: Path) -> None:
    other = System.from_pdb(Path(str(system.folder)) / "topology.pdb", ["amber99sbildn.xml"])
    for name, of, temperature in (("hot.h5", system, 400.0), ("other.h5", other, 300.0)):
        with SamplesWriter(tmp_path / name, of, temperature) as writer:
            writer.write(made_up_samples(system, 10))
    with pytest.raises(ValueError, match="are for 400 K, but alanine_dipeptide is at 300 K"):
        read(tmp_path / "hot.h5", system)
    with pytest.raises(ValueError, match="another target"):
        read(tmp_path / "other.h5", system)


Change = Callable[[mdtraj.Trajectory], mdtraj.Trajectory]


def moved(change: Callable[[np.ndarray], np.ndarray], frame: int | None = None) -> Change:
    def apply(t: mdtraj.Trajectory) -> mdtraj.Trajectory:
        x = t.xyz.copy()
        where = slice(None) if frame is None else slice(frame, frame + 1)
        x[where] = change(x[where])
        return mdtraj.Trajectory(x, t.topology)

    return apply


def shift(atoms: list[int], by: float) -> Callable[[np.ndarray], np.ndarray]:
    def apply(x: np.ndarray) -> np.ndarray:
        x[:, atoms] += by
        return x

    return apply


def reordered(t: mdtraj.Trajectory) -> mdtraj.Trajectory:
    topology = t.topology.copy()
    first, second = topology.atom(0), topology.atom(1)
    first.name, first.element, second.name, second.element = (
        second.name,
        second.element,
        first.name,
        first.element,
    )
    return mdtraj.Trajectory(t.xyz[:, [1, 0, *range(2, 22)]], topology)


def bonded(t: mdtraj.Trajectory) -> mdtraj.Trajectory:
    topology = t.topology.copy()
    topology.add_bond(topology.atom(0), topology.atom(21))
    return mdtraj.Trajectory(t.xyz, topology)


def replaced(t: mdtraj.Trajectory) -> mdtraj.Trajectory:
    topology = t.topology.copy()
    topology.atom(1).element = mdtraj.element.nitrogen
    return mdtraj.Trajectory(t.xyz, topology)


def boxed(t: mdtraj.Trajectory) -> mdtraj.Trajectory:
    split = moved(shift([20, 21], 2.0), 17)(t)
    split.unitcell_lengths, split.unitcell_angles = np.full((30, 3), 2.0), np.full((30, 3), 90.0)
    return split


@pytest.mark.parametrize(
    ("suffix", "change", "message"),
    [
        (
            "h5",
            lambda t: t.atom_slice(range(20)),
            r"has 20 atoms, but alanine_dipeptide has 22.*strip solvent",
        ),
        (
            "xtc",
            lambda t: t.atom_slice(range(20)),
            r"cannot be read as a trajectory of the 22 atoms.*give a file of them as `topology`",
        ),
        ("h5", reordered, r"same atoms in another order: atom 0 is ACE1-CH3 \(C\), expected ACE H1 \(H\)"),
        ("h5", replaced, r"another molecule: atom 1 is ACE1-CH3 \(N\), expected ACE CH3 \(C\)"),
        ("h5", bonded, r"a bond between ACE1-H1 and NME3-H\S* that alanine_dipeptide lacks"),
        ("h5", moved(lambda x: 10 * x), r"10 times as long as expected.*Ångström"),
        ("h5", moved(lambda x: 0.1 * x), r"0.1 times as long as expected"),
        ("h5", moved(lambda x: x * np.nan, 23), r"frame 23 of .* NaN"),
        ("h5", moved(lambda x: x + np.inf, 8), r"frame 8 of .* NaN or infinite"),
        (
            "dcd",
            moved(shift([20, 21], 2.0), 17),
            r"frame 17 of .*was split by a periodic box.*image_molecules",
        ),
        ("dcd", boxed, r"frame 17 of .*is split by the periodic box"),
        ("dcd", moved(lambda x: x[:, [1, 0, *range(2, 22)]]), r"frame 0 of .*in another order"),
    ],
)
def test_what_is_wrong_is_said(
    system: System, frames: mdtraj.Trajectory, tmp_path: Path, suffix: str, change: Change, message: str
) -> None:
    path = tmp_path / f"md.{suffix}"
    change(frames).save(str(path))
    with pytest.raises(ValueError, match=message):
        for _ in iter_frames(path, system, chunk=7):
            pass


def test_files_that_are_no_trajectories(system: System, frames: mdtraj.Trajectory, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no trajectory or topology at"):
        read(tmp_path / "none.xtc", system)
    frames.save_xtc(str(tmp_path / "md.xtc"))
    with pytest.raises(FileNotFoundError, match=r"no trajectory or topology at .*none.pdb"):
        read(tmp_path / "md.xtc", system, topology=tmp_path / "none.pdb")
    for name in ("bad.xtc", "bad.h5", "bad.pdb", "bad.dcd", "md.txt"):
        (tmp_path / name).write_text("nothing of the kind")
        with pytest.raises(ValueError, match="cannot be read as a trajectory"):
            read(tmp_path / name, system)


def test_a_dcd_file_that_is_cut_off_is_refused(
    system: System, frames: mdtraj.Trajectory, tmp_path: Path
) -> None:
    path = tmp_path / "md.dcd"
    for kind in (frames, boxed(frames)):
        kind[:10].save_dcd(str(path))
        whole = path.read_bytes()
        frame = 3 * (4 * 22 + 8) + (56 if kind is not frames else 0)
        for lost in (1, frame - 1, frame, 3 * frame, len(whole) - 200, len(whole) - 20):
            path.write_bytes(whole[:-lost])
            with pytest.raises(ValueError, match=r"md\.dcd cannot be read as a trajectory: it is cut off"):
                read(path, system)
        count = np.array([3], "<i4").tobytes()  # as of a program that was stopped
        path.write_bytes(whole[:8] + count + whole[12:])
        assert len(read(path, system)) == 10


@pytest.mark.parametrize("atoms", [22, 9])
def test_an_xtc_file_that_is_cut_off_within_a_frame_is_refused(
    system: System, frames: mdtraj.Trajectory, tmp_path: Path, atoms: int
) -> None:
    path = tmp_path / "md.xtc"
    sizes = []
    for n in (1, 9, 10):
        frames[:n].atom_slice(range(atoms)).save_xtc(str(path))
        sizes.append(path.stat().st_size)
        assert count_frames(path) == n
    whole = path.read_bytes()
    for size in (1, sizes[0] - 1, sizes[0] + 1, sizes[1] + 4, sizes[1] + 57, sizes[1] + 91, sizes[2] - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"md\.xtc cannot be read as a trajectory: it is cut off within"):
            read(path, system)
    path.write_bytes(whole[: sizes[1]])
    assert count_frames(path) == 9
    path.write_bytes(whole[:4] + b"?" + whole[5:])
    with pytest.raises(ValueError, match="does not have an XTC frame where frame 0 should begin"):
        read(path, system)


def test_frames_that_the_reader_leaves_out_are_missed(
    system: System, frames: mdtraj.Trajectory, tmp_path: Path
) -> None:
    path = tmp_path / "md.dcd"
    frames.save_dcd(str(path))
    content = bytearray(path.read_bytes())
    content[-(3 * (4 * 22 + 8)) * 4] ^= 64  # the length of a record, four frames from the end
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is damaged: only .. of its 30 frames can be read"):
        read(path, system)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("kill -SEGV $$", r"reading it crashes the process that does \(exit code -11\): it is damaged"),
        ('printf \'{"shape": [2, 22, 3], "periodic": false, "topology": null}\n123\'', "crashes"),
        ("exec sleep 60", "reading it does not end within 1 s"),
    ],
)
def test_a_reader_that_crashes_or_hangs_is_an_error(
    system: System,
    frames: mdtraj.Trajectory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    message: str,
) -> None:
    frames.save_xtc(str(tmp_path / "md.xtc"))
    reader = tmp_path / "reader"
    reader.write_text(f"#!/bin/sh\n{script}\n")
    reader.chmod(0o755)
    monkeypatch.setattr(foreign.sys, "executable", str(reader))
    monkeypatch.setattr(foreign, "_PATIENCE", 1.0 if "sleep" in script else 60.0)
    with pytest.raises(ValueError, match=message):
        read(tmp_path / "md.xtc", system)


def test_a_reader_ends_when_nobody_reads_on(
    system: System, frames: mdtraj.Trajectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    start = foreign.subprocess.Popen
    monkeypatch.setattr(
        foreign.subprocess, "Popen", lambda *a, **k: (started.append(start(*a, **k)), started[-1])[1]
    )
    frames.save_xtc(str(tmp_path / "md.xtc"))
    parts = iter_frames(tmp_path / "md.xtc", system, chunk=1)
    next(parts)
    parts.close()  # type: ignore[attr-defined]
    assert [process.returncode is not None for process in started] == [True]


def test_topologies_and_units_of_hdf5_files(
    system: System, frames: mdtraj.Trajectory, tmp_path: Path
) -> None:
    path, other = tmp_path / "md.h5", tmp_path / "angstroms.h5"
    frames.save_hdf5(str(path))
    frames.save_xtc(str(tmp_path / "md.xtc"))
    assert len(read(tmp_path / "md.xtc", system, topology=path)) == 30
    with h5py.File(path) as a, h5py.File(other, "w") as b:
        a.copy("topology", b)
        b["coordinates"] = 10 * a["coordinates"][:].astype("f8")
        b["coordinates"].attrs["units"] = "angstroms"
    assert torch.allclose(read(other, system), torch.from_numpy(frames.xyz), atol=1e-6)
    changes: list[tuple[Callable[[h5py.File], object], str]] = [
        (lambda f: f["topology"].write_direct(np.array([b"[]"])), "has no topology of MDTraj's"),
        (
            lambda f: f["coordinates"].attrs.modify("units", "furlongs"),
            r"in nanometers, got .* in 'furlongs'",
        ),
        (lambda f: f.pop("coordinates"), "expected coordinates .*, got none"),
        (lambda f: f.create_dataset("coordinates", data=np.zeros((3, 22, 3), int)), "floats, .*, got int64"),
    ]
    for change, message in changes:
        with h5py.File(other, "r+") as file:
            change(file)
        with pytest.raises(ValueError, match=message):
            read(other, system)


def test_a_lossy_hdf5_file_is_refused(system: System, frames: mdtraj.Trajectory, tmp_path: Path) -> None:
    frames.save_hdf5(str(tmp_path / "md.lh5"))
    frames.save_xtc(str(tmp_path / "md.xtc"))
    with pytest.raises(ValueError, match="can run code"):
        read(tmp_path / "md.lh5", system)
    with pytest.raises(ValueError, match="can run code"):
        read(tmp_path / "md.xtc", system, topology=tmp_path / "md.lh5")
