"""What shards of one run are together, by what their files say."""

from dataclasses import dataclass, replace
from pathlib import Path

from boltzgen.samples.header import SamplesHeader
from boltzgen.samples.shards import Range, Shard, joined, missing_in_words, missing_shards

#: What shards must agree in, and what it is called.
_SAME = {
    "fingerprint": "system",
    "temperature": "temperature",
    "generator": "generator",
    "seed": "seed",
    "n_whole": "whole number of draws",
}


@dataclass(frozen=True)
class Merged:
    """What shards are together.

    Attributes:
        header: of all of them; its `ranges` say which draws there are.
        n_whole: draws that all shards of the run have.
        n_shards: that there are, as far as the files say.
    """

    header: SamplesHeader
    n_whole: int
    n_shards: int

    @property
    def missing_shards(self) -> list[Shard]:
        """That are not, or not wholly, there."""
        return missing_shards(self.header.ranges, self.n_whole, self.n_shards)

    @property
    def missing(self) -> str:
        """What is not there, in words; empty if nothing is missing."""
        return missing_in_words(self.header.ranges, self.n_whole, self.n_shards)


def together(headers: dict[Path, SamplesHeader]) -> Merged:
    """What files are together, from their headers alone.

    Raises:
        ValueError: a file is of another run than the first, or holds draws that another one holds as well.
    """
    if not headers:
        raise ValueError("expected at least one file, got none")
    first, n_shards = next(iter(headers)), 1
    # Files that are no shards do not say how many draws there are.
    n_whole = next((h.n_whole for h in headers.values() if h.n_whole is not None), None)
    ranges: list[Range] = []
    for path, header in headers.items():
        for name, word in _SAME.items():
            mine, its = getattr(headers[first], name), getattr(header, name)
            if name == "n_whole":
                mine, its = n_whole, n_whole if its is None else its
            if mine != its:
                shown = "" if name in ("fingerprint", "generator") else f", {its} and not {mine}"
                raise ValueError(f"{path} is of another {word} than {first}{shown}; merge shards of one run")
        if header.seed is None:
            raise ValueError(
                f"{path} does not say which draws of which seed it holds; such files are pooled by "
                "`boltzgen.analyze`"
            )
        try:
            ranges = joined([*ranges, *header.ranges])
        except ValueError as error:
            raise ValueError(f"{path} holds draws that another file holds as well: {error}") from error
        if header.shard:
            n_shards = max(n_shards, Shard.parse(header.shard).n_shards)
    spent = [header.n_energy_evaluations for header in headers.values()]
    known = [n for n in spent if n is not None]
    n_samples = sum(stop - start for start, stop in ranges)
    whole = replace(
        headers[first],
        n_samples=n_samples,
        n_energy_evaluations=sum(known) if len(known) == len(spent) else None,
        shard="",
        n_whole=n_whole,
        ranges=tuple(ranges),
    )
    return Merged(whole, n_whole or max((stop for _, stop in ranges), default=0), n_shards)
