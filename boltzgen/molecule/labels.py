"""What residues and atoms are called: as in the file that they came from, and each differently.

Residues have the numbers of their file (`resSeq` of a PDB file, `auth_seq_id` of a PDBx/mmCIF file), which
viewers show: ``"CYS 5"``. An insertion code follows the number (``52A``), and the chain goes before it
(``B5``) where two chains share a number. Where these do not tell residues apart, or the file has none, they
are counted from 1 in its order.
"""

import re
from collections import Counter
from collections.abc import Sequence

from openmm import app

#: What a number of a residue may be made of, and what an atom's name may not: names get into names of files.
_NUMBER, _UNUSUAL = re.compile(r"[A-Za-z0-9_-]+"), re.compile(r"[^A-Za-z0-9_.+'\"*-]")


def residue_numbers(topology: app.Topology) -> list[str]:
    """The number of each residue, as in its file: ``"5"``, ``"52A"``, or ``"B5"`` with its chain.

    >>> topology = app.Topology()
    >>> for chain in (topology.addChain("A"), topology.addChain("B")):
    ...     _ = topology.addResidue("CYS", chain, id="5")
    >>> residue_numbers(topology)
    ['A5', 'B5']
    """
    residues = list(topology.residues())
    plain = [f"{residue.id}{residue.insertionCode}".strip() for residue in residues]
    # A chain that is named by a digit must not become one of the number's.
    chains = [
        residue.chain.id if residue.chain.id.isalpha() else f"{residue.chain.id}_" for residue in residues
    ]
    for numbers in (plain, [f"{c}{n}" for c, n in zip(chains, plain, strict=True)]):
        if len(set(numbers)) == len(numbers) and all(map(_NUMBER.fullmatch, numbers)):
            return numbers
    return [str(k) for k in range(1, len(residues) + 1)]


def residue_names(topology: app.Topology) -> list[str]:
    """What each residue is called: ``"CYS 5"``."""
    return [
        f"{residue.name} {number}"
        for residue, number in zip(topology.residues(), residue_numbers(topology), strict=True)
    ]


def atom_names(topology: app.Topology) -> list[str]:
    """What each atom is called in messages: ``"CA (ALA 2)"``."""
    residues = residue_names(topology)
    return [f"{atom.name} ({residues[atom.residue.index]})" for atom in topology.atoms()]


class AtomLabels:
    """Names of groups of atoms within names of coordinates: ``"C5-C6-O2-H7"``, ``"ACE1:C-ALA2:N-CA-C"``.

    An atom has its name in the file. Where another residue has an atom of that name, the group says of which
    residue its atoms are, once for all that follow each other. Where a residue has two atoms of one name,
    their numbers from 1 follow: ``"C#5"``.
    """

    def __init__(self, topology: app.Topology) -> None:
        residues = [name.replace(" ", "") for name in residue_names(topology)]
        self.residues = [_UNUSUAL.sub("_", residues[atom.residue.index]) for atom in topology.atoms()]
        names = [_UNUSUAL.sub("_", atom.name) for atom in topology.atoms()]
        count = Counter(zip(self.residues, names, strict=True))
        self.names = [
            name if name and count[residue, name] == 1 else f"{name}#{k + 1}"
            for k, (residue, name) in enumerate(zip(self.residues, names, strict=True))
        ]
        self._shared = {name for name, n in Counter(self.names).items() if n > 1}

    def __call__(self, *atoms: int) -> str:
        """The name of a group of atoms, given by their indices."""
        return "-".join(self.listed(atoms))

    def listed(self, atoms: Sequence[int]) -> list[str]:
        """The name of each atom of a group."""
        if not any(self.names[i] in self._shared for i in atoms):
            return [self.names[i] for i in atoms]
        residues = [self.residues[i] for i in atoms]
        return [
            f"{residue}:{self.names[i]}" if residue != before else self.names[i]
            for i, residue, before in zip(atoms, residues, ["", *residues], strict=False)
        ]
