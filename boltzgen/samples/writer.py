"""Writing the samples file in chunks, none of which is lost; `samples.contents` says what is in it."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from dataclasses import asdict, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import mdtraj
import numpy as np

from boltzgen import units
from boltzgen.locks import locked
from boltzgen.molecule.system import System
from boltzgen.samples.checks import check_samples
from boltzgen.samples.contents import SCALARS, check_target, iter_draws, read_header
from boltzgen.samples.draws import Draws
from boltzgen.samples.header import describe
from boltzgen.samples.journal import Journal
from boltzgen.samples.mdtraj_hdf5 import CHUNK_BYTES, SUFFIXES, add_coordinates, describe_frames
from boltzgen.samples.shards import Range, Shard, missing
from boltzgen.samples.whole_file import add_array, new_hdf5

#: What samples must agree in to be of one file.
_IDENTITY = ("fingerprint", "generator", "temperature", "seed", "shard", "n_whole")
#: Names of them that another one explains.
_WORDS = {"fingerprint": "system", "n_whole": "whole number of draws (`n`)"}


class SamplesWriter:
    """Writes weighted samples to an HDF5 file, chunk by chunk in constant memory.

    Chunks go to a journal beside the file, ``samples.h5.journal``. At the end of the `with` block the file
    is made of them, whole or not at all, and replaces an older one. Where an exception ends the block (Ctrl-C
    included), what was written becomes ``samples.partial.h5``, a samples file of fewer samples. A process
    that is killed leaves the journal. From either, a writer with ``resume=True`` goes on.

    Args:
        path: of the file, .h5 or .hdf5.
        system: the molecule.
        temperature: of the target, in K.
        seed: that the samples are drawn with.
        generator: `BoltzmannGenerator.digest` of what draws them, so that no other goes on with them.
        shard: which share of the seed's draws these are; needs `n`.
        n: draws of all shards; of a file that is none, draws that are wanted.
        doubt: see `SamplesHeader`.
        resume: go on with the samples that were left by an earlier writer, or that the file holds, if any.
        force: begin anew, whatever an earlier writer has left.

    Attributes:
        n_energy_evaluations: spent on drawing so far, in all; to be set before `write` or the block's end.
        n_samples: written so far, those of earlier writers included.
        whole: which of the seed's draws are wanted.
        kept: where the samples are if the block ended with an exception; None if there are none.

    Raises:
        FileNotFoundError: the folder does not exist.
        FileExistsError: without `resume` and `force`, an interrupted writer has left samples.
        BlockingIOError: another process writes this file.
        ValueError: the name does not end in .h5 or .hdf5; or the samples to go on with are of another
            molecule, temperature, seed or generator.
        OSError: the file cannot be written (full disk, no permission).

    Example:
        with SamplesWriter("samples.h5", system, 300.0, seed=1, resume=True) as writer:
            for chunk in generator.sample_chunks(n, energy, seed=1, start=writer.n_samples):
                writer.n_energy_evaluations += energy.n_evaluations
                writer.write(chunk)
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        system: System,
        temperature: Any,
        *,
        seed: int = 0,
        generator: str = "",
        shard: Shard | None = None,
        n: int | None = None,
        doubt: str = "",
        resume: bool = False,
        force: bool = False,
    ) -> None:
        if shard is not None and n is None:
            raise ValueError("a `shard` needs `n`, the draws of all shards together")
        self.whole: Range = (0, n or 0) if shard is None else shard.checked(n or 0)
        self.path = Path(path)
        self.n_energy_evaluations = 0
        self.kept: Path | None = None
        self._system, self._resume, self._force = system, resume, force
        check_target(self.path, SUFFIXES)
        self._said = describe(
            system,
            units.kelvin(temperature),
            seed=seed,
            generator=generator,
            shard="" if shard is None else str(shard),
            n_whole=None if shard is None else n,
            doubt=doubt,
        )
        self._partial = self.path.with_name(f"{self.path.stem}.partial{self.path.suffix}")
        self._journal_path = self.path.with_name(f"{self.path.name}.journal")
        self._journal: Journal | None = None
        self._n_samples = 0
        self._stack = ExitStack()

    @property
    def n_samples(self) -> int:
        """Samples written so far, those of earlier writers included."""
        return self._n_samples if self._journal is None else self._journal.n_samples

    @property
    def missing(self) -> list[Range]:
        """Draws that are wanted and not yet written, at most one range."""
        start, stop = self.whole
        return missing([(start, start + self.n_samples)], (start, max(start, stop)))

    def __enter__(self) -> Self:
        try:
            self._stack.enter_context(locked(self.path))
            self._journal = self._begin()
            self.n_energy_evaluations = self._journal.n_energy_evaluations
        except BaseException:
            self._stack.close()
            raise
        return self

    def chunks(self) -> Iterator[Draws]:
        """What is written so far, chunk by chunk."""
        return self._open().chunks()

    def write(self, samples: Draws) -> None:
        """Append samples.

        Raises:
            ValueError: of another molecule; or their weights are not ``-u - log_q``, as those of resampled
                conformations are not.
        """
        journal = self._open()
        if samples.x.shape[1] != self._system.n_atoms:
            raise ValueError(
                f"expected positions of {self._system.n_atoms} atoms ({self._system.name}), got "
                f"{samples.x.shape[1]}"
            )
        check_samples(samples, journal.n_samples)
        if len(samples):
            journal.append(samples, self.n_energy_evaluations)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        journal = self._open()
        self._n_samples = journal.n_samples
        self.kept = journal.path if journal.n_samples else None
        try:
            if error is None:
                self._make(self.path, self.n_energy_evaluations)
                self.kept = None
            elif journal.n_samples:
                with suppress(OSError):  # the journal keeps them
                    self._make(self._partial, journal.n_energy_evaluations)
                    self.kept = self._partial
        except BaseException as failure:
            error = failure
            raise
        finally:
            journal.close()
            if self.kept != journal.path:
                journal.path.unlink(missing_ok=True)
            if self.kept is None:
                self._partial.unlink(missing_ok=True)
            elif error is not None:
                error.add_note(
                    f"{journal.n_samples} samples are kept in {self.kept}: go on with `resume=True`"
                )
            self._journal = None
            self._stack.close()

    def _open(self) -> Journal:
        if self._journal is None:
            raise ValueError("the samples file is not open; use `with SamplesWriter(...) as writer:`")
        return self._journal

    def _begin(self) -> Journal:
        """The journal to write to: an empty one, or one that holds what an earlier writer has left."""
        if self._force:
            return self._create()
        journal = Journal.open(self._journal_path) if self._journal_path.exists() else None
        left = {self._journal_path: journal.n_samples if journal is not None else 0}
        if self._partial.exists():
            left[self._partial] = read_header(self._partial).n_samples
        source = max(left, key=lambda path: left[path])
        if journal is not None and not (self._resume and journal.n_samples and source == journal.path):
            journal.close()
            journal = None
        if left[source] and not self._resume:
            raise FileExistsError(
                f"{source} holds {left[source]} samples of an interrupted run; go on with `resume=True`, or "
                "begin anew with `force=True`"
            )
        if journal is not None:
            try:
                self._check_identity(source, journal.said)
            except ValueError:
                journal.close()
                raise
            return journal
        if not left[source]:
            source = self.path
        return self._copy(source) if self._resume and source.exists() else self._create()

    def _create(self) -> Journal:
        return Journal.create(self._journal_path, self._said)

    def _copy(self, source: Path) -> Journal:
        """A journal of the samples of a file; a file of an interrupted writer is not needed afterwards."""
        header = read_header(source)
        self._check_identity(source, asdict(replace(header, mdtraj_topology=None)))
        if header.n_samples and header.ranges != ((self.whole[0], self.whole[0] + header.n_samples),):
            raise ValueError(
                f"{source} holds draws of several places, put together by `boltzgen.merge`; draw the shards "
                "that are missing, and merge those"
            )
        journal = self._create()
        try:
            for chunk in iter_draws(source):
                journal.append(chunk, header.n_energy_evaluations or 0)
        except BaseException:
            journal.remove()
            raise
        if source == self._partial:
            source.unlink()
        return journal

    def _check_identity(self, source: Path, said: Mapping[str, Any]) -> None:
        for name in _IDENTITY:
            # What is not said is None or an empty text.
            if _told(said.get(name)) != _told(self._said.get(name)):
                found = "" if name in ("fingerprint", "generator") else f": {said.get(name)!r}"
                of = _WORDS.get(name, name)
                raise ValueError(
                    f"the samples in {source} are of another {of} than these{found}; go on with the same, or "
                    "choose another file"
                )

    def _make(self, target: Path, n_energy_evaluations: int) -> None:
        """Write all samples as one file."""
        journal = self._open()
        said = {**self._said, "n_energy_evaluations": n_energy_evaluations}
        write_whole(target, self._system.mdtraj_topology, said, journal.chunks(), journal.n_samples)


def _told(value: Any) -> Any:
    return None if value == "" else value


def write_whole(
    target: Path, topology: mdtraj.Topology, said: Mapping[str, Any], chunks: Iterable[Draws], n: int
) -> None:
    """Write n samples, which come in chunks, as one file, whole or not at all.

    Args:
        target: of the file.
        topology: of the molecule.
        said: of the samples, see `header.describe`.
        chunks: the samples, in order.
        n: how many they are.

    Raises:
        OSError: it cannot be written.
    """
    title = f"Weighted samples of {json.loads(said['system'])}; frames do not have equal weight, see log_w"
    with new_hdf5(target) as file:
        describe_frames(file, topology, title=title)
        for key, value in said.items():
            file.attrs[key] = np.bytes_(value) if isinstance(value, str) else value
        coordinates = add_coordinates(file, n, topology.n_atoms)
        rows = max(1, min(CHUNK_BYTES // 8, n))
        for name in SCALARS:
            scalar = add_array(file, name, (n,), "f8", rows)
            scalar.attrs["units"] = np.bytes_("kT" if name == "u" else "dimensionless")
        start = 0
        for chunk in chunks:
            stop = start + len(chunk)
            coordinates[start:stop] = chunk.x.numpy(force=True)
            for name in SCALARS:
                file[name][start:stop] = getattr(chunk, name).numpy(force=True)
            start = stop
