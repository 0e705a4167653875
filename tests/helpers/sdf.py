"""SDF files: a made-up one of a topology, and what is in one."""

from pathlib import Path

import mdtraj
import numpy as np


def molecule(topology: mdtraj.Topology) -> str:
    """An SDF file of a topology: all atoms at the origin, C=O double, one charge."""
    atoms = [f"{0:10.4f}{0:10.4f}{0:10.4f} {a.element.symbol:3s} 0  0  0  0  0" for a in topology.atoms]
    bonds = []
    for a, b in topology.bonds:
        order = 2 if {a.element.symbol, b.element.symbol} == {"C", "O"} else 1
        bonds.append(f"{a.index + 1:3d}{b.index + 1:3d}{order:3d}  0")
    counts = f"{len(atoms):3d}{len(bonds):3d}  0  0  0  0  0  0  0  0999 V2000"
    lines = ["alanine", "  someone", "", counts, *atoms, *bonds, "M  CHG  1   7   1", "M  END"]
    return "\n".join([*lines, "> <left>", "out", "", "$$$$", ""])


def entries(path: Path) -> list[tuple[np.ndarray, list[str], dict[str, str]]]:
    """Coordinates [nm], lines after the atoms, and properties of each entry."""
    found = []
    for text in path.read_text().split("$$$$\n")[:-1]:
        lines = text.splitlines()
        n = int(lines[3][:3])
        x = np.array([[float(line[k : k + 10]) for k in (0, 10, 20)] for line in lines[4 : 4 + n]]) / 10
        end = lines.index("M  END")
        values = {lines[k][3:-1]: lines[k + 1] for k in range(end + 1, len(lines)) if lines[k][:1] == ">"}
        found.append((x, lines[4 + n : end], values))
    return found
