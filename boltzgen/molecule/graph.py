"""What a bond graph says about a molecule: backbone, rings, symmetric rotors, peptide bonds, stereocentres.

Everything here is found from elements and bonds alone; no residue or atom names are typed in.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import networkx

from boltzgen.molecule.automorphism import about_ends

Quadruple = tuple[int, int, int, int]
#: The bonds of rings of up to so many atoms are not rotatable.
LARGEST_RIGID_RING = 7


@dataclass(frozen=True)
class Rotor:
    """Two or three equivalent branches about the rotatable bond between `axis` and `centre`.

    For instance CH3, NH3+, COO-, a phenyl ring, an NH2.

    Attributes:
        centre: the atom that carries the branches.
        axis: its neighbour on the bond.
        ends: the atoms on `centre` with which the branches begin; three of them are terminal atoms.
        exchange: of two, pairs of atoms whose exchange is the same molecule: corresponding atoms of the
            branches. Empty for three.
    """

    centre: int
    axis: int
    ends: tuple[int, ...]
    exchange: tuple[tuple[int, int], ...] = ()

    @property
    def fold(self) -> int:
        """Rotation by 360 degrees / fold gives the same molecule with other labels."""
        return len(self.ends)

    @property
    def moved(self) -> frozenset[int]:
        """Atoms whose labels change."""
        return frozenset(self.ends) | {i for pair in self.exchange for i in pair}


@dataclass(frozen=True)
class MolecularGraph:
    """Elements and bonds of one connected molecule.

    Attributes:
        elements: element symbol of each atom.
        neighbours: sorted bonded atoms of each atom.
        kept_bonds: rotatable by elements and bonds alone, but double: they keep their side, E or Z.
        kept_centres: atoms with three neighbours that keep their side of the plane of these.
        amides_turn: whether secondary amides may be cis.
    """

    elements: tuple[str, ...]
    neighbours: tuple[tuple[int, ...], ...]
    kept_bonds: frozenset[frozenset[int]] = frozenset()
    kept_centres: frozenset[int] = frozenset()
    amides_turn: bool = False

    @classmethod
    def from_bonds(
        cls,
        elements: Sequence[str],
        bonds: Sequence[tuple[int, int]],
        names: Sequence[str] | None = None,
    ) -> "MolecularGraph":
        """Build the graph; raises ValueError, with the atoms' names, unless it is one connected molecule."""
        sets: list[set[int]] = [set() for _ in elements]
        for i, j in bonds:
            sets[i].add(j)
            sets[j].add(i)
        graph = cls(tuple(elements), tuple(tuple(sorted(s)) for s in sets))
        missing = [i for i in range(len(elements)) if i not in graph.reachable(0)]
        if missing:
            listed = ", ".join(names[i] if names else f"number {i + 1}" for i in missing[:6])
            raise ValueError(
                f"expected one molecule whose atoms are all connected by bonds, got {len(missing)} atoms "
                f"not bonded to the first one ({listed}); remove other molecules, or give the PDB file "
                "standard residue names or CONECT records"
            )
        return graph

    def reachable(self, start: int, blocked: int = -1) -> set[int]:
        """Atoms connected to `start` by paths that avoid the atom `blocked`."""
        seen, stack = {start}, [start]
        while stack:
            for n in self.neighbours[stack.pop()]:
                if n not in seen and n != blocked:
                    seen.add(n)
                    stack.append(n)
        return seen

    def equivalence_classes(self) -> list[int]:
        """Class of each atom under repeated refinement by neighbours; equal means topologically alike.

        Morgan (1965), Weisfeiler and Lehman (1968).
        """
        classes: list[int] = [0] * len(self.elements)
        keys: list[tuple[object, ...]] = [
            (e, len(n)) for e, n in zip(self.elements, self.neighbours, strict=True)
        ]
        while True:
            order = {key: rank for rank, key in enumerate(sorted(set(keys), key=repr))}
            refined = [order[key] for key in keys]
            if len(set(refined)) == len(set(classes)):
                return refined
            classes = refined
            keys = [(classes[i], *sorted(classes[j] for j in n)) for i, n in enumerate(self.neighbours)]

    def rotors(self) -> list[Rotor]:
        """Symmetric rotors, a rotor before those inside its branches.

        Threefold ones have three equivalent terminal atoms on a centre with four neighbours. Twofold ones
        have two equivalent branches on a centre with three neighbours; both may join in one ring. Branches
        with a centre of four different neighbours, whose handedness an exchange would have to keep, are left
        out: their labels are those of the input.
        """
        return _rotors(self)

    def is_linear(self, i: int) -> bool:
        """Whether the bonds of atom i are in line: a carbon with two neighbours, or the middle of an azide.

        The latter is a nitrogen with two neighbours, one of them a C or N without others.
        """
        if len(self.neighbours[i]) != 2:
            return False
        return self.elements[i] == "C" or (
            self.elements[i] == "N"
            and any(
                self.elements[j] in ("C", "N") and len(self.neighbours[j]) == 1 for j in self.neighbours[i]
            )
        )

    def ring_bonds(self, largest: int = LARGEST_RIGID_RING) -> set[frozenset[int]]:
        """Bonds in rings of up to `largest` atoms."""
        found = set()
        for i, near in enumerate(self.neighbours):
            for j in near:
                if i < j and self._detour(i, j, largest):
                    found.add(frozenset((i, j)))
        return found

    def _detour(self, i: int, j: int, largest: int) -> bool:
        """Whether a path of fewer than `largest` bonds joins the neighbours i and j beside their own bond."""
        distance, queue = {i: 0}, deque([i])
        while queue:
            a = queue.popleft()
            for b in self.neighbours[a]:
                if b not in distance and (a, b) != (i, j):
                    distance[b] = distance[a] + 1
                    if distance[b] < largest:
                        queue.append(b)
        return distance.get(j, largest) < largest

    def _is_oxo(self, i: int) -> bool:
        return self.elements[i] == "O" and len(self.neighbours[i]) == 1

    def backbone(self) -> frozenset[int]:
        """Atoms N, C-alpha and C of every amino acid; empty for other molecules.

        They are N-C-C(=O), the middle carbon with four neighbours.
        """
        found: set[int] = set()
        for alpha, near in enumerate(self.neighbours):
            if self.elements[alpha] != "C" or len(near) != 4:
                continue
            nitrogens = [n for n in near if self.elements[n] == "N"]
            carbonyls = [
                c for c in near if self.elements[c] == "C" and any(map(self._is_oxo, self.neighbours[c]))
            ]
            if nitrogens and carbonyls:
                found.update((alpha, *nitrogens, *carbonyls))
        return frozenset(found)

    def amide_bonds(self) -> list[tuple[int, int]]:
        """Bonds (C, N) between a carbonyl carbon and a nitrogen, each with three neighbours."""
        return [
            (c, n)
            for c, near in enumerate(self.neighbours)
            if self.elements[c] == "C" and len(near) == 3 and any(map(self._is_oxo, near))
            for n in near
            if self.elements[n] == "N" and len(self.neighbours[n]) == 3
        ]

    def peptide_bonds(self) -> list[tuple[int, int]]:
        """Amide bonds (C, N) whose nitrogen carries a hydrogen and one carbon: those that are kept trans.

        The nitrogen of X-PRO carries no hydrogen and is left out: both of its isomers are populated. So is a
        primary amide's NH2. There are none where `amides_turn`.
        """
        if self.amides_turn:
            return []
        return [
            (c, n)
            for c, n in self.amide_bonds()
            if sorted(self.elements[k] for k in self.neighbours[n] if k != c) == ["C", "H"]
        ]

    def omega(self, peptide_bond: tuple[int, int]) -> Quadruple:
        """The omega torsion (C_alpha, C, N, C_alpha) of a peptide bond (C, N): the carbon on either side."""
        c, n = peptide_bond
        before = next((k for k in self.neighbours[c] if k != n and not self._is_oxo(k)), None)
        if before is None:
            raise ValueError(
                f"no atom other than =O precedes the amide carbon {c}; this peptide bond has no omega torsion"
            )
        after = next(k for k in self.neighbours[n] if k != c and self.elements[k] != "H")
        return before, c, n, after

    def free_torsions(self) -> list[Quadruple]:
        """One torsion a-b-c-d about each rotatable bond b-c, b < c.

        a and d are the lowest neighbours that are no hydrogens, or hydrogens where there are no others. Bonds
        of small rings and of secondary amides are not rotatable. Left out, too, are the bonds of CH3 and
        other groups of three equivalent terminal atoms, and those of straight groups.
        """
        fixed = self.ring_bonds() | {frozenset(bond) for bond in self.peptide_bonds()} | self.kept_bonds
        fixed |= {frozenset((rotor.axis, rotor.centre)) for rotor in self.rotors() if rotor.fold == 3}

        def far(i: int, other: int) -> int | None:
            return min(
                (k for k in self.neighbours[i] if k != other),
                key=lambda k: (self.elements[k] == "H", k),
                default=None,
            )

        found = []
        for b, near in enumerate(self.neighbours):
            for c in near:
                a, d = far(b, c), far(c, b)
                is_rotatable = (
                    b < c
                    and frozenset((b, c)) not in fixed
                    and not self.is_linear(b)
                    and not self.is_linear(c)
                )
                if is_rotatable and a is not None and d is not None:
                    found.append((a, b, c, d))
        return found

    def stereocentres(self) -> list[int]:
        """Carbons with four topologically different neighbours."""
        classes = self.equivalence_classes()
        return [
            i
            for i, n in enumerate(self.neighbours)
            if self.elements[i] == "C" and len(n) == 4 and len({classes[j] for j in n}) == 4
        ]


@cache
def _rotors(graph: MolecularGraph) -> list[Rotor]:
    classes, found = graph.equivalence_classes(), []
    for centre, near in enumerate(graph.neighbours):
        for axis in near:
            ends = tuple(i for i in near if i != axis)
            if (
                len(graph.neighbours[axis]) < 2
                or len(ends) not in (2, 3)
                or len({classes[i] for i in ends}) > 1
            ):
                continue
            if len(ends) == 3 and all(len(graph.neighbours[i]) == 1 for i in ends):
                found.append(Rotor(centre, axis, ends))
            elif len(ends) == 2 and axis not in graph.reachable(ends[0], blocked=centre):
                exchange = _exchange(graph, centre, axis, (ends[0], ends[1]))
                if exchange:
                    found.append(Rotor(centre, axis, ends, exchange))
    # A rotor moves everything behind its axis, so the outer of two moves more.
    return sorted(
        found, key=lambda rotor: (-len(graph.reachable(rotor.centre, blocked=rotor.axis)), rotor.centre)
    )


def _exchange(
    graph: MolecularGraph, centre: int, axis: int, ends: tuple[int, int]
) -> tuple[tuple[int, int], ...]:
    """Pairs of atoms behind the bond axis-centre that an automorphism exchanges; empty if there is none.

    The automorphism maps one end to the other.
    """
    branch = graph.reachable(centre, blocked=axis)

    def coloured(first: int, second: int) -> networkx.Graph:
        colour = {centre: "centre", first: "first", second: "second"}
        part = networkx.Graph()
        part.add_nodes_from((i, {"colour": (graph.elements[i], colour.get(i))}) for i in branch)
        part.add_edges_from((i, j) for i in branch for j in graph.neighbours[i] if j in branch)
        return part

    matcher = networkx.isomorphism.GraphMatcher(
        coloured(*ends), coloured(*ends[::-1]), node_match=lambda a, b: a["colour"] == b["colour"]
    )
    mapping: dict[int, int] = next(matcher.isomorphisms_iter(), {})
    # The two hydrogens of a CH2 further on may be exchanged in the same automorphism: they are to stay.
    mapping = about_ends(graph.neighbours, mapping, ends)
    # Only atoms that correspond to each other are exchanged, so that doing it twice does nothing.
    moved = {i for i in mapping if mapping[i] != i and mapping[mapping[i]] == i}
    threefold = {
        i
        for i in moved
        if len(graph.neighbours[i]) == 4
        and sum(len(graph.neighbours[j]) == 1 for j in graph.neighbours[i]) == 3
    }
    if any(mapping[i] != i for i in set(mapping) - moved) or any(
        len(graph.neighbours[i]) == 4 for i in moved - threefold
    ):
        return ()
    # Nor where it would have to keep a side.
    if moved & graph.kept_centres or any(bond <= moved for bond in graph.kept_bonds):
        return ()
    return tuple((i, mapping[i]) for i in sorted(moved) if i < mapping[i])


def unpaired_torsions(torsions: Mapping[str, Quadruple]) -> list[str]:
    """Names of the phi and psi of residues that have one of them alone: at ends of a chain without caps.

    >>> unpaired_torsions({"psi1": (0, 2, 4, 6), "phi2": (4, 6, 8, 14), "psi2": (6, 8, 14, 16)})
    ['psi1']
    """
    paired = {name for pair in backbone_pairs(torsions) for name in pair}
    return [name for name in torsions if name.startswith(("phi", "psi")) and name not in paired]


def backbone_pairs(torsions: Mapping[str, Quadruple]) -> list[tuple[str, str]]:
    """Names of the (phi, psi) of each residue that has both.

    They are the phi C-N-CA-C and the psi N-CA-C-N that share N-CA-C.

    >>> backbone_pairs({"phi": (4, 6, 8, 14), "psi": (6, 8, 14, 16)})
    [('phi', 'psi')]
    """
    psi_of = {atoms[:3]: name for name, atoms in torsions.items() if name.startswith("psi")}
    return [
        (name, psi_of[atoms[1:]])
        for name, atoms in torsions.items()
        if name.startswith("phi") and atoms[1:] in psi_of
    ]
