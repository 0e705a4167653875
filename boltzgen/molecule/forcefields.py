"""The force-field files that OpenMM brings, and what each is for."""

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from openmm import app

OPENMM_DATA = Path(app.__file__).parent / "data"
#: Kinds of files in the order of lists.
MOLECULES, SOLVENTS, REFUSED, WATER, OTHER = (
    "molecules",
    "implicit solvents",
    "polarizable, not treated here",
    "explicit water and ions, not used here",
    "not described",
)
KINDS = (MOLECULES, SOLVENTS, REFUSED, WATER, OTHER)
_BIOMOLECULES = "proteins, DNA, RNA"
_ANY_AMBER = "for Amber and CHARMM files"
#: What the files of OpenMM 8 are for; those of other versions are listed without a word.
_KNOWN = {
    "amber19-all.xml": (MOLECULES, "proteins (ff19SB), DNA (OL21), RNA (OL3), lipids (lipid21)"),
    "amber14-all.xml": (MOLECULES, "proteins (ff14SB), DNA (OL15), RNA (OL3), lipids (lipid17)"),
    "amber19/protein.ff19SB.xml": (MOLECULES, "proteins; with CMAP"),
    "amber14/protein.ff14SB.xml": (MOLECULES, "proteins"),
    "amber14/protein.ff15ipq.xml": (MOLECULES, "proteins; charges for explicit water"),
    "amberfb15.xml": (MOLECULES, f"{_BIOMOLECULES}; FB15"),
    "amber99sbildn.xml": (
        MOLECULES,
        f"{_BIOMOLECULES}; ff99SB with better side chains",
    ),
    "amber99sbnmr.xml": (MOLECULES, f"{_BIOMOLECULES}; ff99SB refined by NMR data"),
    "amber99sb.xml": (MOLECULES, _BIOMOLECULES),
    "amber96.xml": (MOLECULES, _BIOMOLECULES),
    "amber03.xml": (MOLECULES, _BIOMOLECULES),
    "amber10.xml": (MOLECULES, _BIOMOLECULES),
    "amber14/DNA.OL15.xml": (MOLECULES, "DNA"),
    "amber14/DNA.bsc1.xml": (MOLECULES, "DNA"),
    "amber19/DNA.OL21.xml": (MOLECULES, "DNA"),
    "amber14/RNA.OL3.xml": (MOLECULES, "RNA"),
    "amber14/lipid17.xml": (MOLECULES, "lipids"),
    "amber19/lipid21.xml": (MOLECULES, "lipids"),
    "amber14/GLYCAM_06j-1.xml": (MOLECULES, "carbohydrates, with amber14/protein.ff14SB.xml"),
    "charmm36.xml": (MOLECULES, f"{_BIOMOLECULES}, lipids, carbohydrates, small molecules; no ACE, NME"),
    "charmm36_2024.xml": (MOLECULES, f"{_BIOMOLECULES}, lipids, carbohydrates; no ACE, NME"),
    "implicit/obc2.xml": (SOLVENTS, f"OBC2 generalized Born, {_ANY_AMBER}"),
    "implicit/obc1.xml": (SOLVENTS, f"OBC1 generalized Born, {_ANY_AMBER}"),
    "implicit/hct.xml": (SOLVENTS, f"HCT generalized Born, {_ANY_AMBER}"),
    "implicit/gbn.xml": (SOLVENTS, f"GBn generalized Born, {_ANY_AMBER}"),
    "implicit/gbn2.xml": (SOLVENTS, f"GBn2 generalized Born, {_ANY_AMBER}"),
    "amber99_obc.xml": (SOLVENTS, "OBC2, for amber99sb.xml, amber99sbildn.xml and amber99sbnmr.xml"),
    "amber96_obc.xml": (SOLVENTS, "OBC2, for amber96.xml"),
    "amber03_obc.xml": (SOLVENTS, "OBC2, for amber03.xml"),
    "amber10_obc.xml": (SOLVENTS, "OBC2, for amber10.xml"),
}
#: The same by what a name begins with.
_FAMILIES = (
    (r"amoeba\d+(_gk)?\.xml", REFUSED, "AMOEBA"),
    (r"iamoeba\.xml", REFUSED, "AMOEBA water"),
    (r"charmm_polar_\d+\.xml", REFUSED, "CHARMM Drude"),
    (r"swm4ndp\.xml", REFUSED, "Drude water"),
    (r"(amber1[49]/|charmm36(_2024)?/)?(tip|spc|opc|water).*", WATER, "water, some with ions"),
)
#: Files of OpenMM's own tests.
_HIDDEN = {"amber99Test.xml"}


@dataclass(frozen=True)
class ShippedForceField:
    """A force-field file that OpenMM brings.

    Attributes:
        file: its name, as `System.from_pdb` and `prepare` take it.
        kind: of `KINDS`.
        description: what it is for; empty if nothing is known of it.
    """

    file: str
    kind: str
    description: str


def shipped_forcefields(folder: Path = OPENMM_DATA) -> list[ShippedForceField]:
    """The force-field files of the installed OpenMM, by kind."""
    found = [_describe(file) for file in sorted(_files(folder)) if file not in _HIDDEN]
    order = {file: k for k, file in enumerate(_KNOWN)}
    return sorted(found, key=lambda f: (KINDS.index(f.kind), order.get(f.file, len(order))))


def _files(folder: Path) -> Iterator[str]:
    for path in folder.rglob("*.xml"):
        with path.open("rb") as file:
            if b"<ForceField" in file.read(1000):  # there are lists of residues and hydrogens, too
                yield path.relative_to(folder).as_posix()


def _describe(file: str) -> ShippedForceField:
    if file in _KNOWN:
        return ShippedForceField(file, *_KNOWN[file])
    for pattern, kind, description in _FAMILIES:
        if re.fullmatch(pattern, file):
            return ShippedForceField(file, kind, description)
    return ShippedForceField(file, OTHER, "")


def near_misses(name: str, known: Sequence[str] | None = None) -> list[str]:
    """The shipped files that someone who wrote `name` may have meant, at most three."""
    files = [f.file for f in shipped_forcefields()] if known is None else list(known)
    wanted = Path(name).name.lower().removesuffix(".xml")
    stems = {file: Path(file).stem.lower() for file in files}
    # protein.ff14SB is asked for as ff14SB.
    same = [file for file, stem in stems.items() if wanted and wanted in (stem, stem.split(".")[-1])]
    near = difflib.get_close_matches(wanted, stems.values(), n=3, cutoff=0.7)
    return (same or [file for stem in near for file in files if stems[file] == stem])[:3]
