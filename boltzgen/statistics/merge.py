"""Shards of one run put together: samples files one after the other, or statistics added up."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from boltzgen.locks import locked
from boltzgen.samples.contents import check_target, iter_draws, read_header
from boltzgen.samples.draws import Draws, known_topology
from boltzgen.samples.header import SamplesHeader, describe
from boltzgen.samples.mdtraj_hdf5 import SUFFIXES
from boltzgen.samples.merged import Merged, together
from boltzgen.samples.shards import BLOCK
from boltzgen.samples.writer import write_whole
from boltzgen.statistics.file import is_statistics, load_statistics, save_statistics
from boltzgen.statistics.statistics import Statistics


def merge(
    paths: Sequence[str | os.PathLike[str]], output: str | os.PathLike[str], *, force: bool = False
) -> Merged:
    """Put shards of one run together in one file, in whatever order they are given.

    Samples files become one samples file; where one or more hold statistics, the file has statistics of them
    all. Some shards may be missing: `Merged.missing` says which, and the file can be merged with them later.

    Args:
        paths: of samples files and files of statistics.
        output: of the new file.
        force: replace a file that exists.

    Raises:
        FileNotFoundError: no such file or folder.
        FileExistsError: without `force`, there is such a file.
        ValueError: a file cannot be read, is of another run, or holds draws that another one holds as well.
        OSError: it cannot be written.
    """
    output = Path(output)
    check_target(output, SUFFIXES)
    if output.exists() and not force:
        raise FileExistsError(
            f"{output} exists already; add `force=True` to replace it, or choose another place"
        )
    files = _once(paths)
    if any(is_statistics(path) for path in files):
        statistics, found = merged_statistics(files)
        with locked(output):
            save_statistics(statistics, output)
        return found
    headers = [read_header(path) for path in files]
    found = together(dict(zip(files, headers, strict=True)))
    said = describe(
        found.header,
        found.header.temperature,
        seed=found.header.seed,
        generator=found.header.generator,
        doubt=found.header.doubt,
    )
    if found.missing:
        # The number of shards, so that the missing ones can be named.
        said |= {"shard": f"1/{found.n_shards}"} if found.n_shards > 1 else {}
        said |= {"n_whole": found.n_whole}
        said |= {"ranges": json.dumps(found.header.ranges)}
    if found.header.n_energy_evaluations is not None:
        said["n_energy_evaluations"] = found.header.n_energy_evaluations
    with locked(output):
        write_whole(
            output,
            known_topology(found.header),
            said,
            (draws for _, draws in draws_of(dict(zip(files, headers, strict=True)))),
            found.header.n_samples,
        )
    return found


def merged_statistics(paths: Sequence[str | os.PathLike[str]]) -> tuple[Statistics, Merged]:
    """Statistics of all draws of some files, one of which at least holds statistics; errors as `merge`."""
    paths = _once(paths)
    loaded = {path: load_statistics(path) for path in paths if is_statistics(path)}
    first = next(iter(loaded.values()))
    headers = {path: loaded[path].header if path in loaded else read_header(path) for path in paths}
    found = together(headers)
    # What is whole is no shard; what is not keeps their number, so that the missing ones can be named.
    shard = f"1/{found.n_shards}" if found.missing and found.n_shards > 1 else ""
    header = replace(first.header, n_whole=found.n_whole, shard=shard)
    whole = Statistics(header, pairs=first.plan.pairs, along=list(first.plan.along))
    for path, one in loaded.items():
        try:
            whole.merge(one)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
    drawn = {path: header for path, header in headers.items() if path not in loaded}
    for start, draws in draws_of(drawn):
        whole.add(draws, start)
    whole.n_energy_evaluations = found.header.n_energy_evaluations or 0
    return whole, found


def _once(paths: Sequence[str | os.PathLike[str]]) -> list[Path]:
    files = [Path(path) for path in paths]
    for k, path in enumerate(files):
        if path.resolve() in {other.resolve() for other in files[:k]}:
            raise ValueError(f"{path} is given twice, so that its draws are there twice; give it once")
    return files


def draws_of(headers: dict[Path, SamplesHeader]) -> Iterator[tuple[int, Draws]]:
    """The draws of samples files in the order of the seed's draws, block by block, each with its number."""
    pieces = sorted((start, stop, path) for path, header in headers.items() for start, stop in header.ranges)
    for start, stop, path in pieces:
        before = sum(b - a for a, b in headers[path].ranges if b <= start)
        yield from _piece(path, start, stop, before)


def _piece(path: Path, start: int, stop: int, before: int) -> Iterator[tuple[int, Draws]]:
    """Draws start to stop of a file that holds so many before them."""
    at, done = start, 0
    pending: list[Draws] = []
    for chunk in iter_draws(path, BLOCK):
        first, done = done, done + len(chunk)
        if done <= before:
            continue
        if first >= before + stop - start:
            return
        pending.append(chunk[max(0, before - first) : before + stop - start - first])
        held = Draws.concatenate(pending) if len(pending) > 1 else pending[0]
        while at < stop and len(held) >= (size := min(BLOCK - at % BLOCK, stop - at)):
            yield at, held[:size]
            at, held = at + size, held[size:]
        pending = [held] if len(held) else []
