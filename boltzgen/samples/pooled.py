"""Several samples files as one: shards of one run, and draws of several seeds, pooled."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

from boltzgen.samples.file import read_header
from boltzgen.samples.header import SamplesHeader
from boltzgen.samples.merged import together
from boltzgen.samples.shards import Range, joined, missing_in_words

#: A samples file, or several of one target.
Files = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
#: What pooled files must agree in, and what it is called.
_SAME = {"fingerprint": "system, force field or domain", "temperature": "temperature"}


@dataclass(frozen=True)
class Pooled:
    """Samples files as one.

    Attributes:
        header: of all draws; of several seeds it says none.
        files: in the order of the draws.
        sizes: draws of each file.
        series: independent samples: what each is called, and where it lies among the draws.
        missing: which shards are not there, in words.
    """

    header: SamplesHeader
    files: tuple[Path, ...]
    sizes: tuple[int, ...]
    series: tuple[tuple[str, Range], ...]
    missing: tuple[str, ...]


def pooled(paths: Files) -> Pooled:
    """What samples files are together.

    Files of one generator and one seed are shards of one run, and hold no draw twice; every other is a series
    of its own. Weights are relative to one target, whatever drew the conformations, so that all are pooled as
    they are.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no file at all; a file is no samples file, of several holds no samples, or is of another
            target than the first; or two hold the same draws.
    """
    files = [Path(paths)] if isinstance(paths, str | os.PathLike) else [Path(path) for path in paths]
    if not files:
        raise ValueError("expected at least one samples file, got none")
    if len({path.resolve() for path in files}) < len(files):
        raise ValueError("a file is given twice; its draws would count twice")
    headers = {path: read_header(path) for path in files}
    for path, header in headers.items():
        if header.n_samples == 0 and len(files) > 1:
            raise ValueError(f"{path} holds no samples; leave it out")
        for name, word in _SAME.items():
            if getattr(header, name) != getattr(headers[files[0]], name):
                raise ValueError(f"{path} is of another {word} than {files[0]}; analyse them one by one")
    groups, gaps = _series(headers)
    ordered = tuple(path for _, group in groups for path in group)
    series: list[tuple[str, Range]] = []
    n = 0
    for name, group in groups:
        size = sum(headers[path].n_samples for path in group)
        series.append((name, (n, n + size)))
        n += size
    sizes = tuple(headers[path].n_samples for path in ordered)
    header = headers[files[0]] if len(files) == 1 else _together([headers[p] for p in ordered], len(groups))
    return Pooled(header, ordered, sizes, tuple(series), tuple(gaps))


def _together(headers: Sequence[SamplesHeader], n_series: int) -> SamplesHeader:
    """What all draws of several files are; what is doubted or refined of one is so of all."""
    spent = [header.n_energy_evaluations for header in headers]
    known = [n for n in spent if n is not None]
    one = n_series == 1
    return replace(
        headers[0],
        n_samples=sum(header.n_samples for header in headers),
        n_energy_evaluations=sum(known) if len(known) == len(spent) else None,
        seed=headers[0].seed if one else None,
        shard="",
        n_whole=headers[0].n_whole if one else None,
        ranges=tuple(joined(r for header in headers for r in header.ranges)) if one else (),
        generator=max(headers, key=lambda header: header.refined).generator,
        doubt=next((header.doubt for header in headers if header.doubt), ""),
    )


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
