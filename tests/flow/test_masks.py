"""Coupling masks: every pair of coordinates is separated, and the halves are equal."""

import pytest

from boltzgen.flow.masks import coupling_layers, coupling_masks


def codes(masks: list[list[int]], n: int) -> list[tuple[bool, ...]]:
    """Of each coordinate, whether it moves in each layer."""
    return [tuple(i in moved for moved in map(set, masks)) for i in range(n)]


@pytest.mark.parametrize("at_least", [1, 6])
def test_every_pair_is_separated(at_least: int) -> None:
    for n in range(2, 301):
        masks = coupling_masks(n, coupling_layers(n, at_least))
        found = codes(masks, n)
        assert len(set(found)) == n
        for code in found:
            assert any(code) and not all(code)
        for moved in masks:
            assert moved == sorted(set(moved))
            assert len(moved) in (n // 2, (n + 1) // 2)
        for first, second in zip(found[::2], found[1::2], strict=False):
            assert all(a != b for a, b in zip(first, second, strict=True))


def test_codes_are_balanced_as_far_as_they_go() -> None:
    """Of six layers 20 coordinates can move in just three; a single pair moves in turn."""
    assert all(sum(code) == 3 for code in codes(coupling_masks(20, 6), 20))
    assert all(2 <= sum(code) <= 4 for code in codes(coupling_masks(50, 6), 50))
    assert coupling_masks(2, 4) == [[0], [1], [0], [1]]


def test_as_few_layers_as_suffice() -> None:
    assert [coupling_layers(n, 6) for n in (0, 2, 62, 63, 126, 127, 254, 255, 300)] == [
        *(6, 6, 6, 7, 7, 8, 8, 9, 9)
    ]
    assert coupling_layers(10, 11) == 11
    with pytest.raises(ValueError, match="2 to 62 coordinates, got 63"):
        coupling_masks(63, 6)
    with pytest.raises(ValueError, match="got 1"):
        coupling_masks(1, 6)
