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
    "ALA": (48, 1.73e6, 99.1),
    "ARG": (82, 8.07e5, 8.0),
    "ASN": (59, 1.05e6, 85.1),
    "ASP": (55, 1.01e6, 87.9),
    "CYS": (51, 1.26e6, 94.8),
    "GLN": (66, 8.29e5, 73.3),
    "GLU": (62, 8.94e5, 78.9),
    "GLY": (41, 1.93e6, 99.5),
    "HIS": (67, 1.12e6, 83.6),
    "ILE": (69, 8.99e5, 77.9),
    "LEU": (69, 9.35e5, 83.8),
    "LYS": (76, 9.34e5, 69.5),
    "MET": (65, 1.27e6, 83.4),
    "PHE": (74, 1.07e6, 82.6),
    "PRO": (58, 1.42e6, 72.5),
    "SER": (51, 1.36e6, 95.1),
    "THR": (58, 1.08e6, 90.8),
    "TRP": (85, 1.06e6, 2.1),
    "TYR": (77, 1.12e6, 80.7),
    "VAL": (62, 1.09e6, 92.6),
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
        f"{'; '.join(parts)}: other trainings, some by earlier versions, of molecules alike in their number "
        "of coordinates alone; no promise"
    )


def _span(values: list[float] | list[int]) -> str:
    low, high = f"{min(values):.2g}", f"{max(values):.2g}"
    if isinstance(values[0], int):
        low, high = str(min(values)), str(max(values))
    return low if low == high else f"{low} to {high}"
