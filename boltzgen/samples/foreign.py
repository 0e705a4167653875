"""Trajectories in the formats of other programs, read by MDTraj in a process of its own.

MDTraj's readers of binary formats are C code that trusts the file: a damaged one can end the process. Here
that is a process that does nothing else, and its end is an error.

The process writes messages to its output, each a line of JSON: for each part ``{"shape": [m, n_atoms, 3],
"periodic": false, "topology": null}`` with the positions after it, at last ``{"end": true}``; or
``{"topology": ...}`` where only that is asked for; or ``{"error": ...}`` in place of any of these.
"""

import json
import math
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import mdtraj
import numpy as np

from boltzgen.samples.ascii_path import ascii_file
from boltzgen.samples.topology import topology_from_dict, topology_to_dict

#: Formats that hold their own topology.
SELF_CONTAINED = (".pdb", ".gz", ".gsd", ".cif", ".mmcif", ".pdbx", ".gro", ".arc")
#: PyTables reads these, and runs code that they may hold, as it would of HDF5 files.
REFUSED = (".lh5",)
#: Time in s that reading a part may take, for a busy machine to begin, and the least that it reads in bytes /
#: s (PDB files are read as a whole).
_PATIENCE, _SLOWEST = 60.0, 1e5


def read_topology(path: Path) -> mdtraj.Topology:
    """The topology of a file of any format that MDTraj reads but HDF5; errors as `read_frames`."""
    with _Process({"topology": str(path)}, path) as process:
        return topology_from_dict(process.receive()["topology"])


def read_frames(
    path: Path, chunk: int, n_atoms: int
) -> Iterator[tuple[np.ndarray, mdtraj.Topology | None, bool]]:
    """Positions, float32 (m, n_atoms, 3) in nm, the topology, and whether there is a periodic box.

    Args:
        path: of the trajectory, in any format that MDTraj reads but HDF5.
        chunk: most frames that come at a time.
        n_atoms: expected, where the format does not say.

    Raises:
        ValueError: it cannot be read, or reading it ends the process that does.
    """
    with _Process({"trajectory": str(path), "chunk": chunk, "n_atoms": n_atoms}, path) as process:
        topology = None
        while "end" not in (said := process.receive()):
            if said["topology"] is not None:
                topology = topology_from_dict(said["topology"])
            shape = tuple(said["shape"])
            x = np.frombuffer(process.read(4 * math.prod(shape)), np.float32).reshape(shape)
            yield x, topology, said["periodic"]


class _Process:
    """A process that runs this module's `main`, and is killed where it takes too long."""

    def __init__(self, request: dict[str, Any], path: Path) -> None:
        paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
        self._limit = _PATIENCE + path.stat().st_size / _SLOWEST
        self._timed_out = False
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", __name__, json.dumps(request)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
        )
        assert self._process.stdout is not None
        self._output: BinaryIO = self._process.stdout  # type: ignore[assignment]

    def __enter__(self) -> "_Process":
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._output.close()
        self._process.wait()

    def receive(self) -> dict[str, Any]:
        """The next message."""
        timer = threading.Timer(self._limit, self._kill)
        timer.start()
        try:
            line = self._output.readline()
        finally:
            timer.cancel()
        if not line.endswith(b"\n"):
            self._fail()
        said: dict[str, Any] = json.loads(line)
        if "error" in said:
            raise ValueError(said["error"])
        return said

    def read(self, n: int) -> bytearray:
        """The next n bytes, which follow a message."""
        content = bytearray(self._output.read(n))
        if len(content) < n:
            self._fail()
        return content

    def _kill(self) -> None:
        self._timed_out = True
        self._process.kill()

    def _fail(self) -> None:
        code = self._process.wait()
        how = (
            f"does not end within {self._limit:.0f} s"
            if self._timed_out
            else f"crashes the process that does (exit code {code})"
        )
        raise ValueError(f"reading it {how}: it is damaged, or too large for this machine")


def main(request: dict[str, Any], output: BinaryIO) -> None:
    """Answer a request with messages."""

    def send(said: dict[str, Any], content: bytes = b"") -> None:
        output.write(json.dumps(said).encode() + b"\n" + content)
        output.flush()

    try:
        if "topology" in request:
            with ascii_file(Path(request["topology"])) as path:
                send({"topology": topology_to_dict(mdtraj.load_topology(str(path)))})
            return
        with ascii_file(Path(request["trajectory"])) as path:
            own = path.suffix.lower() in SELF_CONTAINED
            options = {} if own else {"top": _atoms(request["n_atoms"])}
            for k, part in enumerate(mdtraj.iterload(str(path), chunk=request["chunk"], **options)):
                x = np.ascontiguousarray(part.xyz, dtype=np.float32)
                said = {
                    "topology": topology_to_dict(part.topology) if own and k == 0 else None,
                    "shape": x.shape,
                    "periodic": part.unitcell_lengths is not None,
                }
                send(said, x.tobytes())
        send({"end": True})
    except BrokenPipeError:
        pass  # nobody reads on
    except Exception as error:
        send({"error": next(iter(str(error).strip().splitlines()), type(error).__name__)})


def _atoms(n: int) -> mdtraj.Topology:
    """A topology of n atoms, of which nothing is known."""
    topology = mdtraj.Topology()
    residue = topology.add_residue("UNK", topology.add_chain())
    for _ in range(n):
        topology.add_atom("X", mdtraj.element.virtual, residue)
    return topology


if __name__ == "__main__":
    # Libraries that print find the error output in the place of the output.
    own_output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    main(json.loads(sys.argv[1]), own_output)
