"""What a bond graph says about a molecule: methyl rotors, peptide bonds, stereocentres, named torsions.

Everything here is found from elements and bonds alone; no residue or atom names are typed in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Quadruple = tuple[int, int, int, int]


@dataclass(frozen=True)
class MolecularGraph:
    """Elements and bonds of one connected molecule.

    Attributes:
        elements: element symbol of each atom.
        neighbours: sorted bonded atoms of each atom.
    """

    elements: tuple[str, ...]
    neighbours: tuple[tuple[int, ...], ...]

    @classmethod
    def from_bonds(cls, elements: Sequence[str], bonds: Sequence[tuple[int, int]]) -> "MolecularGraph":
        """Build the graph; raises ValueError unless it is one connected molecule."""
        sets: list[set[int]] = [set() for _ in elements]
        for i, j in bonds:
            sets[i].add(j)
            sets[j].add(i)
        graph = cls(tuple(elements), tuple(tuple(sorted(s)) for s in sets))
        missing = [i for i in range(len(elements)) if i not in graph.reachable(0)]
        if missing:
            raise ValueError(
                f"expected one molecule whose atoms are all connected by bonds, got {len(missing)} atoms not bonded to the first one "
                f"(indices {missing[:6]}); remove other molecules, or give the PDB file standard residue names or CONECT records"
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
        """Class of each atom under repeated refinement by neighbours (Morgan/Weisfeiler-Lehman): equal means topologically alike."""
        classes: list[int] = [0] * len(self.elements)
        keys: list[tuple[object, ...]] = [(e, len(n)) for e, n in zip(self.elements, self.neighbours, strict=True)]
        while True:
            order = {key: rank for rank, key in enumerate(sorted(set(keys), key=repr))}
            refined = [order[key] for key in keys]
            if len(set(refined)) == len(set(classes)):
                return refined
            classes = refined
            keys = [(classes[i], *sorted(classes[j] for j in n)) for i, n in enumerate(self.neighbours)]

    def methyl_rotors(self) -> list[tuple[int, tuple[int, int, int]]]:
        """Carbons with exactly three hydrogens and one other neighbour, with those hydrogens."""
        found = []
        for i, n in enumerate(self.neighbours):
            hydrogens = tuple(j for j in n if self.elements[j] == "H")
            if self.elements[i] == "C" and len(n) == 4 and len(hydrogens) == 3:
                found.append((i, (hydrogens[0], hydrogens[1], hydrogens[2])))
        return found

    def peptide_bonds(self) -> list[tuple[int, int]]:
        """Amide bonds (C, N) whose nitrogen carries a hydrogen and one carbon: those that are kept trans.

        The nitrogen of X-PRO carries no hydrogen and is left out: both of its isomers are populated. So is a primary amide's NH2.
        """
        found = []
        for c, n_c in enumerate(self.neighbours):
            if self.elements[c] != "C" or len(n_c) != 3:
                continue
            if not any(self.elements[o] == "O" and len(self.neighbours[o]) == 1 for o in n_c):
                continue
            for n in n_c:
                n_n = self.neighbours[n]
                others = sorted(self.elements[k] for k in n_n if k != c)
                if self.elements[n] == "N" and len(n_n) == 3 and others == ["C", "H"]:
                    found.append((c, n))
        return found

    def omega(self, peptide_bond: tuple[int, int]) -> Quadruple:
        """The omega torsion (C_alpha, C, N, C_alpha) of a peptide bond (C, N): the carbon on either side."""
        c, n = peptide_bond
        before = next((k for k in self.neighbours[c] if k != n and self.elements[k] != "O"), None)
        if before is None:
            raise ValueError(f"no atom other than oxygen precedes the amide carbon {c}; this peptide bond has no omega torsion")
        after = next(k for k in self.neighbours[n] if k != c and self.elements[k] != "H")
        return before, c, n, after

    def stereocentres(self) -> list[int]:
        """Carbons with four topologically different neighbours."""
        classes = self.equivalence_classes()
        return [i for i, n in enumerate(self.neighbours) if self.elements[i] == "C" and len(n) == 4 and len({classes[j] for j in n}) == 4]


def backbone_pairs(torsions: Mapping[str, Quadruple]) -> list[tuple[str, str]]:
    """Names of the (phi, psi) of each residue that has both: the phi C-N-CA-C and the psi N-CA-C-N that share N-CA-C.

    >>> backbone_pairs({"phi": (4, 6, 8, 14), "psi": (6, 8, 14, 16)})
    [('phi', 'psi')]
    """
    psi_of = {atoms[:3]: name for name, atoms in torsions.items() if name.startswith("psi")}
    return [(name, psi_of[atoms[1:]]) for name, atoms in torsions.items() if name.startswith("phi") and atoms[1:] in psi_of]
