"""Changes to the lines of a PDB file that make a molecule wrong, and what `boltzgen prepare` says of them."""

from collections.abc import Callable
from pathlib import Path

import pytest

from boltzgen.molecule.system import System
from tests.helpers.command_line import call, refused
from tests.helpers.molecules import FOLDER
from tests.helpers.pdb_lines import FIELD, lines


def without(name: str, *atoms: str) -> str:
    return "\n".join(line for line in lines(name) if line[12:16].strip() not in atoms)


def renamed(name: str, old: str, new: str) -> str:
    """An atom's or a residue's name is another."""
    return "\n".join(
        line.replace(f" {old:<3s} ", f" {new:<3s} ") if line.startswith(("ATOM", "HETATM")) else line
        for line in lines(name)
    )


def alternates() -> str:
    kept = []
    for line in lines("ace_ala_nme"):
        kept += [line[:16] + letter + line[17:] for letter in "AB"] if line[12:16].strip() == "CB" else [line]
    return "\n".join(kept)


def moved(select: Callable[[str], bool], shift: float, name: str = "ace_ala_nme") -> str:
    """Some atoms are elsewhere along x, in Angstrom."""
    return "\n".join(
        line[:30] + f"{float(line[30:38]) + shift:8.3f}" + line[38:]
        if line.startswith(("ATOM", "HETATM")) and select(line)
        else line
        for line in lines(name)
    )


def cut() -> str:
    """The second of three alanines is missing."""
    return "\n".join(
        line for line in lines("capped_ala3") if line[22:26].strip() != "3" and not line.startswith("CONECT")
    )


def two_chains() -> str:
    second = [
        line[:21] + "B" + line[22:]
        for line in moved(lambda line: True, 20.0).splitlines()
        if line.startswith(("ATOM", "HETATM"))
    ]
    return "\n".join(
        [
            *(line for line in lines("ace_ala_nme") if line.startswith(("ATOM", "HETATM"))),
            "TER",
            *second,
            "END",
        ]
    )


def solvated() -> str:
    water = [
        f"HETATM{90 + k:5d}  {atom:<3s} HOH B   9    {30 + k:8.3f}  30.000  30.000  1.00  0.00           "
        f"{atom[0]}"
        for k, atom in enumerate(("O", "H1", "H2"))
    ]
    return "\n".join([*lines("ace_ala_nme")[:-1], *water, "END"])


def cis() -> str:
    """The amide's acetyl end turned by half about its C-N bond."""
    system = System.from_pdb(FOLDER / "ace_ala_nme.pdb", ["amber99sbildn.xml"])
    x = system.positions.clone()
    _, c, n, _ = system.graph.omega(system.graph.peptide_bonds()[0])
    axis = (x[n] - x[c]) / (x[n] - x[c]).norm()
    for i in system.graph.reachable(c, blocked=n) - {c}:
        r = x[i] - x[c]
        x[i] = x[c] + 2 * (r @ axis) * axis - r
    moved = {k: x[k] * 10 for k in range(system.n_atoms)}
    out, k = [], 0
    for line in lines("ace_ala_nme"):
        if line.startswith(("ATOM", "HETATM")):
            line, k = line[:30] + "".join(f"{float(v):8.3f}" for v in moved[k]) + line[54:], k + 1
        out.append(line)
    return "\n".join(out)


METHANOL = """\
HETATM    1  C   MOH A   1      -0.371  -0.008   0.000  1.00  0.00           C
HETATM    2  O   MOH A   1       1.012   0.297   0.000  1.00  0.00           O
HETATM    3  H1  MOH A   1      -0.857   0.408   0.892  1.00  0.00           H
HETATM    4  H2  MOH A   1      -0.857   0.408  -0.892  1.00  0.00           H
HETATM    5  H3  MOH A   1      -0.530  -1.087   0.000  1.00  0.00           H
HETATM    6  HO  MOH A   1       1.491  -0.532   0.000  1.00  0.00           H
CONECT    1    2    3    4    5
CONECT    2    6
END
"""


STRUCTURES: dict[str, tuple[Callable[[], str | bytes], str]] = {
    "empty": (lambda: "", "is empty; expected a PDB file"),
    "binary": (lambda: b"\x89HDF\r\n\0\0\1\2\3", "is a binary file"),
    "prose": (lambda: "these are not atoms\n", "expected ATOM records"),
    "coordinates": (
        lambda: "\n".join(lines("ace_ala_nme")).replace("2.030", "x.xxx"),
        "not a readable PDB file",
    ),
    "hydrogens": (
        lambda: without("ace_ala_nme", "HA", "HB1"),
        "2 hydrogens are missing, in ALA 2; add them with --add-hydrogens",
    ),
    "no hydrogens": (
        lambda: "\n".join(line for line in lines("ace_ala_nme") if line[76:78].strip() != "H"),
        "12 hydrogens are missing, in ACE 1, ALA 2, NME 3; add them with --add-hydrogens",
    ),
    "heavy atoms": (
        lambda: without("ace_trp_nme", "CE2", "CZ2"),
        "TRP 2 lacks heavy atoms: CE2, CZ2. Add heavy atoms with PDBFixer",
    ),
    "end": (
        lambda: without("gly_ala_val", "OXT"),
        "VAL 3 lacks heavy atoms: OXT. If the chain was cut here, build it with caps",
    ),
    "gap": (cut, "nm long, expected below 0.25 nm: residues are missing in between"),
    "residue": (
        lambda: renamed("ace_ala_nme", "ALA", "LIG"),
        "unknown residue LIG 2: the force field has no template that fits",
    ),
    "bonded residue": (
        lambda: METHANOL,
        "unknown residue MOH 1: the force field has no template that fits its atoms and bonds; give a file "
        "that has one",
    ),
    "chains": (
        two_chains,
        "expected one molecule, got 2 that no bond joins, which begin at ACE 1 of chain A, ACE 1 of chain B",
    ),
    "water": (
        lambda: "\n".join(line for line in solvated().splitlines() if " HOH " in line),
        "got 1 water molecules; strip the water (and ions) and choose an implicit solvent",
    ),
    "alternates": (alternates, "alternate locations A, B (column 17)"),
    "twice": (
        lambda: "\n".join([*lines("ace_ala_nme")[:5], lines("ace_ala_nme")[4], *lines("ace_ala_nme")[5:]]),
        "more than once; give every atom",
    ),
    "hydrogen's name": (
        lambda: renamed("ace_ala_nme", "HA", "HX"),
        "HX (ALA 2) are bonded to nothing: bonds follow from the PDB's standard atom names",
    ),
    "heavy atom's name": (
        lambda: renamed("ace_ala_nme", "CB", "CX"),
        "ALA 2 has atoms CX that are no atoms of ALA; rename them as the PDB does",
    ),
    "clash": (lambda: overlapping(), "atoms overlap; give a structure without clashes"),
    "nan": (lambda: "\n".join(lines("ace_ala_nme")).replace("   2.030", "     nan"), "are NaN or infinite"),
    "cis": (cis, "cis peptide bonds: C (ACE 1) - N (ALA 2) (omega"),
}


def overlapping() -> str:
    """One hydrogen of a methyl lies on another."""
    kept = lines("ace_ala_nme")
    first, second = (
        next(k for k, line in enumerate(kept) if line[12:16].strip() == name) for name in ("HB1", "HB2")
    )
    kept[second] = kept[second][:30] + kept[first][30:54] + kept[second][54:]
    return "\n".join(kept)


@pytest.mark.parametrize("case", STRUCTURES)
def test_structures_that_are_refused(case: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    make, message = STRUCTURES[case]
    content = make()
    file = tmp_path / "given.pdb"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    refused(call(capfd, "prepare", file, *FIELD, "-o", tmp_path / "out"), message)
    assert [p.name for p in tmp_path.iterdir()] == ["given.pdb"]
