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
        minutes: of training, on one core of a virtual machine; other machines take other times.
        energies: that it computed, those of its summary included.
        efficiency: unclipped, in percent, as the page has it.
        page: where it is.
    """

    molecule: str
    coordinates: int
    minutes: float
    energies: float
    efficiency: float
    page: str


_FOUR_MINUTES = {
    "ALA": (48, 1.03e6, 98.8),
    "ARG": (82, 6.23e5, 7.7),
    "ASN": (59, 8.28e5, 86.1),
    "ASP": (55, 9.3e5, 93.5),
    "CYS": (51, 8.79e5, 95.5),
    "GLN": (66, 5.72e5, 53.8),
    "GLU": (62, 7.25e5, 71.5),
    "GLY": (41, 1.03e6, 99.3),
    "HIS": (67, 7.25e5, 67.9),
    "ILE": (69, 7.25e5, 82.7),
    "LEU": (69, 7.25e5, 83.0),
    "LYS": (76, 6.23e5, 67.4),
    "MET": (65, 7.76e5, 79.7),
    "PHE": (74, 7.76e5, 84.8),
    "PRO": (58, 6.74e5, 85.6),
    "SER": (51, 9.3e5, 91.8),
    "THR": (58, 8.28e5, 51.3),
    "TRP": (85, 6.74e5, 40.5),
    "TYR": (77, 7.25e5, 80.2),
    "VAL": (62, 8.79e5, 88.8),
    "hexapeptide": (148, 3.16e5, 0.1),
    "mixed hexapeptide": (200, 2.13e5, 0.0),
}
MEASURED = (
    *(Measured(name, n, 4, e, efficiency, MOLECULES) for name, (n, e, efficiency) in _FOUR_MINUTES.items()),
    Measured("alanine tetrapeptide", 98, 58, 9.59e6, 84.0, TETRAPEPTIDE),
    Measured("hexapeptide", 148, 45, 2.72e6, 1.9, MOLECULES),
)


def like(coordinates: int) -> list[Measured]:
    """The trainings of molecules of about so many coordinates."""
    return [m for m in MEASURED if 1 / _ALIKE <= m.coordinates / coordinates <= _ALIKE]


def expectation(coordinates: int) -> str:
    """What trainings of molecules of like size have reached, in words; a range, no promise."""
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
        whose = same[0].molecule if len(same) == 1 else f"{len(same)} peptides"
        after = _span([m.energies / 1e6 for m in same])
        sizes = _span([m.coordinates for m in same])
        parts.append(f"{share} after {after} million energies ({whose} of {sizes} coordinates, {page})")
    return (
        f"{'; '.join(parts)}: other trainings, most by earlier versions, of molecules alike in their number "
        "of coordinates alone; no promise"
    )


def _span(values: list[float] | list[int]) -> str:
    low, high = f"{min(values):.2g}", f"{max(values):.2g}"
    if isinstance(values[0], int):
        low, high = str(min(values)), str(max(values))
    return low if low == high else f"{low} to {high}"
