"""What analysis needs to know of a molecule: its named torsions and their states."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from boltzgen.molecule.basins import Basin
from boltzgen.molecule.graph import Quadruple, backbone_pairs
from boltzgen.molecule.states import BASINS, Regions, Rotamer, States

#: Names of two torsions.
Pair = tuple[str, str]


class Torsional(Protocol):
    """What is to be known of a molecule: a `System`, or the header of a samples file."""

    @property
    def torsions(self) -> Mapping[str, Quadruple]:
        """Named torsions as quadruples of atoms."""

    @property
    def rotamers(self) -> Mapping[str, Rotamer]:
        """States of torsions that are counted by themselves, by the torsion's name."""

    @property
    def basins(self) -> Sequence[Basin]:
        """Named regions of the molecule's torsions."""

    @property
    def regions(self) -> Mapping[str, Sequence[Basin]]:
        """Regions of (phi, psi) of each amino acid, by its name."""


def counted_states(molecule: Torsional) -> dict[str, States]:
    """Everything that is counted, by name: the basins (`BASINS`), residues' regions and rotamers."""
    groups = ({BASINS: molecule.basins} if molecule.basins else {}) | dict(molecule.regions)
    return {
        **{name: Regions.of(basins, molecule.torsions, molecule.rotamers) for name, basins in groups.items()},
        **molecule.rotamers,
    }


def checked_pairs(pairs: Sequence[Sequence[str]], molecule: Torsional) -> list[Pair]:
    """Pairs of torsions whose surfaces are asked for; by default each residue's phi and psi.

    Raises:
        ValueError: one is not two different torsions of the molecule.
    """
    known = backbone_pairs(molecule.torsions)
    for pair in pairs:
        names = [pair] if isinstance(pair, str) else list(pair)
        if len(names) != 2 or len(set(names)) != 2:
            raise ValueError(f"expected `pairs` of two different torsions each, got {' '.join(names)!r}")
        for name in names:
            if name not in molecule.torsions:
                raise ValueError(
                    f"`pairs` names a torsion {name!r} that this molecule has not; it has: "
                    f"{', '.join(molecule.torsions) or 'none'}"
                )
    return list(dict.fromkeys((first, second) for first, second in pairs)) if pairs else known
