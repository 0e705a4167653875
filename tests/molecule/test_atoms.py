"""Atoms are found by every name that they may be given, and by no other."""

import pytest

from boltzgen.molecule.atoms import find_atom
from boltzgen.molecule.system import System
from tests.helpers.molecules import peptide


@pytest.fixture(scope="module")
def trialanine() -> System:
    return peptide("capped_ala3")


@pytest.mark.parametrize("name", ["CA3", "3:CA", "ALA3:CA"])
def test_an_atom_of_a_residue(trialanine: System, name: str) -> None:
    for topology in (trialanine.topology, trialanine.mdtraj_topology):
        atom = trialanine.mdtraj_topology.atom(find_atom(topology, name))
        assert (atom.name, atom.residue.resSeq) == ("CA", 3)


def test_a_name_that_one_atom_has(system: System) -> None:
    for name, residue in (("CA", "ALA"), ("CH3", "ACE")):
        atom = system.mdtraj_topology.atom(find_atom(system.topology, name))
        assert (atom.name, atom.residue.name) == (name, residue)


def test_doubt_is_not_decided(trialanine: System, system: System) -> None:
    with pytest.raises(ValueError, match="'CA' may be any of ALA2:CA, ALA3:CA, ALA4:CA; give one of these"):
        find_atom(trialanine.topology, "CA")
    # The second hydrogen of a cap, or the only one on the nitrogen of residue 2.
    with pytest.raises(ValueError, match=r"'H2' may be any of ACE1:H2, ALA2:H"):
        find_atom(system.topology, "H2")


def test_a_name_that_no_atom_has_lists_some(system: System) -> None:
    with pytest.raises(ValueError, match=r"no atom called 'CA9' in this molecule; it has: ACE1:.*, \.\.\."):
        find_atom(system.topology, "CA9")
