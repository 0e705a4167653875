"""What `prepare` says of files that it does not take as they stand, and of files that are no PDB files."""

import json
import re
from pathlib import Path

import pytest

from boltzgen.preparation.formats import check_format
from boltzgen.preparation.sources import from_structure
from boltzgen.preparation.structure import read_input
from tests.helpers.command_line import call, refused
from tests.helpers.pdb_lines import FIELD

PEPTIDES = Path(__file__).parents[1] / "data" / "peptides"
SMALL = Path(__file__).parents[1] / "data" / "small"
ALANINE = (PEPTIDES / "ace_ala_nme.pdb").read_text()
CELL = "CRYST1   20.000   30.000   40.500  90.00  90.00  90.00 P 1           1\n"


def models(n: int) -> str:
    atoms = "".join(line for line in ALANINE.splitlines(keepends=True) if line.startswith(("ATOM", "HETATM")))
    return "".join(f"MODEL     {k:4d}\n{atoms}ENDMDL\n" for k in range(1, n + 1)) + "END\n"


@pytest.mark.parametrize(
    ("text", "notes"),
    [
        (ALANINE, []),
        (models(3), ["holds 3 models: the first one is taken"]),
        (CELL + ALANINE, ["has a periodic box (2 x 3 x 4.05 nm), which is ignored"]),
        (CELL + models(2), ["holds 2 models", "periodic box"]),
        # What stands for no cell in structures by NMR.
        ("CRYST1    1.000    1.000    1.000  90.00  90.00  90.00 P 1           1\n" + ALANINE, []),
        ((PEPTIDES / "disulfide.pdb").read_text(), ["numbers of residues in", "names count them from 1"]),
    ],
)
def test_notes_say_what_is_not_taken(tmp_path: Path, text: str, notes: list[str]) -> None:
    (tmp_path / "m.pdb").write_text(text)
    topology, positions, found = read_input(tmp_path / "m.pdb")
    assert topology.getPeriodicBoxVectors() is None
    assert len(positions) == topology.getNumAtoms()
    assert all(any(note in line for line in found) for note in notes)
    assert len(found) == (1 if "names count" in "".join(notes) else len(notes))


def test_the_command_prints_notes_and_what_to_expect(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "m.pdb").write_text(CELL + models(2))
    code, out, err = call(capfd, "prepare", tmp_path / "m.pdb", *FIELD, "-o", tmp_path / "a", "--json")
    summary = json.loads(out)
    assert (code, len(summary["notes"])) == (0, 2)
    assert err == "".join(f"note: {line}\n" for line in summary["notes"])
    assert summary["training_minutes"] == pytest.approx(22 * 1.5)
    # Eight of 140 rounds, with 15 % for the summary and 5 % to spare. No draws, no share.
    assert summary["shortest_training_minutes"] == 2
    assert summary["coordinates"] == 60
    assert summary["efficiency_of_like_molecules"].startswith("83.4 to 97.4 % (median ")
    code, out, err = call(capfd, "prepare", PEPTIDES / "ace_gly_nme.pdb", *FIELD, "-o", tmp_path / "b")
    assert (code, err) == (0, "")
    assert re.search(r"^training +about 28 min on this machine", out, re.MULTILINE)
    assert "docs/results/molecules.md" in out
    assert "(--minutes 2 for the shortest that makes sense)" in out.splitlines()[-1]


def test_a_small_molecule_says_by_which_template_it_is_matched() -> None:
    (note,) = from_structure(SMALL / "methanol.pdb", ["charmm36.xml"]).notes
    assert note == (
        "MEO 1 is matched by the template MEOH of charmm36.xml: its elements and bonds are the same, "
        "whatever the names"
    )
    assert from_structure(PEPTIDES / "ace_ala_nme.pdb", ["amber14-all.xml"]).notes == ()
    with pytest.raises(
        ValueError, match=r"unknown residue MEO 1: .* \(`forcefield`; charmm36.xml has, as MEOH\), or start"
    ):
        from_structure(SMALL / "methanol.pdb", ["amber99sbildn.xml"])


SDF = """ethanol
  RDKit          3D

  9  8  0  0  0  0  0  0  0  0999 V2000
   -0.8883    0.1670   -0.0273 C   0  0
    0.4658   -0.5116   -0.0368 C   0  0
M  END
$$$$
"""
MOL2 = "# made by hand\n@<TRIPOS>MOLECULE\nethanol\n 9 8 1\n@<TRIPOS>ATOM\n 1 C1 0.0 0.0 0.0 C.3 1 LIG 0.0\n"
XYZ = "9\nethanol\nC   -0.8883    0.1670   -0.0273\nC    0.4658   -0.5116   -0.0368\n"
GRO = "ethanol\n 9\n    1LIG     C1    1   0.126   1.624   1.679\n"
CIF = "data_1ABC\n#\nloop_\n_atom_site.group_PDB\n_atom_site.id\nATOM   1  N N\n"


@pytest.mark.parametrize(
    ("name", "text", "messages"),
    [
        (
            "m.sdf",
            SDF,
            ["an MDL molfile (SDF)", "MolFromMolFile('{path}', removeHs=False)", "obabel {path} -O"],
        ),
        ("m.pdb", SDF, ["an MDL molfile (SDF)", "m.converted.pdb"]),
        ("m.pdb", SDF.replace("\n", "\r\n"), ["an MDL molfile (SDF)"]),
        ("m.mol2", MOL2, ["a Tripos mol2 file", "MolFromMol2File", "obabel"]),
        ("m.xyz", XYZ, ["an XYZ file, which has no bonds", "`obabel {path} -O"]),
        ("m.gro", GRO, ["a GROMACS .gro file, which has no bonds", "obabel"]),
        ("m.pdb", CIF, ["a PDBx/mmCIF file, whose name must end in .cif"]),
        ("m.pdb", '{"a": 1}', ["a JSON file"]),
        ("m.pdb", "<?xml version='1.0'?>\n<System/>", ["an XML file"]),
    ],
)
def test_other_formats_are_named_with_what_converts_them(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, text: str, messages: list[str]
) -> None:
    path = tmp_path / name
    path.write_text(text)
    for message in messages:
        output = call(capfd, "prepare", path, *FIELD, "-o", tmp_path / "out")
        refused(output, message.format(path=path))
        refused(output, "expected a PDB file")


def test_pdb_files_are_of_no_other_format() -> None:
    for path in [*PEPTIDES.glob("*.pdb"), *SMALL.glob("*.pdb")]:
        check_format(path, path.read_text())
