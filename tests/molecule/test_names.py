"""Names from files, which may become parts of paths."""

import pytest

from boltzgen.molecule.names import check_name, file_stem

GOOD = ("phi", "C7ax", "torsion C5'-C6*-O2-H7", "ALA 2 alphaR", "LIG1:C5-C6-O2-H7", "alpha_R+1.5", "αR")
BAD = ("phi/../../OUTSIDE", "/etc", "a\\b", "..", "a..b", "", "  ", "a\nb", "a\0b", "\x1b[31m", "x" * 101)


@pytest.mark.parametrize("name", GOOD)
def test_names_of_chemistry_are_names(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", BAD)
def test_paths_and_control_characters_are_not(name: str) -> None:
    with pytest.raises(ValueError, match="expected a name of 1 to 100 printed characters"):
        check_name(name)


@pytest.mark.parametrize("name", [*GOOD, *BAD])
def test_part_of_a_file_name_leads_nowhere(name: str) -> None:
    stem = f"ramachandran{file_stem(name)}.png"
    assert "/" not in stem and "\\" not in stem and "\0" not in stem and stem.isprintable()
