"""No sample that was written is lost: interrupted, killed and failing writers leave them, others go on."""

import os
import resource
import signal
from pathlib import Path

import mdtraj
import pytest
import torch

from boltzgen.molecule.system import System
from boltzgen.samples.file import read_samples
from boltzgen.samples.journal import Journal
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.samples.writer import SamplesWriter
from tests.helpers.posing import made_up_samples
from tests.helpers.processes import in_a_child

CHUNK = 64


@pytest.fixture(scope="module")
def samples(system: System) -> WeightedSamples:
    return made_up_samples(system, 300)


def write(
    path: Path,
    samples: WeightedSamples,
    system: System,
    stop: int | None = None,
    **options: object,
) -> None:
    """Write what is not there yet, chunk by chunk; be interrupted before sample `stop`."""
    writer = SamplesWriter(path, system, 300.0, seed=5, **options)  # type: ignore[arg-type]
    with writer:
        for start in range(writer.n_samples, len(samples), CHUNK):
            if stop is not None and start >= stop:
                raise KeyboardInterrupt
            writer.n_energy_evaluations += CHUNK
            writer.write(samples[start : start + CHUNK])


def assert_equal(a: WeightedSamples, b: WeightedSamples) -> None:
    for name in ("x", "u", "log_q", "log_w"):
        torch.testing.assert_close(getattr(a, name), getattr(b, name), rtol=0, atol=0, equal_nan=True)


def killed(path: Path, samples: WeightedSamples, system: System, n: int) -> None:
    """What a writer that is killed after n samples leaves."""
    writer = SamplesWriter(path, system, 300.0, seed=5)
    journal = Journal.create(writer._journal_path, writer._said)
    for start in range(0, n, CHUNK):
        journal.append(samples[start : min(start + CHUNK, n)], start + CHUNK)
    journal.close()


def test_a_whole_file_replaces_an_older_one(tmp_path: Path, samples: WeightedSamples, system: System) -> None:
    write(tmp_path / "s.h5", samples[:5], system)
    write(tmp_path / "s.h5", samples, system)
    assert len(read_samples(tmp_path / "s.h5")) == 300
    assert os.listdir(tmp_path) == ["s.h5"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_an_exception_leaves_the_old_file_and_what_was_written(
    tmp_path: Path, samples: WeightedSamples, system: System, error: type[BaseException]
) -> None:
    path = tmp_path / "s.h5"
    write(path, samples[:5], system)
    old = path.read_bytes()
    writer = SamplesWriter(path, system, 300.0)
    with pytest.raises(error) as caught, writer:
        writer.write(samples[:100])
        raise error
    assert sorted(os.listdir(tmp_path)) == ["s.h5", "s.partial.h5"]
    assert path.read_bytes() == old
    assert writer.kept == tmp_path / "s.partial.h5"
    assert caught.value.__notes__ == [f"100 samples are kept in {writer.kept}: go on with `resume=True`"]
    assert_equal(read_samples(tmp_path / "s.partial.h5"), samples[:100])
    assert mdtraj.load(str(tmp_path / "s.partial.h5")).n_frames == 100
    with pytest.raises(error), SamplesWriter(tmp_path / "none.h5", system, 300.0):
        raise error
    assert not list(tmp_path.glob("none*"))


@pytest.mark.parametrize("stops", [[64], [64, 128], [0, 256]])
@pytest.mark.parametrize("how", ["interrupted", "killed"])
def test_a_writer_that_goes_on_gives_the_file_of_one_that_was_not_stopped(
    tmp_path: Path, samples: WeightedSamples, system: System, stops: list[int], how: str
) -> None:
    path = tmp_path / "s.h5"
    write(path, samples, system)
    whole = path.read_bytes()
    path.unlink()
    for stop in stops:
        if how == "killed":
            killed(path, samples, system, stop)
        else:
            with pytest.raises(KeyboardInterrupt):
                write(path, samples, system, stop, resume=True)
    write(path, samples, system, resume=True)
    assert path.read_bytes() == whole
    assert os.listdir(tmp_path) == ["s.h5"]


def test_more_samples_are_added_to_a_file(tmp_path: Path, samples: WeightedSamples, system: System) -> None:
    write(tmp_path / "s.h5", samples[:100], system, resume=True)
    write(tmp_path / "s.h5", samples, system, resume=True)
    assert_equal(read_samples(tmp_path / "s.h5"), samples)


def test_what_was_left_is_not_lost_by_starting_again(
    tmp_path: Path, samples: WeightedSamples, system: System
) -> None:
    path = tmp_path / "s.h5"
    killed(path, samples, system, 100)
    with pytest.raises(
        FileExistsError, match=r"s\.h5\.journal holds 100 samples .*`resume=True`, or begin anew"
    ):
        write(path, samples, system)
    (tmp_path / "s.h5.journal").unlink()
    with pytest.raises(KeyboardInterrupt):
        write(path, samples, system, 128)
    with pytest.raises(FileExistsError, match=r"s\.partial\.h5 holds 128 samples"):
        write(path, samples, system)
    killed(path, samples, system, 64)  # while it began to go on
    assert len(list(tmp_path.iterdir())) == 2
    write(path, samples, system, resume=True)
    assert os.listdir(tmp_path) == ["s.h5"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 6}, "another seed than these: 5"),
        ({"temperature": 310.0}, "another temperature than these: 300.0"),
        ({"generator": "g"}, "another generator than these;"),
    ],
)
@pytest.mark.parametrize("how", ["interrupted", "killed", "done"])
def test_only_the_same_is_gone_on_with(
    tmp_path: Path,
    samples: WeightedSamples,
    system: System,
    change: dict[str, object],
    message: str,
    how: str,
) -> None:
    path = tmp_path / "s.h5"
    if how == "killed":
        killed(path, samples, system, 100)
    elif how == "done":
        write(path, samples, system)
    else:
        with pytest.raises(KeyboardInterrupt):
            write(path, samples, system, 128)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    arguments = {"path": path, "system": system, "temperature": 300.0, "seed": 5, "resume": True} | change
    with pytest.raises(ValueError, match=message), SamplesWriter(**arguments):  # type: ignore[arg-type]
        pass
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


def test_a_journal_is_whole_up_to_where_it_was_cut_or_changed(
    tmp_path: Path, samples: WeightedSamples, system: System
) -> None:
    path = tmp_path / "s.h5.journal"
    killed(tmp_path / "s.h5", samples, system, 300)
    whole = path.read_bytes()
    assert Journal.open(path).n_samples == 300
    for spoiled in (whole[:-1], whole[:-5000], whole[:-3000] + b"?" + whole[-2999:]):
        path.write_bytes(spoiled)
        journal = Journal.open(path)
        assert journal.n_samples == 256
        assert_equal(WeightedSamples.concatenate(list(journal.chunks())), samples[:256])
        journal.append(samples[256:], 320)
        journal.close()
        assert path.read_bytes() == whole
    for spoiled in (b"", b"nothing of the kind", whole[:20]):
        path.write_bytes(spoiled)
        with pytest.raises(ValueError, match="is no journal of samples .*; delete it"):
            Journal.open(path)


def test_one_process_at_a_time_writes_a_file(
    tmp_path: Path, samples: WeightedSamples, system: System
) -> None:
    with SamplesWriter(tmp_path / "s.h5", system, 300.0) as writer:
        writer.write(samples)
        with (
            pytest.raises(BlockingIOError, match=f"being written by process {os.getpid()}"),
            SamplesWriter(tmp_path / "s.h5", system, 300.0, resume=True),
        ):
            pass
    assert len(read_samples(tmp_path / "s.h5")) == 300


@pytest.mark.parametrize(
    ("room", "left"),  # bytes: the first chunk does not fit; the second does not; the file does not
    [(3_000, None), (60_000, "s.partial.h5"), (92_500, "s.h5.journal")],
)
def test_a_full_disk_leaves_what_was_written_and_says_so(
    tmp_path: Path, samples: WeightedSamples, system: System, room: int, left: str | None
) -> None:
    path, said = tmp_path / "s.h5", tmp_path / "said"

    def work() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
        try:
            with SamplesWriter(path, system, 300.0) as writer:
                writer.write(samples[:150])
                writer.write(samples[150:])
        except OSError as error:
            said.write_text(str(error))

    assert in_a_child(work) == 0
    assert "cannot write (File too large); free some space or choose another place" in said.read_text()
    said.unlink()
    assert os.listdir(tmp_path) == ([left] if left else [])
    if left:
        with SamplesWriter(path, system, 300.0, resume=True) as writer:
            assert writer.n_samples == (150 if left == "s.partial.h5" else 300)
        assert_equal(read_samples(path), samples[: writer.n_samples])


def test_a_killed_process_leaves_its_chunks(tmp_path: Path, samples: WeightedSamples, system: System) -> None:
    def work() -> None:
        with SamplesWriter(tmp_path / "s.h5", system, 300.0) as writer:
            writer.write(samples[:100])
            os.kill(os.getpid(), signal.SIGKILL)

    assert in_a_child(work) == -signal.SIGKILL
    assert sorted(os.listdir(tmp_path)) == [".s.h5.lock", "s.h5.journal"]
    with SamplesWriter(tmp_path / "s.h5", system, 300.0, resume=True) as writer:
        assert writer.n_samples == 100
    assert os.listdir(tmp_path) == ["s.h5"]


def test_a_missing_folder_or_a_wrong_name_is_refused_at_once(tmp_path: Path, system: System) -> None:
    with pytest.raises(FileNotFoundError, match=r"the folder .*nowhere does not exist"):
        SamplesWriter(tmp_path / "nowhere" / "s.h5", system, 300.0)
    with pytest.raises(ValueError, match=r"ends in \.h5 or \.hdf5, got .*s\.dcd"):
        SamplesWriter(tmp_path / "s.dcd", system, 300.0)
    with pytest.raises(ValueError, match="positive number of kelvin"):
        SamplesWriter(tmp_path / "s.h5", system, -1.0)
    (tmp_path / "folder.h5").mkdir()
    with pytest.raises(IsADirectoryError, match="is a folder"):
        SamplesWriter(tmp_path / "folder.h5", system, 300.0)


def test_samples_that_are_not_what_they_say_are_refused(
    tmp_path: Path, samples: WeightedSamples, system: System
) -> None:
    zero = torch.zeros(2)
    for bad, message in (
        (WeightedSamples.from_energies(torch.zeros(2, 5, 3), zero, zero), "positions of 22 atoms"),
        (samples.resample(20), r"sample 0 has log_w = 0, but its u = .*"),
        (WeightedSamples.from_energies(torch.full((2, 22, 3), torch.nan), zero, zero), "are not finite"),
    ):
        with (
            pytest.raises(ValueError, match=message),
            SamplesWriter(tmp_path / "s.h5", system, 300.0) as writer,
        ):
            writer.write(bad)
    assert os.listdir(tmp_path) == []
