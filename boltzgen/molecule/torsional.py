"""What analysis needs to know of a molecule: its named torsions and their states."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from boltzgen.molecule.basins import Basin
from boltzgen.molecule.graph import Quadruple
from boltzgen.molecule.states import Rotamer


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
