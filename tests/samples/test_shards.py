"""Shards are whole blocks, each draw in one of them; and what is missing is named."""

import pytest

from boltzgen.samples.shards import BLOCK, Shard, joined, missing, missing_in_words, missing_shards


@pytest.mark.parametrize("n_shards", [1, 2, 3, 7, 64])
@pytest.mark.parametrize("n", [64 * BLOCK, 64 * BLOCK + 1, 100 * BLOCK - 5, 1_000_000])
def test_shards_hold_every_draw_once_in_whole_blocks(n: int, n_shards: int) -> None:
    ranges = [Shard(k, n_shards).checked(n) for k in range(1, n_shards + 1)]
    assert joined(ranges) == [(0, n)]
    assert all(start < stop for start, stop in ranges)
    assert all(start % BLOCK == 0 for start, _ in ranges)
    sizes = [-(-(stop - start) // BLOCK) for start, stop in ranges]
    assert max(sizes) - min(sizes) <= 1


def test_more_shards_than_blocks_are_refused() -> None:
    with pytest.raises(ValueError, match="5000 draws are 3 blocks of 2048, too few for 4 shards"):
        Shard(1, 4).checked(5_000)


@pytest.mark.parametrize("text", ["", "3", "0/4", "5/4", "1/0", "-1/4", "1/4/2", "1.5/4", "a/b"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a `shard`"):
        Shard.parse(text)


def test_a_shard_is_read_as_it_is_written() -> None:
    assert Shard.parse(" 3/64") == Shard(3, 64)
    assert str(Shard(3, 64)) == "3/64"


def test_draws_that_are_there_twice_are_seen() -> None:
    assert joined([(10, 20), (0, 10), (20, 20)]) == [(0, 20)]
    with pytest.raises(ValueError, match="draws 9 to 12 are there twice"):
        joined([(0, 12), (9, 20)])
    with pytest.raises(ValueError, match="twice"):
        joined([(0, 12), (0, 12)])


def test_what_is_missing() -> None:
    assert missing([], (0, 5)) == [(0, 5)]
    assert missing([(0, 5)], (0, 5)) == []
    assert missing([(0, 100)], (10, 20)) == []
    assert missing([(0, 1), (3, 4)], (0, 5)) == [(1, 3), (4, 5)]


@pytest.mark.parametrize("n_shards", [1, 3, 10, 64])
@pytest.mark.parametrize("lost", [{1}, {2, 3}, {1, 7, 10}, set()])
def test_missing_shards_are_named(n_shards: int, lost: set[int]) -> None:
    n, lost = 200_001, {k for k in lost if k <= n_shards}
    ranges = [Shard(k, n_shards).draws(n) for k in range(1, n_shards + 1) if k not in lost]
    assert {shard.number for shard in missing_shards(ranges, n, n_shards)} == lost
    words = missing_in_words(ranges, n, n_shards)
    assert bool(words) == bool(lost)
    if n_shards > 1:
        assert all(f"{k}/{n_shards}" in words for k in lost)


def test_a_shard_that_is_there_in_part_is_missing() -> None:
    n = 20 * BLOCK
    assert missing_shards([(0, 11 * BLOCK), (12 * BLOCK, n)], n, 4) == [Shard(3, 4)]
