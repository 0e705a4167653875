"""Which states a torsion has: from elements, bonds, rings and equivalent ends, not from names."""

from collections.abc import Mapping, Sequence

from boltzgen.molecule.graph import MolecularGraph, Quadruple, Rotor
from boltzgen.molecule.states import Rotamer

#: Atoms with lone pairs, by element and number of neighbours.
_LONE_PAIRS = {("N", 3), ("P", 3), ("O", 2), ("S", 2), ("Se", 2)}


def torsion_states(
    torsions: Mapping[str, Quadruple], graph: MolecularGraph, rotors: Sequence[Rotor]
) -> dict[str, Rotamer]:
    """How named torsions are divided into states, by name; `states.DIVISIONS` has the arcs.

    States do not depend on the labels of equivalent atoms: a torsion is counted to both of two equivalent
    ends, and one about a bond that has an equivalent elsewhere is left out.
    """
    partner = {i: j for rotor in rotors for pair in rotor.exchange for i, j in (pair, pair[::-1])}
    chemistry, found = _Chemistry(graph), {}
    for name, atoms in torsions.items():
        a, b, c, d = atoms
        if name.startswith(("phi", "psi")):
            found[name] = Rotamer(name[:3], (atoms,))
            continue
        if b in partner or c in partner:
            continue
        starts, stops = (
            [i, *(j for j in graph.neighbours[centre] if j == partner.get(i))]
            for i, centre in ((a, b), (d, c))
        )
        ends = [(i, b, c, l) for i in starts for l in stops]
        division = chemistry.division(atoms, symmetric=len(ends) > 1)
        found[name] = Rotamer(division, (atoms,) if division == "ring" else tuple(ends))
    return found


def rotamers(states: Mapping[str, Rotamer], graph: MolecularGraph) -> dict[str, Rotamer]:
    """Those torsions among them whose states are counted by themselves.

    phi and psi have regions, and secondary amides are trans.
    """
    trans = {frozenset(bond) for bond in graph.peptide_bonds()}
    return {
        name: rotamer
        for name, rotamer in states.items()
        if rotamer.division not in ("phi", "psi") and frozenset(rotamer.torsions[0][1:3]) not in trans
    }


class _Chemistry:
    """What the graph says of the atoms on a bond.

    Bonds have no orders here: an atom is trigonal by its element and its number of neighbours.
    """

    def __init__(self, graph: MolecularGraph) -> None:
        self.graph = graph
        self.rings = graph.ring_bonds()
        self.amides = {frozenset(bond) for bond in graph.amide_bonds()}

    def division(self, atoms: Quadruple, *, symmetric: bool) -> str:
        """Division of a torsion; `symmetric` if one of its ends is one of two equivalent ones."""
        _, b, c, _ = atoms
        bond = frozenset((b, c))
        if bond in self.rings:
            return "ring"
        if bond in self.amides:
            return "twofold" if symmetric else "amide"
        trigonal = [self._is_trigonal(i) for i in (b, c)]
        lone = [self._has_lone_pairs(i) for i in (b, c)]
        if all(trigonal) and self._is_aryl(b) and self._is_aryl(c):
            return "twist" if symmetric else "quarters"
        if any(trigonal) and all(t or p for t, p in zip(trigonal, lone, strict=True)):
            return "twofold" if symmetric else "planar"
        if any(trigonal):
            if symmetric:
                return "twofold"
            return self._on_tetrahedral(atoms) if trigonal[1] else self._on_tetrahedral(atoms[::-1])
        if symmetric:
            return "amine"
        return "sides" if all(lone) else "threefold"

    def _on_tetrahedral(self, atoms: tuple[int, ...]) -> str:
        """Of a torsion whose third atom is trigonal and whose second one is not."""
        _, other, centre, end = atoms
        if self._is_aryl(centre):
            return "sides"
        near = [i for i in self.graph.neighbours[centre] if i != other]
        oxo = [i for i in near if len(self.graph.neighbours[i]) == 1 and self.graph.elements[i] in ("O", "S")]
        double = oxo or [i for i in near if self._is_trigonal(i)]
        # The other end is opposite: where that eclipses, this one is staggered.
        return "eclipsed" if end in double else "threefold"

    def _is_trigonal(self, i: int) -> bool:
        """C with three neighbours, N with two, N of a nitro group or an aromatic ring."""
        near = self.graph.neighbours[i]
        match self.graph.elements[i], len(near):
            case ("C" | "B", 3) | ("N", 2):
                return True
            case ("N", 3):
                oxygens = sum(
                    self.graph.elements[j] == "O" and len(self.graph.neighbours[j]) == 1 for j in near
                )
                return oxygens == 2 or self._in_planar_ring(i)
        return False

    def _is_aryl(self, i: int) -> bool:
        return self._is_trigonal(i) and self._in_planar_ring(i)

    def _in_planar_ring(self, i: int) -> bool:
        """Whether an atom is in a ring next to none with four neighbours."""
        near = [j for j in self.graph.neighbours[i] if frozenset((i, j)) in self.rings]
        return len(near) > 1 and all(len(self.graph.neighbours[j]) <= 3 for j in near)

    def _has_lone_pairs(self, i: int) -> bool:
        return (self.graph.elements[i], len(self.graph.neighbours[i])) in _LONE_PAIRS
