"""Conformations as an SDF file: bonds with their orders come from the molecule's own SDF file."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import mdtraj
import numpy as np

from boltzgen.storage import reading

#: The file of a system's folder that `prepare` writes for a small molecule.
MOLECULE = "molecule.sdf"
_ANGSTROM_PER_NM = 10.0
#: Coordinates of an atom's line, in columns of ten with four decimals.
_PLACES = 30
_LARGEST = 9_999.0
#: The second line: a program, and that there are three dimensions.
_PROGRAM = "  boltzgen          3D"
_EXPECTED = "give the SDF file (V2000, all hydrogens) that the molecule was prepared from, or its folder"


@dataclass(frozen=True)
class Connections:
    """What an SDF file (V2000) says of a molecule beside its coordinates.

    Attributes:
        name: its first line.
        atoms: lines of the atoms without their coordinates.
        bonds: lines of the bonds.
        rest: lines of properties of atoms (charges, isotopes), and of the end.
    """

    name: str
    atoms: tuple[str, ...]
    bonds: tuple[str, ...]
    rest: tuple[str, ...]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Those of the first molecule of a file; raises ValueError or IndexError where there are none."""
        lines = text.splitlines()
        if len(lines) < 4 or "V2000" not in lines[3]:
            raise ValueError("no V2000 table of connections")
        n_atoms, n_bonds = int(lines[3][:3]), int(lines[3][3:6])
        end = next((k for k, line in enumerate(lines) if line.startswith("M  END")), -1)
        if not 4 + n_atoms + n_bonds <= end:
            raise ValueError(f"no {n_atoms} atoms and {n_bonds} bonds before its end")
        body = lines[4 : end + 1]
        found = cls(
            lines[0].strip(),
            tuple(line[_PLACES:] for line in body[:n_atoms]),
            tuple(body[n_atoms : n_atoms + n_bonds]),
            tuple(line for line in body[n_atoms + n_bonds :] if line.startswith("M  ")),
        )
        if any(len(pair) < 2 or not all(0 <= k < n_atoms for k in pair) for pair in found.pairs):
            raise ValueError(f"a bond of an atom that is not among its {n_atoms}, or to itself")
        return found

    @property
    def symbols(self) -> list[str]:
        """Element of each atom."""
        return [line[1:4].strip() for line in self.atoms]

    @property
    def pairs(self) -> set[frozenset[int]]:
        """Bonds as pairs of atoms, counted from 0."""
        return {frozenset((int(line[:3]) - 1, int(line[3:6]) - 1)) for line in self.bonds}

    def record(self, x: np.ndarray, properties: Mapping[str, object]) -> str:
        """The molecule at positions x (n_atoms, 3) in nm, with properties, as an entry of an SDF file.

        Raises:
            ValueError: a coordinate is too large for the format, or no number.
        """
        places = _ANGSTROM_PER_NM * np.asarray(x, dtype=np.float64)
        if not (np.abs(places) < _LARGEST).all():
            raise ValueError("positions do not fit into an SDF file; centre the conformations")
        counts = f"{len(self.atoms):3d}{len(self.bonds):3d}  0  0  0  0  0  0  0  0999 V2000"
        lines = [self.name, _PROGRAM, "", counts]
        for (a, b, c), rest in zip(places, self.atoms, strict=True):
            lines.append(f"{a:10.4f}{b:10.4f}{c:10.4f}{rest}")
        lines += [*self.bonds, *self.rest]
        for name, value in properties.items():
            lines += [f"> <{name}>", f"{value}", ""]
        return "\n".join([*lines, "$$$$", ""])


def read_connections(path: str | os.PathLike[str], topology: mdtraj.Topology) -> Connections:
    """The connections of the first molecule of an SDF file, that of a topology: the same atoms, same order.

    In place of the file a folder may be given that holds ``molecule.sdf``.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it cannot be read, or is of another molecule.
    """
    path = Path(path) / MOLECULE if Path(path).is_dir() else Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no SDF file at {path}; {_EXPECTED}")
    with reading(f"{path} is not the molecule of these samples", _EXPECTED):
        found = Connections.parse(path.read_text(encoding="utf-8"))
        expected = [atom.element.symbol for atom in topology.atoms]
        if found.symbols != expected:
            raise ValueError(f"its atoms are {' '.join(found.symbols)}, the samples' {' '.join(expected)}")
        if found.pairs != {frozenset((a.index, b.index)) for a, b in topology.bonds}:
            raise ValueError("its bonds are others")
        return found


def read_pose(path: str | os.PathLike[str]) -> tuple[Connections, np.ndarray]:
    """The first molecule of an SDF file and its positions, float64 (n_atoms, 3) in nm.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it cannot be read, or has no three dimensions.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no SDF file at {path}; give one of a pose, with all hydrogens")
    with reading(f"{path} is no SDF file of a pose", "give one in V2000 format, with all hydrogens"):
        text = path.read_text(encoding="utf-8")
        found = Connections.parse(text)
        lines = text.splitlines()[4 : 4 + len(found.atoms)]
        x = np.array([[float(line[k : k + 10]) for k in (0, 10, 20)] for line in lines])
        drawn = text.splitlines()[1][20:22] != "3D"
        if not np.isfinite(x).all() or (drawn and np.ptp(x[:, 2]) == 0.0):
            raise ValueError("its coordinates are flat or no numbers")
        return found, x / _ANGSTROM_PER_NM


def records(
    connections: Connections, frames: Iterable[tuple[np.ndarray, Mapping[str, Sequence[object] | np.ndarray]]]
) -> Iterator[str]:
    """Entries of an SDF file.

    Args:
        connections: of the molecule.
        frames: positions (m, n_atoms, 3) in nm, part by part, and the values (m,) of each property.
    """
    for x, properties in frames:
        for k, one in enumerate(x):
            yield connections.record(one, {name: _text(values[k]) for name, values in properties.items()})


def _text(value: object) -> str:
    value = value.item() if isinstance(value, np.generic) else value
    return f"{value:.10g}" if isinstance(value, float) else str(value)
