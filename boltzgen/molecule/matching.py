"""Which atoms of one file are those of another: the same molecule in two orders."""

from collections.abc import Iterator, Sequence

import networkx

#: Matchings of the heavy atoms that are looked at: symmetric groups exchange places.
MOST = 5000


def atom_orders(
    elements: Sequence[str],
    neighbours: Sequence[Sequence[int]],
    other_elements: Sequence[str],
    other_neighbours: Sequence[Sequence[int]],
) -> Iterator[list[int]]:
    """Ways to name the other molecule's atoms by this one's: its atom of each of these atoms.

    Heavy atoms correspond by bonds, elements and numbers of hydrogens; hydrogens of one atom come in the
    order of either file. At most 5000 ways, none where the molecules differ.
    """
    graphs = [
        _heavy(elements, neighbours),
        _heavy(other_elements, other_neighbours),
    ]
    matcher = networkx.isomorphism.GraphMatcher(
        *graphs, node_match=networkx.isomorphism.categorical_node_match("kind", None)
    )
    for count, mapping in enumerate(matcher.isomorphisms_iter()):
        if count == MOST:
            return
        order = [-1] * len(elements)
        for mine, its in mapping.items():
            order[mine] = its
            pairs = zip(
                _hydrogens(elements, neighbours, mine),
                _hydrogens(other_elements, other_neighbours, its),
                strict=True,
            )
            for hydrogen, other in pairs:
                order[hydrogen] = other
        if -1 not in order:
            yield order


def _heavy(elements: Sequence[str], neighbours: Sequence[Sequence[int]]) -> networkx.Graph:
    graph = networkx.Graph()
    for i, element in enumerate(elements):
        if element != "H":
            graph.add_node(i, kind=(element, len(_hydrogens(elements, neighbours, i))))
    graph.add_edges_from((i, j) for i in graph for j in neighbours[i] if j in graph)
    return graph


def _hydrogens(elements: Sequence[str], neighbours: Sequence[Sequence[int]], i: int) -> list[int]:
    return [j for j in sorted(neighbours[i]) if elements[j] == "H"]
