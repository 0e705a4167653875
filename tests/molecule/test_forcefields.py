"""The list of OpenMM's force-field files, and what is said of a name that is none."""

from pathlib import Path

import pytest

from boltzgen.molecule.forcefields import KINDS, OPENMM_DATA, OTHER, near_misses, shipped_forcefields
from boltzgen.molecule.openmm_files import load_forcefield, template_file


def test_files_are_those_of_the_installed_openmm() -> None:
    found = shipped_forcefields()
    files = [f.file for f in found]
    assert len(set(files)) == len(files) > 20
    assert all((OPENMM_DATA / file).is_file() for file in files)
    assert {"amber14-all.xml", "amber99sbildn.xml", "implicit/obc2.xml", "charmm36.xml"} <= set(files)
    # Lists of residues and of hydrogens are no force fields.
    assert not {"residues.xml", "hydrogens.xml", "pdbNames.xml"} & set(files)
    kinds = [KINDS.index(f.kind) for f in found]
    assert kinds == sorted(kinds)
    assert all(f.description for f in found if f.kind != OTHER)


def test_files_of_another_version_are_listed_without_a_word(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "field.xml").write_text("<ForceField>\n</ForceField>\n")
    (tmp_path / "new" / "list.xml").write_text("<Residues>\n</Residues>\n")
    (tmp_path / "tip9p.xml").write_text("<?xml version='1.0'?>\n<ForceField/>\n")
    found = {f.file: (f.kind, f.description) for f in shipped_forcefields(tmp_path)}
    assert set(found) == {"new/field.xml", "tip9p.xml"}
    assert found["new/field.xml"] == (OTHER, "")
    assert "water" in found["tip9p.xml"][0]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("amber14-all", ["amber14-all.xml"]),
        ("Amber14-All.xml", ["amber14-all.xml"]),
        ("amber99sbildn", ["amber99sbildn.xml"]),
        ("obc2", ["implicit/obc2.xml"]),
        ("ff14SB", ["amber14/protein.ff14SB.xml"]),
        ("charm36.xml", ["charmm36.xml", "charmm36_2024.xml"]),
        ("gaff", []),
        ("", []),
    ],
)
def test_near_misses(name: str, meant: list[str]) -> None:
    assert near_misses(name)[: len(meant)] == meant
    assert meant or near_misses(name) == []


def test_a_name_that_is_none_says_what_was_meant() -> None:
    with pytest.raises(FileNotFoundError, match=r"'amber14-all'.*lists; did you mean amber14-all\.xml\?"):
        load_forcefield(["amber14-all", "implicit/obc2.xml"])
    with pytest.raises(FileNotFoundError, match=r"`boltzgen forcefields` lists$"):
        load_forcefield(["gaff"])


def test_the_file_of_a_template_is_found_through_includes(tmp_path: Path) -> None:
    (tmp_path / "part.xml").write_text(
        '<ForceField><Residues><Residue override="1" name="LIG"/></Residues></ForceField>'
    )
    (tmp_path / "all.xml").write_text('<ForceField><Include file="part.xml"/></ForceField>')
    files = ["implicit/obc2.xml", str(tmp_path / "all.xml"), str(tmp_path / "part.xml")]
    assert template_file(files, "LIG") == str(tmp_path / "all.xml")
    assert template_file(["amber14-all.xml"], "ALA") == "amber14-all.xml"
    assert template_file(files, "LI") == ""
