"""Which of a seed's draws a file holds: shards of whole blocks, and ranges of draws."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

#: Draws are made in blocks of this many, each from its own random stream, so that any of them can be made
#: alone.
BLOCK = 2048
#: Draws [start, stop) of a seed, counted from 0.
Range = tuple[int, int]


@dataclass(frozen=True)
class Shard:
    """One of several equal shares of a seed's draws.

    Attributes:
        number: of the share, from 1.
        n_shards: that there are.

    Raises:
        ValueError: there is no such share.
    """

    number: int
    n_shards: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.n_shards:
            raise ValueError(
                f"expected a `shard` from 1/{self.n_shards} to {self.n_shards}/{self.n_shards}, got {self}"
            )

    @classmethod
    def parse(cls, text: str) -> "Shard":
        """The share that a text names, ``"3/64"``."""
        found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text.strip())
        if found is None or int(found[2]) < 1:
            raise ValueError(f"expected a `shard` such as 3/64, the third of 64, got {text!r}")
        return cls(int(found[1]), int(found[2]))

    def __str__(self) -> str:
        return f"{self.number}/{self.n_shards}"

    def draws(self, n: int) -> Range:
        """Which of n draws it is: those of whole blocks of 2048, the last of which may be cut.

        >>> [Shard(k, 3).draws(10_000) for k in (1, 2, 3)]
        [(0, 2048), (2048, 6144), (6144, 10000)]
        """
        n_blocks = math.ceil(n / BLOCK)
        start, stop = (k * n_blocks // self.n_shards * BLOCK for k in (self.number - 1, self.number))
        return min(start, n), min(stop, n)

    def checked(self, n: int) -> Range:
        """`draws`; raises ValueError if there are more shards than blocks."""
        if self.n_shards > (most := math.ceil(n / BLOCK)):
            raise ValueError(
                f"{n} draws are {most} blocks of {BLOCK}, too few for {self.n_shards} shards; draw more, or "
                f"choose at most {most} shards"
            )
        return self.draws(n)


def joined(ranges: Iterable[Range]) -> list[Range]:
    """The same draws as the fewest ranges, in order.

    Raises:
        ValueError: a draw is in two of them.

    >>> joined([(4, 6), (0, 2), (2, 4), (8, 9)])
    [(0, 6), (8, 9)]
    """
    found: list[Range] = []
    for start, stop in sorted(r for r in ranges if r[0] < r[1]):
        if found and start < found[-1][1]:
            raise ValueError(f"draws {start} to {min(stop, found[-1][1])} are there twice")
        if found and start == found[-1][1]:
            found[-1] = found[-1][0], stop
        else:
            found.append((start, stop))
    return found


def missing(ranges: Iterable[Range], whole: Range) -> list[Range]:
    """What ranges, `joined` ones, leave out of a whole one.

    >>> missing([(0, 6), (8, 9)], (2, 12))
    [(6, 8), (9, 12)]
    """
    found, at = [], whole[0]
    for start, stop in ranges:
        if at < min(start, whole[1]):
            found.append((at, min(start, whole[1])))
        at = max(at, stop)
    return [*found, (at, whole[1])] if at < whole[1] else found


def missing_in_words(ranges: Iterable[Range], n: int, n_shards: int) -> str:
    """What n draws in so many shards lack, in words; empty if that is nothing.

    >>> missing_in_words([(0, 6144)], 10_000, 3)
    'shard 3/3 (draws 6144 to 10000)'
    """
    gaps = missing(joined(ranges), (0, n))
    if not gaps:
        return ""
    draws = ", ".join(f"{start} to {stop}" for start, stop in gaps[:5]) + (", ..." if gaps[5:] else "")
    if n_shards < 2:
        return f"draws {draws}"
    shards = [str(k) for k in missing_shards(ranges, n, n_shards)]
    listed = ", ".join(shards[:20]) + (f" and {len(shards) - 20} more" if shards[20:] else "")
    return f"{'shard' if len(shards) == 1 else 'shards'} {listed} (draws {draws})"


def missing_shards(ranges: Iterable[Range], n: int, n_shards: int) -> list[Shard]:
    """The shards of n draws that ranges do not wholly hold."""
    gaps = missing(joined(ranges), (0, n))
    found: list[Shard] = []
    for start, stop in gaps:
        # The first shard that may hold a draw of the gap, and the ones that follow.
        number = max(1, start // BLOCK * n_shards // math.ceil(n / BLOCK))
        while number <= n_shards and (shard := Shard(number, n_shards)).draws(n)[0] < stop:
            if shard.draws(n)[1] > start and shard not in found[-1:]:
                found.append(shard)
            number += 1
    return found
