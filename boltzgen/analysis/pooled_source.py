"""Several samples files as one source: shards of one run, and draws of several seeds, pooled."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

from boltzgen.analysis.source import Source, open_source
from boltzgen.molecule.system import System
from boltzgen.samples.file import read_header
from boltzgen.samples.header import SamplesHeader
from boltzgen.samples.measure import Measure
from boltzgen.samples.shards import Range, missing_in_words
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.statistics.merge import together

#: What pooled files must agree in, and what it is called.
_SAME = {"fingerprint": "system, force field or domain", "temperature": "temperature"}


def pooled_source(
    paths: Sequence[Path],
    system: System | str | Path | None = None,
    *,
    measure: Measure = "flexible-limit",
) -> tuple[Source, list[str]]:
    """The conformations of samples files, and what is missing of shards, in words.

    Files of one generator and one seed are shards of one run, and hold no draw twice; every other is a series
    of its own. Weights are relative to one target, whatever drew the conformations, so that all are pooled as
    they are.

    Args:
        paths: of the files, at least one.
        system: see `open_source`.
        measure: see `open_source`.

    Raises:
        FileNotFoundError: no such file or system.
        ValueError: a file is no samples file, or of another target than the first; or two hold the same
            draws.
    """
    if len({path.resolve() for path in paths}) < len(paths):
        raise ValueError("a file is given twice; its draws would count twice")
    sources = {path: open_source(path, system, measure=measure) for path in paths}
    for path, source in sources.items():
        if len(paths) > 1 and source.kind != "samples":
            raise ValueError(
                f"{path} is a {source.kind}; several files at once are samples files, or statistics of one "
                "run"
            )
    first = sources[paths[0]]
    if first.kind != "samples":
        return first, []
    headers = {path: read_header(path) for path in paths}
    for path, header in headers.items():
        for name, word in _SAME.items():
            if getattr(header, name) != getattr(headers[paths[0]], name):
                raise ValueError(f"{path} is of another {word} than {paths[0]}; analyse them one by one")
    series, gaps = _series(headers)
    if len(paths) == 1:
        return first, gaps
    ordered = [path for _, group in series for path in group]
    places: list[tuple[str, Range]] = []
    n = 0
    for name, group in series:
        size = sum(headers[path].n_samples for path in group)
        places.append((name, (n, n + size)))
        n += size
    known = [headers[path].n_energy_evaluations for path in paths]
    doubts = [headers[path].doubt for path in paths if headers[path].doubt]
    about = first.about | {
        "doubt": doubts[0] if doubts else "",
        "refined": max(headers[path].refined for path in paths),
        "seed": first.about["seed"] if len(series) == 1 else None,
        "n_energy_evaluations": None if None in known else sum(k for k in known if k is not None),
    }
    chunks = _chained([sources[path].chunks for path in ordered])
    return replace(first, n=n, about=about, chunks=chunks, series=places), gaps


def _series(headers: dict[Path, SamplesHeader]) -> tuple[list[tuple[str, list[Path]]], list[str]]:
    """Independent samples: what each is called and its files; and what is missing of them."""

    def key(path: Path) -> tuple[Any, ...]:
        header = headers[path]
        # A file that does not say its seed is by itself.
        return ("", str(path)) if header.seed is None else (header.generator, str(header.seed))

    order = {one: k for k, one in enumerate(dict.fromkeys(map(key, headers)))}
    found, gaps = [], []
    for (_, seed), group in groupby(sorted(headers, key=lambda path: order[key(path)]), key):
        paths = sorted(group, key=lambda path: headers[path].ranges)
        if headers[paths[0]].seed is not None:
            whole = together({path: headers[path] for path in paths})
            if gap := missing_in_words(whole.header.ranges, whole.n_whole, whole.n_shards):
                gaps.append(f"seed {seed}: {gap}" if len(order) > 1 else gap)
        found.append((str(paths[0]) if len(paths) == 1 else f"seed {seed}", paths))
    return found, gaps


def _chained(
    chunks: list[Callable[[], Iterator[WeightedSamples]]],
) -> Callable[[], Iterator[WeightedSamples]]:
    def all_chunks() -> Iterator[WeightedSamples]:
        for one in chunks:
            yield from one()

    return all_chunks
