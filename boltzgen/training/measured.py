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
    "ALA": (48, 2.5e6, 99.3),
    "ARG": (82, 1.21e6, 41.6),
    "ASN": (59, 1.64e6, 91.6),
    "ASP": (55, 1.91e6, 95.7),
    "CYS": (51, 2.02e6, 97.4),
    "GLN": (66, 1.17e6, 83.4),
    "GLU": (62, 1.56e6, 85.5),
    "GLY": (41, 2.37e6, 99.6),
    "HIS": (67, 1.6e6, 90.9),
    "ILE": (69, 1.43e6, 86.7),
    "LEU": (69, 1.74e6, 91.7),
    "LYS": (76, 1.1e6, 83.6),
    "MET": (65, 1.48e6, 88),
    "PHE": (74, 1.76e6, 93.3),
    "PRO": (58, 1.75e6, 95.1),
    "SER": (51, 1.74e6, 96.5),
    "THR": (58, 1.56e6, 94.9),
    "TRP": (85, 1.47e6, 41.4),
    "TYR": (77, 1.54e6, 89.2),
    "VAL": (62, 1.57e6, 95.9),
}
MEASURED = (
    *(Measured(name, n, 4, e, efficiency, MOLECULES) for name, (n, e, efficiency) in _FOUR_MINUTES.items()),
    Measured("alanine tetrapeptide", 98, 66, 9.67e6, 87.0, TETRAPEPTIDE),
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
