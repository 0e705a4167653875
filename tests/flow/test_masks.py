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


@pytest.mark.parametrize("at_least", [1, 6])
def test_each_coordinate_moves_in_about_half_of_the_layers(at_least: int) -> None:
    """As few layers as that takes; one less would not do."""
    found = [coupling_layers(n, 6) for n in (0, 2, 50, 51, 70, 71, 182, 183, 252, 253, 300)]
    assert found == [6, 6, 6, 7, 7, 8, 8, 9, 9, 10, 10]
    for n in range(3, 301):
        layers = coupling_layers(n, at_least)
        moves = [sum(code) for code in codes(coupling_masks(n, layers), n)]
        assert all(abs(2 * k - layers) <= 2 for k in moves)
        if layers > at_least and n <= 2 ** (layers - 1) - 2:
            fewer = [sum(code) for code in codes(coupling_masks(n, layers - 1), n)]
            assert any(abs(2 * k - layers + 1) > 2 for k in fewer)


def test_what_cannot_be_separated() -> None:
    assert coupling_layers(10, 11) == 11
    with pytest.raises(ValueError, match="2 to 62 coordinates, got 63"):
        coupling_masks(63, 6)
    with pytest.raises(ValueError, match="got 1"):
        coupling_masks(1, 6)
