"""HDF5 files that point elsewhere, declare what they do not hold, or crash the library are refused."""

import os
import signal
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

import boltzgen.hdf5
from boltzgen.hdf5 import open_hdf5

ROOT = Path(__file__).parents[1]
PLAIN = np.arange(1000.0)


def external(file: h5py.File) -> None:
    secret = Path(file.filename).with_name("secret.bin")
    secret.write_bytes(PLAIN.tobytes())
    file.create_dataset("bad", (1000,), "f8", external=[(str(secret), 0, h5py.h5f.UNLIMITED)])


def virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((1000,), "f8")
    layout[:] = h5py.VirtualSource("elsewhere.h5", "x", (1000,))
    file.create_virtual_dataset("bad", layout)


def linked(link: Callable[[h5py.File], object]) -> Callable[[h5py.File], None]:
    def build(file: h5py.File) -> None:
        file["group/bad"] = link(file)

    return build


def sparse(file: h5py.File) -> None:
    bad = file.create_dataset("bad", (100_000,), "f8", chunks=(1000,))
    bad[:1000] = 1.0


def bomb(file: h5py.File) -> None:
    bad = file.create_dataset("bad", (2**25,), "u1", chunks=(2**20,), compression=9)
    bad[:] = 0


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (external, "the data of /bad are in other files"),
        (virtual, "the data of /bad are in other files"),
        (linked(lambda f: h5py.SoftLink("/x")), "/group/bad is a link to another place"),
        (linked(lambda f: h5py.SoftLink("/group/bad")), "/group/bad is a link to another place"),
        (linked(lambda f: h5py.ExternalLink("other.h5", "/x")), "/group/bad is a link to another place"),
        (linked(lambda f: f), "/group/bad is linked twice"),
        (linked(lambda f: f["x"]), "is linked twice"),
        (linked(lambda f: np.dtype("f8")), "/group/bad is neither a group nor an array"),
        (
            lambda f: f.create_dataset("bad", (10**9, 22, 3), "f4", chunks=(1, 22, 3)),
            r"/bad declares 2.64e\+11 bytes, of which 0 are in the file",
        ),
        (lambda f: f.create_dataset("bad", (1000,), "f8"), "/bad is not whole: it declares 8000 bytes"),
        (lambda f: f.create_dataset("bad", (10,), "f8", maxshape=(None,), chunks=(2**24,)), "chunks of more"),
        (sparse, "/bad is not whole: 1 of 100 chunks"),
        (bomb, r"/bad declares 3.36e\+07 bytes"),
        (lambda f: f.create_dataset("bad", data=["a"], dtype=h5py.string_dtype()), "/bad holds object"),
        (lambda f: f.create_dataset("bad", data=np.zeros(3, [("a", "f8")])), "expected plain numbers"),
        (lambda f: f.create_dataset("bad", data=np.zeros(3, bool)), "/bad holds bool"),
    ],
)
def test_what_is_not_plain_is_refused(
    tmp_path: Path, build: Callable[[h5py.File], object], message: str
) -> None:
    path = tmp_path / "bad.h5"
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        file["x"] = PLAIN
        build(file)
    with pytest.raises(ValueError, match=message) as caught, open_hdf5(path, "a samples file"):
        pass
    assert str(caught.value).startswith(f"{path} is refused as a samples file: ")


@pytest.mark.parametrize("path", sorted(ROOT.glob("systems/*/reference.h5")), ids=lambda p: p.parent.name)
def test_what_ships_is_accepted(path: Path) -> None:
    with open_hdf5(path, "a reference") as file:
        assert "x" in file


@pytest.mark.parametrize("options", [{}, {"chunks": (100,), "compression": "gzip", "shuffle": True}])
def test_plain_arrays_are_accepted(tmp_path: Path, options: dict[str, object]) -> None:
    with h5py.File(tmp_path / "a.h5", "w", libver=("v110", "v110")) as file:
        file.create_dataset("groups/of/x", data=PLAIN, **options)
        file.create_dataset("empty", (0, 3), "f4", maxshape=(None, 3))
        file.create_dataset("text", data=np.array([b"plain"]))
        file["number"] = 3
    with open_hdf5(tmp_path / "a.h5", "a file") as file:
        assert np.array_equal(file["groups/of/x"][:], PLAIN)


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (f"import os; os.kill(os.getpid(), {signal.SIGSEGV:d})", "reading it crashes HDF5"),
        ("import time; time.sleep(60)", "reading it does not end within"),
    ],
)
def test_a_crash_or_a_hang_in_reading_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, message: str
) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["x"] = PLAIN
    (tmp_path / "crash.py").write_text(script)
    with monkeypatch.context() as patch:
        patch.setattr(boltzgen.hdf5, "__file__", str(tmp_path / "crash.py"))
        patch.setattr(boltzgen.hdf5, "_PATIENCE", 1.0 if "sleep" in script else 60.0)
        with pytest.raises(ValueError, match=f"cannot be read as a file: it is damaged: {message}"):
            open_hdf5(path, "a file").__enter__()
    with open_hdf5(path, "a file") as file:  # nothing was remembered of the crash
        assert "x" in file


def test_a_file_is_read_elsewhere_once_for_each_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started = []
    run = boltzgen.hdf5.subprocess.run
    monkeypatch.setattr(boltzgen.hdf5.subprocess, "run", lambda *a, **k: (started.append(a), run(*a, **k))[1])
    path = tmp_path / "a.h5"
    for size in (10, 20):
        with h5py.File(path, "w") as file:
            file["x"] = PLAIN[:size]
        for _ in range(2):
            with open_hdf5(path, "a file"):
                pass
    assert len(started) == 2
    with h5py.File(path, "w", libver=("v110", "v110")) as file:
        file["x"] = PLAIN
    with open_hdf5(path, "a file"):
        assert len(started) == 2


def test_other_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "text.h5").write_text("nothing of the kind")
    with h5py.File(tmp_path / "cut.h5", "w") as file:
        file["x"] = PLAIN
    os.truncate(tmp_path / "cut.h5", 5000)
    for name, message in (
        ("text.h5", "it is not an HDF5 file, or damaged"),
        ("cut.h5", "it is cut off"),
        ("none.h5", "is no file"),
        ("", "is a folder"),
    ):
        with pytest.raises(ValueError, match=message), open_hdf5(tmp_path / name, "a file"):
            pass
