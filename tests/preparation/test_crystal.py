"""A fragment of a crystal structure: heavy atoms, water, ions, a cell, a chain that was cut."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from boltzgen.molecule.system import System
from boltzgen.preparation.run import prepare
from boltzgen.preparation.sources import from_openmm
from tests.helpers.command_line import call
from tests.helpers.pdb_lines import FIELD, lines

CELL = "CRYST1   20.000   30.000   40.500  90.00  90.00  90.00 P 1           1"
WATER = [
    f"HETATM{90 + k:5d}  O   HOH B{101 + k:4d}    {30 + 3 * k:8.3f}  30.000  30.000  1.00  0.00           O"
    for k in range(3)
]
ION = "HETATM   99  NA   NA B 201      40.000  40.000  40.000  1.00  0.00          NA"
MESSAGE = (
    "VAL 3 lacks heavy atoms: OXT; and there are no hydrogens, which `add_hydrogens` adds once the heavy "
    "atoms are there. If the chain was cut here, build it with caps, as a cut end is charged otherwise"
)


def crystal(name: str, *without: str) -> str:
    """The heavy atoms of a peptide as a crystal structure has them."""
    heavy = [
        line
        for line in lines(name)
        if line.startswith(("ATOM", "HETATM"))
        and line[76:78].strip() != "H"
        and line[12:16].strip() not in without
    ]
    return "\n".join([CELL, *heavy, "TER", *WATER, ION, "END"])


def test_water_and_ions_are_left_out_with_a_note(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "m.pdb").write_text(crystal("gly_ala_val"))
    code, out, err = call(
        capfd, "prepare", tmp_path / "m.pdb", *FIELD, "--add-hydrogens", "-o", tmp_path / "a", "--json"
    )
    box, left_out = json.loads(out)["notes"]
    assert code == 0
    assert "periodic box" in box
    assert left_out.endswith(
        "holds 3 water molecules and 1 ion (NA), which are left out: the molecule is on its own, in vacuum "
        "or an implicit solvent"
    )
    assert left_out in err
    assert [r.name for r in System.load(tmp_path / "a").topology.residues()] == ["GLY", "ALA", "VAL"]


def test_water_stays_an_obstacle_where_a_system_has_it(tmp_path: Path) -> None:
    (tmp_path / "m.pdb").write_text(crystal("gly_ala_val"))
    with pytest.raises(ValueError, match="got 3 water molecules; strip the water"):
        from_openmm(tmp_path / "m.pdb", tmp_path / "none.xml")


def test_all_that_a_fragment_lacks_is_told_at_once_with_commands_that_work(tmp_path: Path) -> None:
    file = tmp_path / "m.pdb"
    file.write_text(crystal("gly_ala_val", "OXT"))
    with pytest.raises(ValueError, match=re.escape(MESSAGE)) as caught:
        prepare(file, tmp_path / "a", forcefield=["amber99sbildn.xml", "amber99_obc.xml"])
    text = str(caught.value)
    assert "which numbers residues from 1" in text
    capped, fixer = re.findall(rf"`((?:{re.escape(shlex.quote(sys.executable))}|boltzgen) [^`]*)`", text)
    assert capped == (
        'boltzgen prepare --sequence "ACE GLY ALA VAL NME" --forcefield amber99sbildn.xml '
        "--forcefield amber99_obc.xml -o FOLDER"
    )
    subprocess.run([sys.executable, *shlex.split(fixer)[1:]], check=True, cwd=tmp_path)
    prepare(
        tmp_path / "m.whole.pdb",
        tmp_path / "a",
        forcefield=["amber99sbildn.xml", "amber99_obc.xml"],
        add_hydrogens=True,
    )
    assert any(atom.name == "OXT" for atom in System.load(tmp_path / "a").topology.atoms())


def test_every_residue_that_lacks_atoms_is_named(tmp_path: Path) -> None:
    (tmp_path / "m.pdb").write_text(crystal("gly_ala_val", "OXT", "CB", "CG1", "CG2"))
    with pytest.raises(
        ValueError, match="ALA 2 lacks heavy atoms: CB; VAL 3 lacks heavy atoms: CB, CG1"
    ) as c:
        prepare(tmp_path / "m.pdb", tmp_path / "a", forcefield="amber99sbildn.xml", add_hydrogens=True)
    assert "no hydrogens" not in str(c.value)
