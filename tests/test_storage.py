"""Files: whole or not at all, checksums, and what processes that were killed have left."""

import json
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from boltzgen.storage import (
    atomic_file,
    finite_or_none,
    partial_path,
    read_tensors,
    reading,
    remove_stale,
    write_atomically,
    write_tensors,
)

METADATA: dict[str, Any] = {"seed": 1, "name": "Δ", "list": [1.5, None, {"a": True}]}


def tensors() -> dict[str, Tensor]:
    shared = torch.arange(24.0)
    return {
        "matrix": shared.reshape(4, 6).T,  # not contiguous, and shares its memory
        "shared": shared,
        "number": torch.tensor(3.0, dtype=torch.float64),
        "empty": torch.empty(0, 3),
        "mask": torch.tensor([True, False]),
        "whole": torch.tensor([1, -2], dtype=torch.int16),
    }


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(
        a[k].dtype == b[k].dtype and a[k].shape == b[k].shape and torch.equal(a[k], b[k]) for k in a
    )


@pytest.fixture
def dead() -> int:
    """The number of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-S", "-c", ""])
    child.wait()
    return child.pid


def test_tensors_come_back(tmp_path: Path) -> None:
    write_tensors(tmp_path / "t", METADATA, tensors())
    metadata, found = read_tensors(tmp_path / "t")
    assert metadata == METADATA
    assert same(found, tensors())


def test_no_changed_byte_is_read_as_something_else(tmp_path: Path) -> None:
    """Of every byte one bit is changed: the file is refused, or reads as before (a space, say)."""
    path = tmp_path / "t"
    write_tensors(path, METADATA, tensors())
    whole = path.read_bytes()
    draws = random.Random(0)
    refused = 0
    for at in range(len(whole)):
        changed = bytearray(whole)
        changed[at] ^= 1 << draws.randrange(8)
        path.write_bytes(changed)
        try:
            metadata, found = read_tensors(path)
        except ValueError:
            refused += 1
        else:
            assert metadata == METADATA and same(found, tensors()), at
    assert refused > 0.8 * len(whole)


def test_files_without_a_checksum_are_read(tmp_path: Path) -> None:
    """They are those of earlier versions."""
    plain = {k: v.clone().contiguous() for k, v in tensors().items()}
    save_file(plain, tmp_path / "t", metadata={"boltzgen": json.dumps(METADATA)})
    assert same(read_tensors(tmp_path / "t")[1], plain)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "expected a JSON object"),
        ("[" * 100_000, "RecursionError"),
        ('{"a": 1', "Expecting ',' delimiter"),
        ("9" * 5000, "Exceeds the limit"),
    ],
)
def test_hostile_metadata(tmp_path: Path, text: str, message: str) -> None:
    save_file({"a": torch.ones(2)}, tmp_path / "t", metadata={"boltzgen": text})
    with pytest.raises(ValueError, match=f"not a whole boltzgen checkpoint.*{message}"):
        read_tensors(tmp_path / "t")


@pytest.mark.parametrize("content", [b"", b"\xff" * 8, b"\0" * 99, (2**40).to_bytes(8, "little") + b"{}"])
def test_what_is_no_file_of_tensors(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "t").write_bytes(content)
    for path in (tmp_path / "t", tmp_path):
        with pytest.raises(ValueError, match="not a whole boltzgen checkpoint"):
            read_tensors(path)
    with pytest.raises(FileNotFoundError):
        read_tensors(tmp_path / "none")


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, b"old")
    with pytest.raises(KeyboardInterrupt), atomic_file(path) as file:
        file.write(b"ne")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_the_name_is_on_the_disk_after_the_contents(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is synchronised before it is renamed, its folder after."""
    calls: list[str] = []
    replace, fsync = os.replace, os.fsync

    def see_fsync(descriptor: int) -> None:
        calls.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        fsync(descriptor)

    def see_replace(source: Any, target: Any) -> None:
        calls.append("renamed")
        replace(source, target)

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("the names of open files are not to be seen here")
    monkeypatch.setattr(os, "fsync", see_fsync)
    monkeypatch.setattr(os, "replace", see_replace)
    write_atomically(tmp_path / "file", b"new")
    assert calls == [partial_path(tmp_path / "file").name, "renamed", tmp_path.name]


def test_what_dead_processes_left_is_removed(tmp_path: Path, dead: int) -> None:
    """Of the same file when it is written, of all when a folder is cleared; nothing of a live process."""
    kept = [f".other.{os.getpid()}.part", f".file.{os.getppid()}.part", "file.part", ".file.part", f".{dead}"]
    for name in (f".file.{dead}.part", f".other.{dead}.part", *kept):
        (tmp_path / name).write_bytes(b"half")
    (tmp_path / f".folder.{dead}.part" / "inside").mkdir(parents=True)
    write_atomically(tmp_path / "file", b"new")
    left = {f".other.{dead}.part", f".folder.{dead}.part", "file", *kept}
    assert {p.name for p in tmp_path.iterdir()} == left
    remove_stale(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {"file", *kept}
    remove_stale(tmp_path / "none")


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (KeyError("x"), ValueError, "broken (KeyError: 'x'); mend it"),
        (RuntimeError("two\n  lines"), ValueError, "broken (RuntimeError: two lines); mend it"),
        (ValueError("of a kind"), ValueError, "broken (of a kind); mend it"),
        (RecursionError("deep"), ValueError, "broken (RecursionError: deep); mend it"),
        (OSError("disk"), ValueError, "broken (OSError: disk); mend it"),
        (FileNotFoundError("none"), FileNotFoundError, "none"),
        (RuntimeError("[enforce fail]: can't allocate memory"), MemoryError, "can't allocate memory"),
        (torch.OutOfMemoryError("CUDA out of memory"), MemoryError, "out of memory"),
        (MemoryError(), MemoryError, ""),
        (ZeroDivisionError("ours"), ZeroDivisionError, "ours"),
    ],
)
def test_what_is_wrong_with_contents_is_said_in_one_way(
    error: Exception, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind) as caught, reading("broken", "mend it"):
        raise error
    assert type(caught.value) is kind
    assert said in str(caught.value)


def test_numbers_that_json_cannot_hold() -> None:
    assert finite_or_none({"a": [float("nan"), 1.0], "b": (float("inf"),)}) == {"a": [None, 1.0], "b": [None]}
