"""Z-matrices found from the bonds."""

from collections import deque
from dataclasses import dataclass
from enum import Enum

from boltzgen.molecule.graph import MolecularGraph
from boltzgen.molecule.puckers import puckers


class TorsionKind(Enum):
    """What a row's torsion means.

    PROPER rotates the whole branch about a bond; there is one for each rotated bond. RING is the same about a
    bond of a small ring, which cannot turn.
    OFFSET is the improper torsion that places a further atom on a bond relative to the first one: stiff,
    since it only bends. LINEAR rows continue a straight group: in the places of angle and torsion they have
    two bends, see `InternalCoordinates`.
    """

    PROPER = "proper"
    RING = "ring"
    OFFSET = "offset"
    LINEAR = "linear"


@dataclass(frozen=True)
class Row:
    """One atom's entry: `atom` is placed by its bond to `bonded`, angle over `second`, torsion over `third`.

    They are -1 where there are none.
    """

    atom: int
    bonded: int = -1
    second: int = -1
    third: int = -1
    kind: TorsionKind | None = None


@dataclass(frozen=True)
class ZMatrix:
    """Rows in the order in which atoms are placed; the first three span the molecule's frame.

    For n atoms there are n - 1 bonds, n - 2 angles and n - 3 torsions, each listed in row order.
    """

    rows: tuple[Row, ...]

    @classmethod
    def from_graph(cls, graph: MolecularGraph) -> "ZMatrix":
        """Find a z-matrix by walking outwards from one end of the backbone, or else of the longest chain.

        Each bond that rotates gets one proper torsion, along the backbone and then the longest branch on both
        sides, so that backbone and side-chain torsions (phi, psi, omega, chi) are coordinates themselves;
        every other atom on that bond gets an improper offset from the first. Each ring is open at the bond
        that is farthest from where it was entered; what the atoms of that bond carry has an improper offset
        from the bond, as it follows the ring's shape. Torsions of rings that change their shape are those of
        ring atoms.

        Raises:
            ValueError: fewer than four atoms, a star around one atom, or a molecule that is straight.
        """
        n_atoms = len(graph.elements)
        if n_atoms < 4:
            raise ValueError(f"a z-matrix needs at least 4 atoms, got {n_atoms}")
        root = _root(graph)
        parent = _parents(graph, root)
        weight = _branch_weights(graph, root, parent)
        children = {
            i: sorted(
                (j for j in graph.neighbours[i] if parent.get(j) == i),
                key=lambda j: (*(-w for w in weight[j]), j),
            )
            for i in range(n_atoms)
        }
        # The frame's angle must not be straight.
        first = next((j for j in children[root] if children[j] and not graph.is_linear(j)), None)
        if first is None:
            raise ValueError(
                "a z-matrix needs a chain of three bonded atoms that is not straight; this molecule is a "
                "star, or straight"
            )
        second = children[first][0]
        rows = [Row(root), Row(first, root), Row(second, first, root)]
        small_rings, turning = graph.ring_bonds(), puckers(graph)
        placed, waited = {root, first, second}, set[int]()
        queue = deque([first, root, second])
        while queue:
            j = queue.popleft()
            closing = [i for i in graph.neighbours[j] if parent.get(i) != j and parent.get(j) != i]
            if closing and not placed.intersection(closing) and j not in waited:
                waited.add(j)
                queue.append(j)
                continue
            # The bond (j, k) about which j's children turn, and the atom l beyond k, off the bond's line,
            # that defines torsion zero.
            k = first if j == root else parent[j]
            at = k
            while graph.is_linear(at) and at != root:
                at = parent[at]
            beyond = second if j == root else (first if at == root else parent[at])
            todo = [c for c in children[j] if c not in (first, second)] if j in (root, first) else children[j]
            leader = second if j == first else next((i for i in closing if i in placed), None)
            for ring in turning.get(frozenset((j, k)), ()) if j != first else ():
                here, there = ring.ends(j)
                if there in placed and here in todo:
                    todo = [here, *(c for c in todo if c != here)]
                    leader, beyond = None, there
                    break
            for c in todo:
                if graph.is_linear(j):
                    rows.append(Row(c, j, k, beyond, TorsionKind.LINEAR))
                elif leader is None:
                    rows.append(
                        Row(
                            c,
                            j,
                            k,
                            beyond,
                            TorsionKind.RING if frozenset((j, k)) in small_rings else TorsionKind.PROPER,
                        )
                    )
                    leader = c
                else:
                    rows.append(Row(c, j, k, leader, TorsionKind.OFFSET))
                placed.add(c)
                if children[c]:
                    queue.append(c)
        assert sorted(r.atom for r in rows) == list(range(n_atoms))
        return cls(tuple(rows))

    @property
    def torsion_rows(self) -> tuple[Row, ...]:
        """The rows that have a torsion: all but the first three."""
        return self.rows[3:]

    def row_of(self, k: int) -> Row:
        """The row of internal coordinate k: bonds come first, then angles, then torsions."""
        n = len(self.rows)
        return self.rows[k + 1 if k < n - 1 else k - n + 3 if k < 2 * n - 3 else k - 2 * n + 6]

    def along_branches(self, *, main_chain_first: bool = False) -> list[int]:
        """Atoms in the order of a walk that follows each branch to its end.

        Side branches come before the chain goes on, or the chain first.
        """
        children: dict[int, list[int]] = {row.atom: [] for row in self.rows}
        for row in self.rows[1:]:
            children[row.bonded].append(row.atom)
        found, stack = [], [self.rows[0].atom]
        while stack:
            i = stack.pop()
            found.append(i)
            # Children are listed with the main chain first; the last one pushed comes next.
            stack += reversed(children[i]) if main_chain_first else children[i]
        return found

    def levels(self) -> list[list[int]]:
        """Positions of the rows after the third, in groups that refer to atoms of earlier groups only."""
        depth = {row.atom: 0 for row in self.rows[:3]}
        groups: list[list[int]] = []
        for position, row in enumerate(self.rows[3:], start=3):
            depth[row.atom] = 1 + max(depth[row.bonded], depth[row.second], depth[row.third])
            while len(groups) < depth[row.atom]:
                groups.append([])
            groups[depth[row.atom] - 1].append(position)
        return groups


def _root(graph: MolecularGraph) -> int:
    """Where to begin: an end of the backbone or of the longest chain of heavy atoms.

    It has an angle that is not straight, and is none of several equivalent branches.
    """
    heavy = {i for i, e in enumerate(graph.elements) if e != "H"}

    def spans(i: int) -> bool:
        return (
            i in heavy
            and not graph.is_linear(i)
            and any(len(graph.neighbours[j]) > 1 and not graph.is_linear(j) for j in graph.neighbours[i])
        )

    end = _chain_end(graph)
    root = next((i for i in _distances(graph, end, [1] * len(graph.elements)) if spans(i)), end)
    for rotor in reversed(graph.rotors()):
        if root in rotor.moved:
            root = rotor.centre
    return root


def _importance(graph: MolecularGraph) -> list[int]:
    """What an atom counts on a path: peptide backbone atoms more than everything else together."""
    backbone = graph.backbone()
    return [1 + len(graph.elements) * (i in backbone) for i in range(len(graph.elements))]


def _chain_end(graph: MolecularGraph) -> int:
    """An end of the most important shortest path between heavy atoms.

    Among equals that with most bonds (an acetyl's CH3 and not its O), then that of the lowest index.
    """
    heavy = [i for i, e in enumerate(graph.elements) if e != "H"] or list(range(len(graph.elements)))
    counts = _importance(graph)

    def farthest(start: int) -> int:
        distance = _distances(graph, start, counts)
        return max(distance, key=lambda i: (i in heavy, distance[i], len(graph.neighbours[i]), -i))

    start = farthest(heavy[0])
    return min(start, farthest(start))


def _distances(graph: MolecularGraph, start: int, counts: list[int]) -> dict[int, int]:
    """What the atoms on the shortest path from `start` to each atom count together, `start` left out."""
    distance, queue = {start: 0}, deque([start])
    while queue:
        i = queue.popleft()
        for j in graph.neighbours[i]:
            if j not in distance:
                distance[j] = distance[i] + counts[j]
                queue.append(j)
    return distance


def _parents(graph: MolecularGraph, root: int) -> dict[int, int]:
    parent, queue, seen = {}, deque([root]), {root}
    while queue:
        i = queue.popleft()
        for j in graph.neighbours[i]:
            if j not in seen:
                seen.add(j)
                parent[j] = i
                queue.append(j)
    return parent


def _branch_weights(graph: MolecularGraph, root: int, parent: dict[int, int]) -> list[tuple[int, int, int]]:
    """(backbone atoms, heavy-atom depth, heavy atoms) of the branch behind each atom.

    The branch of the greatest is the main chain.
    """
    backbone = graph.backbone()
    order = list(_distances(graph, root, [1] * len(graph.elements)))
    weight = [(0, 0, 0)] * len(graph.elements)
    for i in reversed(order):
        below = [weight[j] for j in graph.neighbours[i] if parent.get(j) == i]
        heavy = int(graph.elements[i] != "H")
        spine, depth, count = (list(column) for column in zip(*below, strict=True)) if below else ([], [], [])
        weight[i] = (int(i in backbone) + sum(spine), heavy + max(depth, default=0), heavy + sum(count))
    return weight
