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
    "ALA": (48, 1.72e6, 99.0),
    "ARG": (82, 9.59e5, 21.8),
    "ASN": (59, 1.16e6, 88.8),
    "ASP": (55, 1.18e6, 91.9),
    "CYS": (51, 1.33e6, 95.4),
    "GLN": (66, 9.6e5, 64.4),
    "GLU": (62, 1.09e6, 79.3),
    "GLY": (41, 1.8e6, 99.5),
    "HIS": (67, 1.08e6, 87.4),
    "ILE": (69, 9.76e5, 82.1),
    "LEU": (69, 1.2e6, 85.0),
    "LYS": (76, 9.44e5, 73.7),
    "MET": (65, 1.22e6, 81.8),
    "PHE": (74, 1.28e6, 86.0),
    "PRO": (58, 1.41e6, 92.2),
    "SER": (51, 1.36e6, 95.5),
    "THR": (58, 1.16e6, 93.0),
    "TRP": (85, 1.23e6, 79.1),
    "TYR": (77, 1.34e6, 80.3),
    "VAL": (62, 1.3e6, 93.9),
}
MEASURED = (
    *(Measured(name, n, 4, e, efficiency, MOLECULES) for name, (n, e, efficiency) in _FOUR_MINUTES.items()),
    Measured("alanine tetrapeptide", 98, 58, 9.59e6, 84.0, TETRAPEPTIDE),
    Measured("hexapeptide", 148, 81, 8.14e6, 7.4, MOLECULES),
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
        f"{'; '.join(parts)}: other trainings, some by earlier versions, of molecules alike in their number "
        "of coordinates alone; no promise"
    )


def _span(values: list[float] | list[int]) -> str:
    low, high = f"{min(values):.2g}", f"{max(values):.2g}"
    if isinstance(values[0], int):
        low, high = str(min(values)), str(max(values))
    return low if low == high else f"{low} to {high}"
