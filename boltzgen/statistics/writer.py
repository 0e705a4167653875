"""Statistics on their way to a file, which outlive an interruption as samples do."""

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from boltzgen import units
from boltzgen.locks import locked
from boltzgen.molecule.system import System
from boltzgen.molecule.torsional import Pair
from boltzgen.samples.contents import check_target
from boltzgen.samples.draws import Draws
from boltzgen.samples.mdtraj_hdf5 import SUFFIXES
from boltzgen.samples.shards import BLOCK, Range, Shard, missing
from boltzgen.statistics.file import load_statistics, save_statistics
from boltzgen.statistics.statistics import Statistics

#: Time in s between two states of unfinished work on the disk.
EVERY = 60.0


class StatisticsWriter:
    """Counts draws and keeps none of them; at the end of the `with` block the file is written.

    Until then what was counted is in ``part.partial.h5``, written anew every minute and where an exception
    ends the block (Ctrl-C included). A writer with ``resume=True`` goes on with it. Draws are counted in
    whole blocks, so that the sums are the same however the work was divided.

    Args:
        path: of the file, .h5 or .hdf5.
        system: the molecule.
        temperature: of the target, in K.
        n: draws of all shards together.
        seed: that the draws are made with.
        generator: `BoltzmannGenerator.digest` of what draws them.
        shard: which share of the draws is counted; by default all.
        doubt: see `SamplesHeader`.
        pairs: torsions whose surfaces are wanted besides those of the backbone.
        along: quantities whose means, and profiles where they have a unit, are wanted besides the sizes.
        resume: go on with what an earlier writer has left, if anything.
        force: begin anew, whatever that is.

    Attributes:
        statistics: so far.
        whole: which of the seed's draws are wanted.
        kept: where the statistics are if the block ended with an exception; None if there are none.

    Raises:
        FileNotFoundError: the folder does not exist.
        FileExistsError: without `resume` and `force`, an interrupted writer has left something.
        BlockingIOError: another process writes this file.
        ValueError: a name, a shard, a pair or a quantity is wrong; or what is to be gone on with is of
            something else.
        OSError: the file cannot be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        system: System,
        temperature: Any,
        *,
        n: int,
        seed: int = 0,
        generator: str = "",
        shard: Shard | None = None,
        doubt: str = "",
        pairs: Sequence[Pair] = (),
        along: Sequence[str] = (),
        resume: bool = False,
        force: bool = False,
    ) -> None:
        self.path = Path(path)
        self.kept: Path | None = None
        check_target(self.path, SUFFIXES)
        self.whole = (shard or Shard(1, 1)).checked(n)
        self.statistics = Statistics.begin(
            system,
            units.kelvin(temperature),
            n=n,
            seed=seed,
            generator=generator,
            shard=shard,
            doubt=doubt,
            pairs=pairs,
            along=along,
        )
        self._resume, self._force = resume, force
        self._partial = self.path.with_name(f"{self.path.stem}.partial{self.path.suffix}")
        self._pending: list[Draws] = []
        self._saved = time.monotonic()
        self._stack = ExitStack()

    @property
    def n_samples(self) -> int:
        """Draws that are counted."""
        return self.statistics.n

    @property
    def n_energy_evaluations(self) -> int:
        """Spent so far, those of earlier writers included; to be set before `write`."""
        return self.statistics.n_energy_evaluations

    @n_energy_evaluations.setter
    def n_energy_evaluations(self, n: int) -> None:
        self.statistics.n_energy_evaluations = n

    @property
    def missing(self) -> list[Range]:
        """Draws that are wanted and not yet counted, in order."""
        return missing(self.statistics.ranges, self.whole)

    def __enter__(self) -> Self:
        try:
            self._stack.enter_context(locked(self.path))
            self._go_on()
        except BaseException:
            self._stack.close()
            raise
        return self

    def write(self, draws: Draws) -> None:
        """Count the next of the draws that are missing, as soon as they are whole blocks.

        Raises:
            ValueError: more of them than are missing; or as `Statistics.add`.
        """
        self._pending.append(draws)
        held = Draws.concatenate(self._pending) if len(self._pending) > 1 else draws
        while len(held):
            gaps = self.missing
            if not gaps:
                raise ValueError(f"{len(held)} draws more than the {self.whole[1] - self.whole[0]} wanted")
            start, stop = gaps[0]
            size = min(BLOCK - start % BLOCK, stop - start)
            if len(held) < size:
                break
            self.statistics.add(held[:size], start)
            held = held[size:]
        self._pending = [held] if len(held) else []
        self._save_now_and_then()

    def merge(self, statistics: Statistics) -> None:
        """Add what was counted elsewhere, of any draws that are missing here."""
        self.statistics.merge(statistics)
        self._save_now_and_then()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None:
                save_statistics(self.statistics, self.path)
                self._partial.unlink(missing_ok=True)
            elif self.statistics.n:
                # Where a block is counted in part, or the disk is full, what was saved last is there.
                if self.statistics.is_whole:
                    with suppress(OSError):
                        save_statistics(self.statistics, self._partial)
                if self._partial.exists():
                    self.kept = self._partial
                    error.add_note(f"statistics of draws are kept in {self.kept}: go on with `resume=True`")
        finally:
            self._stack.close()

    def _save_now_and_then(self) -> None:
        if time.monotonic() - self._saved > EVERY:
            save_statistics(self.statistics, self._partial)
            self._saved = time.monotonic()

    def _go_on(self) -> None:
        """Take what an earlier writer has left, or the file that is there."""
        if self._force:
            self._partial.unlink(missing_ok=True)
            return
        if self._partial.exists() and not self._resume:
            raise FileExistsError(
                f"{self._partial} holds statistics of an interrupted run; go on with `resume=True`, or begin "
                "anew with `force=True`"
            )
        source = next((path for path in (self._partial, self.path) if path.exists()), None)
        if source is None or not self._resume:
            return
        found = load_statistics(source)
        if found.header.shard != self.statistics.header.shard:
            raise ValueError(
                f"{source} is of shard {found.header.shard or '1/1'}, not of this one; choose another file"
            )
        try:
            self.statistics.merge(found)
        except ValueError as error:
            raise ValueError(f"{source} cannot be gone on with: {error}; choose another file") from error
