"""One process at a time in a folder."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from boltzgen.locks import locked, working_folder

HOLD = """
import sys
from pathlib import Path
from boltzgen.locks import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("name", ["folder", "samples.h5"])
def test_a_lock_is_held_by_one_and_ends_with_it(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "folder":
        path.mkdir()
    refusal = pytest.raises(BlockingIOError, match=f"being written by process {os.getpid()}; wait")
    with locked(path), refusal:
        locked(path).__enter__()
    with locked(path):
        pass
    assert [p.name for p in tmp_path.rglob("*")] == (["folder"] if name == "folder" else [])


def test_a_killed_process_holds_nothing(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "held\n"
    with pytest.raises(BlockingIOError, match=f"process {child.pid};"):
        locked(tmp_path).__enter__()
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert (tmp_path / ".lock").exists()
    with locked(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_file_system_without_locks_is_used_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("boltzgen.locks._lock", refuse)
    with locked(tmp_path):
        assert "not locked" in caplog.text


def test_a_folder_that_was_made_for_nothing_is_gone(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "run"
    with pytest.raises(ValueError, match="nothing"), working_folder(folder):
        assert folder.is_dir()
        raise ValueError("nothing")
    assert not folder.exists()
    with working_folder(folder):
        (folder / "kept").touch()
    assert [p.name for p in folder.iterdir()] == ["kept"]
    with working_folder(folder):
        (folder / "kept").unlink()
    assert folder.is_dir()  # it was there before
