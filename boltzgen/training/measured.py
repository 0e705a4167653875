"""Efficiencies that trainings have reached, from docs/results: what to expect of molecules like them.

All were of peptides.
"""

from dataclasses import dataclass
from statistics import median

MOLECULES, TETRAPEPTIDE = "docs/results/molecules.md", "docs/results/alanine_tetrapeptide.md"
#: Molecules are alike whose numbers of coordinates differ by at most this factor.
_ALIKE = 1.2


@dataclass(frozen=True)
class Measured:
    """A training that was measured.

    Attributes:
        molecule: its name on the page.
        coordinates: periodic torsions and stiff coordinates of the flow together.
        minutes: of training, on one core of a virtual machine.
        efficiency: unclipped, in percent, as the page has it.
        page: where it is.
    """

    molecule: str
    coordinates: int
    minutes: float
    efficiency: float
    page: str


_FOUR_MINUTES = {
    "ALA": (48, 98.8),
    "ARG": (82, 7.7),
    "ASN": (59, 86.1),
    "ASP": (55, 93.5),
    "CYS": (51, 95.5),
    "GLN": (66, 53.8),
    "GLU": (62, 71.5),
    "GLY": (41, 99.3),
    "HIS": (67, 67.9),
    "ILE": (69, 82.7),
    "LEU": (69, 83.0),
    "LYS": (76, 67.4),
    "MET": (65, 79.7),
    "PHE": (74, 84.8),
    "PRO": (58, 85.6),
    "SER": (51, 91.8),
    "THR": (58, 51.3),
    "TRP": (85, 40.5),
    "TYR": (77, 80.2),
    "VAL": (62, 88.8),
    "hexapeptide": (148, 0.1),
    "mixed hexapeptide": (200, 0.0),
}
MEASURED = (
    *(Measured(name, n, 4, efficiency, MOLECULES) for name, (n, efficiency) in _FOUR_MINUTES.items()),
    Measured("alanine tetrapeptide", 98, 58, 64.0, TETRAPEPTIDE),
    Measured("hexapeptide", 148, 45, 1.9, MOLECULES),
)


def like(coordinates: int) -> list[Measured]:
    """The trainings of molecules of about so many coordinates."""
    return [m for m in MEASURED if 1 / _ALIKE <= m.coordinates / coordinates <= _ALIKE]


def expectation(coordinates: int) -> str:
    """What trainings of like molecules have reached, in words; a range, no promise."""
    found = like(coordinates)
    if not found:
        return f"not measured for {coordinates} flow coordinates"
    parts = []
    for minutes, page in dict.fromkeys((m.minutes, m.page) for m in found):
        same = [m for m in found if (m.minutes, m.page) == (minutes, page)]
        reached = sorted(m.efficiency for m in same)
        share = f"{reached[0]:g} %"
        if len(reached) > 1:
            share = f"{reached[0]:g} to {reached[-1]:g} % (median {median(reached):.3g} %)"
        sizes = sorted({m.coordinates for m in same})
        whose = same[0].molecule if len(same) == 1 else f"{len(same)} peptides"
        span = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
        parts.append(f"{share} after {minutes:g} minutes: {whose} of {span} coordinates, {page}")
    return f"{'; '.join(parts)} (single trainings with earlier versions, no promise)"
