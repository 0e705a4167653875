"""Which coordinates each coupling moves."""

import math
from functools import lru_cache
from itertools import pairwise


def coupling_layers(n: int, at_least: int) -> int:
    """The number of layers, `at_least` or more, whose couplings can separate every pair of n coordinates.

    It is the least with which every coordinate moves in about half of the layers, at most one more or less,
    see `coupling_masks`: 6 layers for up to 50 coordinates, 7 for 70, 8 for 182, 9 for 252. A coordinate that
    moves in fewer has a less flexible density.
    """
    layers = max(at_least, 2)
    while sum(math.comb(layers, k) for k in range(1, layers) if abs(2 * k - layers) <= 2) < n:
        layers += 1
    return layers


def coupling_masks(n: int, n_layers: int) -> list[list[int]]:
    """For each of n_layers couplings the coordinates among 0 ... n - 1 that it moves.

    Every pair of coordinates is separated: at least one coupling moves one of them conditional on the other.
    To this end each coordinate has a code of one bit a layer, which says whether it moves there. Codes are
    distinct, and neither all ones nor all zeros. Coordinates 2m and 2m + 1 have complementary codes, so that
    each layer moves n/2 coordinates, rounded up or down. Codes with about as many ones as zeros are used
    first, and of those the ones that change most often from layer to layer.

    Raises:
        ValueError: fewer than two coordinates, or more than the 2^n_layers - 2 codes.
    """
    if not 2 <= n <= 2**n_layers - 2:
        raise ValueError(
            f"{n_layers} couplings can separate 2 to {max(0, 2**n_layers - 2)} coordinates, got {n}; see "
            "`coupling_layers`"
        )
    codes = [code for pair in _code_pairs(n_layers) for code in pair][:n]
    return [[i for i, code in enumerate(codes) if code[layer]] for layer in range(n_layers)]


@lru_cache
def _code_pairs(n_layers: int) -> tuple[tuple[tuple[bool, ...], tuple[bool, ...]], ...]:
    """All pairs of complementary codes but that of all ones and all zeros, in the order of their use."""
    # Of each pair the code that moves in the first layer.
    numbers = range(1, 2**n_layers - 1, 2)
    codes = [tuple(bool(number >> layer & 1) for layer in range(n_layers)) for number in numbers]

    def rank(code: tuple[bool, ...]) -> tuple[int, int]:
        changes = sum(a != b for a, b in pairwise(code))
        return abs(2 * sum(code) - n_layers), -changes

    return tuple((code, tuple(not bit for bit in code)) for code in sorted(codes, key=rank))
