"""Lines of PDB files of peptides, for tests that change them, and the force field they are prepared with."""

from tests.helpers.molecules import FOLDER

FIELD = ("--forcefield", "amber99sbildn.xml", "--forcefield", "amber99_obc.xml")


def lines(name: str) -> list[str]:
    return (FOLDER / f"{name}.pdb").read_text().splitlines()


def exchanged(first: str, second: str) -> str:
    """A PDB file in which two atoms of alanine have changed places."""
    kept = [line for line in lines("ace_ala_nme") if line.startswith(("ATOM", "HETATM"))]
    i, j = (
        next(k for k, line in enumerate(kept) if line[12:16].strip() == name and "ALA" in line)
        for name in (first, second)
    )
    kept[i], kept[j] = kept[j], kept[i]
    return "\n".join([*kept, "END"])
