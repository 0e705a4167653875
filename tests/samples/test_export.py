"""Exported trajectories hold the samples, frame by frame or resampled to equal weight."""

import errno
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import mdtraj
import numpy as np
import pytest
import torch

from boltzgen.molecule.system import System
from boltzgen.samples.export import export, write_frames
from boltzgen.samples.trajectory import iter_frames
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.samples.writer import SamplesWriter
from tests.helpers.posing import made_up_samples
from tests.helpers.processes import in_a_child


@pytest.fixture(scope="module")
def samples() -> WeightedSamples:
    return made_up_samples(System.load("alanine_dipeptide"), 500, spread=1.0)


@pytest.fixture(scope="module")
def file(samples: WeightedSamples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("samples") / "s.h5"
    with SamplesWriter(path, System.load("alanine_dipeptide"), 300.0) as writer:
        writer.write(samples)
    return path


@pytest.mark.parametrize(("suffix", "precision"), [(".dcd", 1e-6), (".xtc", 6e-4), (".pdb", 6e-5)])
def test_every_frame_is_there_in_order_and_in_nm(
    file: Path, samples: WeightedSamples, tmp_path: Path, suffix: str, precision: float
) -> None:
    target = tmp_path / f"out{suffix}"
    assert export(file, target) == 500
    trajectory = mdtraj.load(str(target), **({} if suffix == ".pdb" else {"top": str(file)}))
    np.testing.assert_allclose(trajectory.xyz, samples.x.numpy(), atol=precision)
    assert trajectory.topology.n_bonds == 21
    beside = [] if suffix == ".pdb" else ["out.topology.pdb"]
    assert sorted(os.listdir(tmp_path)) == sorted([target.name, *beside])
    for name in beside:
        first = mdtraj.load(str(tmp_path / name))
        assert first.topology == samples.mdtraj_topology
        np.testing.assert_allclose(first.xyz, samples.x[:1].numpy(), atol=6e-5)


def test_resampled_frames_have_equal_weight(
    file: Path, samples: WeightedSamples, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from boltzgen.samples import export as module

    monkeypatch.setattr(module, "iter_draws", lambda path, read=module.iter_draws: read(path, chunk=60))
    assert export(file, tmp_path / "a.dcd", resample=20_000, seed=3) == 20_000
    xyz = mdtraj.load(str(tmp_path / "a.dcd"), top=str(file)).xyz
    exact = {"compute_mode": "donot_use_mm_for_euclid_dist"}
    distance = torch.cdist(torch.from_numpy(xyz).reshape(20_000, -1), samples.x.reshape(500, -1), **exact)
    assert float(distance.min(1).values.max()) < 1e-5
    counts = torch.bincount(distance.argmin(1), minlength=500) / 20_000
    weights = torch.softmax(samples.log_w, 0)
    assert float((counts - weights).abs().max()) < 6 * float((weights.max() / 20_000).sqrt())
    assert counts[::100].sum() == 0  # outside the domain
    export(file, tmp_path / "b.dcd", resample=20_000, seed=3)
    assert (tmp_path / "a.dcd").read_bytes() == (tmp_path / "b.dcd").read_bytes()


@pytest.mark.parametrize(
    ("target", "error", "message"),
    [
        ("out.txt", ValueError, r"\.dcd or \.xtc or \.pdb"),
        ("no/out.dcd", FileNotFoundError, "folder .* does not exist"),
    ],
)
def test_a_target_that_cannot_be_made_is_refused(
    file: Path, tmp_path: Path, target: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        export(file, tmp_path / target)


@pytest.mark.parametrize(
    ("suffix", "precision"), [(".h5", 0.0), (".dcd", 1e-6), (".xtc", 6e-4), (".pdb", 6e-5)]
)
def test_frames_are_written_part_by_part(
    samples: WeightedSamples, tmp_path: Path, suffix: str, precision: float
) -> None:
    target, topology = tmp_path / f"out{suffix}", samples.mdtraj_topology
    x = samples.x.numpy()
    assert write_frames(target, topology, (x[:0], x[:7], x[7:30])) == 30
    own = {} if suffix in (".h5", ".pdb") else {"top": topology}
    trajectory = mdtraj.load(str(target), **own)
    np.testing.assert_allclose(trajectory.xyz, x[:30], atol=precision)
    assert trajectory.topology.n_bonds == 21
    assert trajectory.n_frames == 30

    def broken() -> Iterator[np.ndarray]:
        yield x[:5]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_frames(target, topology, broken())
    assert mdtraj.load(str(target), **own).n_frames == 30
    beside = ["out.topology.pdb"] if own else []
    assert sorted(os.listdir(tmp_path)) == sorted([target.name, *beside])
    with pytest.raises(ValueError, match=r"ends in \.dcd or \.h5"):
        write_frames(tmp_path / "out.trr", topology, [x])


def test_an_error_leaves_no_file(tmp_path: Path) -> None:
    system = System.load("alanine_dipeptide")
    x = torch.full((3, 22, 3), torch.nan)
    with SamplesWriter(tmp_path / "s.h5", system, 300.0) as writer:
        writer.write(WeightedSamples.from_energies(x, torch.full((3,), torch.inf), torch.zeros(3)))
    with pytest.raises(ValueError):  # a PDB file cannot hold NaN
        export(tmp_path / "s.h5", tmp_path / "out.pdb")
    assert os.listdir(tmp_path) == ["s.h5"]


@pytest.mark.parametrize("suffix", [".dcd", ".h5", ".pdb", ".xtc"])
@pytest.mark.parametrize("share", [0.001, 0.5, 0.999])
def test_a_full_disk_is_one_error_and_leaves_nothing(
    samples: WeightedSamples, tmp_path: Path, capfd: pytest.CaptureFixture[str], suffix: str, share: float
) -> None:
    topology, x = samples.mdtraj_topology, samples.x.numpy()
    write_frames(tmp_path / f"whole{suffix}", topology, x[:300].reshape(3, 100, 22, 3))
    size = (tmp_path / f"whole{suffix}").stat().st_size
    folder = tmp_path / "full"
    folder.mkdir()

    def work() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(share * size), size))
        try:
            write_frames(folder / f"out{suffix}", topology, x[:300].reshape(3, 100, 22, 3))
        except OSError as error:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
            (tmp_path / "said").write_text(f"{error.errno} {error}")

    assert in_a_child(work) == 0
    assert (tmp_path / "said").read_text().startswith(str(errno.EFBIG))
    assert "write" in (tmp_path / "said").read_text() and "File too large" in (tmp_path / "said").read_text()
    assert os.listdir(folder) == []
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("suffix", [".dcd", ".h5", ".pdb", ".xtc"])
@pytest.mark.parametrize("name", ["Dateiü/größe", "Ordner/größe", "Dateiü/size"])
def test_names_may_have_any_letters(samples: WeightedSamples, tmp_path: Path, suffix: str, name: str) -> None:
    target, x = tmp_path / f"{name}{suffix}", samples.x.numpy()
    target.parent.mkdir()
    assert write_frames(target, samples.mdtraj_topology, [x[:20]]) == 20
    files = [target.name] + ([f"{target.stem}.topology.pdb"] if suffix in (".dcd", ".xtc") else [])
    assert sorted(os.listdir(target.parent)) == sorted(files)
    system = System.load("alanine_dipeptide")
    found = torch.cat([part.x for part in iter_frames(target, system)])
    assert float((found - samples.x[:20]).abs().max()) < 6e-4


def test_more_frames_than_there_is_room_for_are_refused_at_once(file: Path, tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"100000000000 frames take 2.6e\+13 bytes or more, and .* are free"):
        export(file, tmp_path / "out.dcd", resample=10**11)
    assert os.listdir(tmp_path) == []
