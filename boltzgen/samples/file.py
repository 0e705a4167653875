"""The samples file as `WeightedSamples`; `contents` says what is in it, `writer.SamplesWriter` makes it."""

import os
from collections.abc import Iterator

from boltzgen.samples.contents import (
    CHUNK,
    check_target,
    iter_draws,
    read_header,
    read_log_weights,
    read_topology,
)
from boltzgen.samples.weighted_samples import WeightedSamples

__all__ = [
    "check_target",
    "iter_samples",
    "read_header",
    "read_log_weights",
    "read_samples",
    "read_topology",
]


def read_samples(path: str | os.PathLike[str]) -> WeightedSamples:
    """All samples of a file at once, see `WeightedSamples.load`."""
    return WeightedSamples.load(path)


def iter_samples(path: str | os.PathLike[str], chunk: int = CHUNK) -> Iterator[WeightedSamples]:
    """The samples of a file in order, at most `chunk` at a time; errors as `read_samples`."""
    return map(WeightedSamples.of, iter_draws(path, chunk))
