"""Z-matrices found from the bonds."""

from collections import deque
from dataclasses import dataclass
from enum import Enum

from boltzgen.perception import MolecularGraph


class TorsionKind(Enum):
    """What a row's torsion means.

    PROPER rotates the whole branch about a bond; there is one for each rotated bond. OFFSET is the improper torsion that places a
    further atom on that bond relative to the first one: narrow, since it only bends.
    """

    PROPER = "proper"
    OFFSET = "offset"


@dataclass(frozen=True)
class Row:
    """One atom's entry: `atom` is placed by its bond to `bonded`, angle over `second`, torsion over `third` (-1 where there is none)."""

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
        """Find a z-matrix by walking outwards from one end of the longest chain of heavy atoms.

        Each bond that rotates gets one proper torsion, along the longest branch on both sides, so that backbone torsions (phi, psi, omega)
        are coordinates themselves; every other atom on that bond gets an improper offset from the first.
        """
        n_atoms = len(graph.elements)
        if n_atoms < 4:
            raise ValueError(f"a z-matrix needs at least 4 atoms, got {n_atoms}")
        root = _chain_end(graph)
        parent = _parents(graph, root)
        weight = _branch_weights(graph, root, parent)
        children = {
            i: sorted((j for j in graph.neighbours[i] if parent.get(j) == i), key=lambda j: (-weight[j][0], -weight[j][1], j)) for i in range(n_atoms)
        }
        first = children[root][0]
        if not children[first]:
            raise ValueError("a z-matrix needs a chain of at least three bonded atoms; this molecule is a star around one atom")
        second = children[first][0]
        rows = [Row(root), Row(first, root), Row(second, first, root)]
        queue = deque([first, root, second])
        while queue:
            j = queue.popleft()
            # The bond (j, k) about which j's children turn, and the atom l beyond k that defines torsion zero.
            k = first if j == root else parent[j]
            beyond = second if j == root else (first if k == root else parent[k])
            todo = [c for c in children[j] if c not in (first, second)] if j in (root, first) else children[j]
            leader = second if j == first else None
            for c in todo:
                if leader is None:
                    rows.append(Row(c, j, k, beyond, TorsionKind.PROPER))
                    leader = c
                else:
                    rows.append(Row(c, j, k, leader, TorsionKind.OFFSET))
                if children[c]:
                    queue.append(c)
        assert sorted(r.atom for r in rows) == list(range(n_atoms))
        return cls(tuple(rows))

    @property
    def torsion_rows(self) -> tuple[Row, ...]:
        return self.rows[3:]

    def levels(self) -> list[list[int]]:
        """Positions of the rows after the third, grouped so that each group only refers to atoms placed by earlier ones."""
        depth = {row.atom: 0 for row in self.rows[:3]}
        groups: list[list[int]] = []
        for position, row in enumerate(self.rows[3:], start=3):
            depth[row.atom] = 1 + max(depth[row.bonded], depth[row.second], depth[row.third])
            while len(groups) < depth[row.atom]:
                groups.append([])
            groups[depth[row.atom] - 1].append(position)
        return groups


def _chain_end(graph: MolecularGraph) -> int:
    """An end of the longest shortest path between heavy atoms (the lowest index among ties)."""
    heavy = [i for i, e in enumerate(graph.elements) if e != "H"] or list(range(len(graph.elements)))
    start = max(_distances(graph, heavy[0]).items(), key=lambda item: (item[0] in heavy, item[1], -item[0]))[0]
    end = max(_distances(graph, start).items(), key=lambda item: (item[0] in heavy, item[1], -item[0]))[0]
    return min(start, end)


def _distances(graph: MolecularGraph, start: int) -> dict[int, int]:
    distance, queue = {start: 0}, deque([start])
    while queue:
        i = queue.popleft()
        for j in graph.neighbours[i]:
            if j not in distance:
                distance[j] = distance[i] + 1
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


def _branch_weights(graph: MolecularGraph, root: int, parent: dict[int, int]) -> list[tuple[int, int]]:
    """(heavy-atom depth, heavy atoms) of the branch behind each atom; the greatest is the main chain."""
    distance = _distances(graph, root)
    weight = [(0, 0)] * len(graph.elements)
    for i in sorted(distance, key=lambda i: -distance[i]):
        below = [weight[j] for j in graph.neighbours[i] if parent.get(j) == i]
        heavy = int(graph.elements[i] != "H")
        weight[i] = (heavy + max((d for d, _ in below), default=0), heavy + sum(n for _, n in below))
    return weight
