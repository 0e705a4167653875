"""What `prepare` says of a molecule's charge and solvent."""

from pathlib import Path

import pytest

from boltzgen.preparation.description import charge, solvent
from boltzgen.preparation.sources import Source, from_amber, from_sequence, from_structure

DATA = Path(__file__).parents[1] / "data"
PDB = DATA / "peptides" / "ace_ala_nme.pdb"


@pytest.mark.parametrize(
    ("sequence", "text"),
    [
        ("ACE ALA NME", "0"),
        ("ALA GLY", "0 (NH3+ of ALA 1, COO- of GLY 2)"),
        ("LYS GLY", "+1 (NH3+ of LYS 1, LYS 1 +1, COO- of GLY 2)"),
        ("ACE ASP NME", "-1 (ASP 2 -1)"),
        ("ACE ASH HIP NME", "+1 (HIS 3 +1, HIS 3 as HIP)"),
        ("ACE HIE NME", "0 (HIS 2 as HIE)"),
        ("PRO ALA", "0 (NH2+ of PRO 1, COO- of ALA 2)"),
    ],
)
def test_charge_and_what_carries_it(sequence: str, text: str) -> None:
    source = from_sequence(sequence, ["amber99sbildn.xml", "amber99_obc.xml"])
    assert charge(source.topology, source.openmm_system) == text


@pytest.mark.parametrize(
    ("files", "text"),
    [
        (["amber99sbildn.xml"], "none (vacuum)"),
        (["amber99sbildn.xml", "amber99_obc.xml"], "OBC2 (implicit)"),
        (["amber99sbildn.xml", "implicit/obc2.xml"], "OBC2 (implicit)"),
        (["amber99sbildn.xml", "implicit/gbn.xml"], "GBn (implicit)"),
        (["amber99sbildn.xml", "implicit/gbn2.xml"], "GBn2 (implicit)"),
    ],
)
def test_solvent_by_its_file(files: list[str], text: str) -> None:
    assert solvent(from_structure(PDB, files)) == text


def test_solvent_of_amber_files_and_of_others() -> None:
    amber = DATA / "amber" / "ace_ala_nme.prmtop"
    source = from_amber(amber, amber.with_suffix(".inpcrd"), solvent="OBC1")
    assert solvent(source) == "OBC1 (implicit)"
    unnamed = Source(source.topology, source.openmm_system, source.positions, "my.pdb, made.xml")
    assert solvent(unnamed) == "implicit (generalized Born)"
