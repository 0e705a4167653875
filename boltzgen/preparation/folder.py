"""Writing a system's folder, whole or not at all."""

import errno
import io
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import openmm
from openmm import app, unit

from boltzgen.molecule.openmm_files import read_structure
from boltzgen.molecule.shipped import SYSTEM_FILE
from boltzgen.preparation.sources import Source
from boltzgen.samples.sdf import MOLECULE, Connections
from boltzgen.storage import partial_path, remove, remove_stale, sync

STRUCTURE, SYSTEM_XML = "topology.pdb", "system.xml"
#: nm; a PDB file has three decimals in Angstrom.
ROUNDING = 1e-4
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)
_NAME = re.compile(r"[\w.+-]+")
#: Suffixes of the files that `write_system` writes.
_OURS = (".toml", ".pdb", ".xml", ".sdf")
_COMMENT = "# The part of configuration space on which the density is defined; outside it u = +inf."


def check_name(name: str) -> None:
    """Raise ValueError unless a system's name can be that of a folder."""
    if not _NAME.fullmatch(name) or ".." in name:
        raise ValueError(f"expected a name of letters, digits and . _ + -, got {name!r}; give one as `name`")


def check_free(output: Path, *, force: bool = False) -> None:
    """Raise FileExistsError unless a folder can be written there.

    With `force` it may hold a system, and nothing that cannot be prepared again: no generator, no reference.
    """
    if output.exists() and not output.is_dir():
        raise FileExistsError(f"{output} is a file; choose another folder")
    if not output.is_dir() or not any(output.iterdir()):
        return
    if not (output / SYSTEM_FILE).is_file():
        raise FileExistsError(f"{output} is not empty, and no system's folder; choose another folder")
    if not force:
        raise FileExistsError(
            f"{output} holds a system already; add `force=True` to replace it, or choose another folder"
        )
    others = [path for path in output.rglob("*") if path.is_file() and path.suffix not in _OURS]
    if others:
        raise FileExistsError(
            f"{output} holds more than a system: {min(others).relative_to(output)}; move that away, or "
            "choose another folder"
        )


@contextmanager
def new_folder(output: Path, *, force: bool = False) -> Iterator[Path]:
    """A folder to write into, which appears as `output` if all goes well, and is gone otherwise.

    Raises:
        FileExistsError: there is something at `output` already, see `check_free`.
        OSError: it cannot be written.
    """
    check_free(output, force=force)
    output.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_path(output)
    remove_stale(output.parent, output.name)
    try:
        partial.mkdir()
        yield partial
        for path in (*partial.rglob("*"), partial):
            sync(path)
        check_free(output, force=force)
        earlier = output.with_name(f".{output.name}.{os.getpid()}.replaced")
        if output.is_dir():
            output.rename(earlier)
        partial.rename(output)
        sync(output.parent)
        remove(earlier)
    except OSError as error:
        remove(partial)
        if error.errno not in _NO_SPACE:
            raise
        raise OSError(
            error.errno,
            f"could not write {output}: {error.strerror}; free some space or choose another folder",
        ) from error
    except BaseException:
        remove(partial)
        raise


def write_system(
    folder: Path, source: Source, positions: np.ndarray, *, name: str, temperature: float
) -> None:
    """Write what `System.load` reads: system.toml, the structure, its force field, and orders of bonds.

    Args:
        folder: exists already.
        source: the molecule.
        positions: of its atoms, (n_atoms, 3) in nm.
        name: of the system.
        temperature: of the system, in K.

    Raises:
        ValueError: the molecule's bonds do not come back from its PDB file.
    """
    _write_structure(folder / STRUCTURE, source.topology, positions)
    if source.sdf:
        text = Connections.parse(source.sdf).record(positions, {})
        (folder / MOLECULE).write_text(text, encoding="utf-8")
    forcefield = source.forcefield or {"system": SYSTEM_XML}
    if not source.forcefield:
        (folder / SYSTEM_XML).write_text(openmm.XmlSerializer.serialize(source.openmm_system))
    for file, path in source.files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / file)
    tables: dict[str, dict[str, object]] = {
        "": {"name": name, "description": source.origin, "temperature": float(temperature)},
        "structure": {"file": STRUCTURE},
        "forcefield": forcefield,
        "domain": source.domain.model_dump(),
    }
    sections = [
        "\n".join([f"[{table}]"] * bool(table) + [f"{key} = {_toml(value)}" for key, value in rows.items()])
        for table, rows in tables.items()
    ]
    *others, domain = sections
    (folder / SYSTEM_FILE).write_text("\n\n".join([*others, f"{_COMMENT}\n{domain}\n"]), encoding="utf-8")


def _toml(value: object) -> str:
    """Strings, numbers and lists of them are written alike in TOML and JSON."""
    return json.dumps(value, ensure_ascii=False)


def _write_structure(file: Path, topology: app.Topology, positions: np.ndarray) -> None:
    """Write a PDB file from which atoms and bonds come back.

    All bonds are CONECT records: atom names need not be standard ones.
    """
    text = io.StringIO()
    app.PDBFile.writeModel(topology, positions * unit.nanometer, text, keepIds=True)
    serial = [line[6:11] for line in text.getvalue().splitlines() if line.startswith(("ATOM", "HETATM"))]
    bonds = [f"CONECT{serial[a.index]}{serial[b.index]}" for a, b in topology.bonds()]
    file.write_text("\n".join([text.getvalue().rstrip("\n"), *bonds, "END", ""]), encoding="utf-8")
    read, placed = read_structure(file)
    if graph_of(read) != graph_of(topology) or np.abs(placed - positions).max() > ROUNDING:
        raise ValueError(
            "the molecule's atoms and bonds do not come back from a PDB file; give every atom of a residue "
            "a name of its own (four letters), "
            "and standard residues their standard atoms"
        )


def graph_of(topology: app.Topology) -> tuple[list[str], set[frozenset[int]]]:
    """Elements, and bonds as pairs of indices."""
    return [atom.element.symbol for atom in topology.atoms()], {
        frozenset((a.index, b.index)) for a, b in topology.bonds()
    }
