"""`boltzgen export`: all frames, or resampled ones."""

import json
from pathlib import Path

import mdtraj
import pytest

from tests.helpers.command_line import call, refused


def test_export(run_folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = run_folder / "s.h5"
    call(capfd, "sample", run_folder, "-n", 200, "-o", file)
    code, out, err = call(capfd, "export", file, run_folder / "a.xtc")
    assert code == 0
    assert "200 frames" in out
    assert f"which is in {run_folder / 'a.topology.pdb'}" in out
    assert "do not have equal weight" in err
    arguments = ("export", file, run_folder / "b.dcd", "--resample", 30, "--seed", 1)
    code, out, err = call(capfd, *arguments, "--json")
    assert (code, err, out.count("\n")) == (0, "", 1)
    assert json.loads(out) == {
        "file": str(run_folder / "b.dcd"),
        "topology": str(run_folder / "b.topology.pdb"),
        "n_frames": 30,
        "equal_weights": True,
    }
    (run_folder / "b.dcd").rename(run_folder / "kept.dcd")
    # The topology of the same molecule is as good for the frames of another file of that name.
    beside = run_folder / "b.topology.pdb"
    own = beside.read_text()
    assert call(capfd, *arguments)[0] == 0
    assert call(capfd, "export", file, run_folder / "b.xtc")[0] == 0 and beside.read_text() == own
    (run_folder / "b.dcd").unlink()
    beside.write_text(own.replace(" ALA ", " GLY "))
    refused(call(capfd, *arguments), "b.topology.pdb exists already; add --force")
    assert not (run_folder / "b.dcd").exists()
    (run_folder / "kept.dcd").rename(run_folder / "b.dcd")
    call(capfd, "export", file, run_folder / "c.dcd", "--resample", 30, "--seed", 2)
    assert (run_folder / "b.dcd").read_bytes() != (run_folder / "c.dcd").read_bytes()
    assert [mdtraj.load(str(run_folder / name), top=str(file)).n_frames for name in ("a.xtc", "b.dcd")] == [
        200,
        30,
    ]
