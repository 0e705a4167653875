"""Atoms by the names that people give them: `CA`, `CA2`, `2:CA`, `ALA2:CA`."""

import mdtraj
from openmm import app

from boltzgen.molecule.labels import AtomLabels, residue_numbers

_MOST_LISTED = 12


def find_atom(topology: app.Topology | mdtraj.Topology, name: str) -> int:
    """The index of an atom.

    It has its name alone where no other atom has it, or with its residue as in names of torsions
    (``"ALA2:CA"``), or with the residue's number before or after it (``"2:CA"``, ``"CA2"``).

    Raises:
        ValueError: no atom has this name, or several have.

    >>> topology = app.Topology()
    >>> chain = topology.addChain()
    >>> for number in ("2", "3"):
    ...     residue = topology.addResidue("ALA", chain, id=number)
    ...     _ = topology.addAtom("CA", app.element.carbon, residue)
    >>> [find_atom(topology, name) for name in ("ALA2:CA", "CA3", "3:CA")]
    [0, 1, 1]
    """
    if isinstance(topology, mdtraj.Topology):
        topology = topology.to_openmm()
    labels, numbers = AtomLabels(topology), residue_numbers(topology)
    found, full = [], []
    for atom, residue, own in zip(topology.atoms(), labels.residues, labels.names, strict=True):
        number = numbers[atom.residue.index]
        full.append(f"{residue}:{own}")
        if name in (own, full[-1], f"{number}:{own}", f"{own}{number}"):
            found.append(atom.index)
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(full[i] for i in found[:_MOST_LISTED])
        raise ValueError(f"{name!r} may be any of {listed}; give one of these names")
    listed = ", ".join(full[:_MOST_LISTED]) + (", ..." if len(full) > _MOST_LISTED else "")
    raise ValueError(f"no atom called {name!r} in this molecule; it has: {listed}")
