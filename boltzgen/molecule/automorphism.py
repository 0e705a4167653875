"""Automorphisms of a bond graph that move no more than they have to."""

from collections.abc import Mapping, Sequence


def about_ends(
    neighbours: Sequence[Sequence[int]], mapping: Mapping[int, int], ends: tuple[int, int]
) -> dict[int, int]:
    """An automorphism that moves what the given one moves and bonds join to the ends, and nothing else.

    What has a moved neighbour and is not moved itself stays in place in both, so that bonds are kept.

    >>> chain = [[1], [0, 2], [1, 3], [2]]
    >>> about_ends([*chain, [5, 6], [4], [4]], {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 5}, (0, 3))
    {0: 0, 1: 1, 2: 2, 3: 3, 4: 4, 5: 5, 6: 6}
    """
    kept = set(ends) & mapping.keys()
    stack = list(kept)
    while stack:
        for j in neighbours[stack.pop()]:
            if j not in kept and mapping.get(j, j) != j:
                kept.add(j)
                stack.append(j)
    return {i: j if i in kept else i for i, j in mapping.items()}
