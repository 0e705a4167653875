"""The processes that train one generator together, as a training sees them: by itself it is one."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from boltzgen.seeding import random_stream

#: Last number of the keys of random streams of all ranks but the first.
_OF_RANKS = 1


class Ranks:
    """All processes of a training: this one alone here, several in `boltzgen.training.process_group`.

    Each rank makes its share of the draws of a step. What is asked of all draws together, such as a median,
    is taken of the gathered numbers. A loss is split into parts that add up: a rank's part of a mean is the
    sum over its own draws, divided by the number of draws of all ranks, and so are gradients.

    All methods but `share` and `part` must be called by all ranks, in the same order.

    Attributes:
        rank: number of this process, from 0.
        size: number of processes.
    """

    rank, size = 0, 1

    @property
    def is_writer(self) -> bool:
        """Whether this rank writes files, logs and tells of progress: the first one does."""
        return self.rank == 0

    def share(self, n: int) -> int:
        """How many of n things are this rank's; the first ranks have one more where n does not divide."""
        return n // self.size + (self.rank < n % self.size)

    def part(self, n: int) -> slice:
        """Which of n things in a row are this rank's."""
        start = self.rank * (n // self.size) + min(self.rank, n % self.size)
        return slice(start, start + self.share(n))

    def seed(self, seed: int) -> int:
        """A seed of this rank's own, derived from one that all have; the first rank's is that one."""
        return random_stream("cpu", *self.key(seed)).initial_seed() if self.rank else seed

    def key(self, *key: int) -> tuple[int, ...]:
        """A key of `random_stream` of this rank's own, from one that all have, which the first one keeps."""
        # A number of its own at the end keeps it apart from keys that end in one of 2^32 or more.
        return (*key, self.rank, _OF_RANKS) if self.rank else key

    def gather(self, rows: Tensor) -> Tensor:
        """The rows of all ranks, (sum of their n, ...), in the order of the ranks, without a graph."""
        return rows.detach()

    def total(self, value: Tensor) -> Tensor:
        """The sum of all ranks' tensors of one shape, without a graph."""
        return value.detach()

    def first(self, value: Tensor) -> Tensor:
        """The first rank's tensor, of the same shape and type everywhere."""
        return value

    def told(self, value: Any) -> Any:
        """What the first rank has, of lists and dictionaries as JSON holds them; the others may give None."""
        return value

    def synchronize(self, module: nn.Module) -> None:
        """Give the module on all ranks the parameters and buffers that the first one has."""

    def mean(self, values: Tensor) -> Tensor:
        """This rank's part of the mean of all ranks' values (n,); zero where there are none at all."""
        n = self.total(torch.tensor(len(values), device=values.device))
        return values.sum() / n.clamp(min=1)

    def any(self, flag: bool) -> bool:  # noqa: FBT001 - the one argument
        """Whether a flag is set on any rank."""
        return bool(self.total(torch.tensor(int(flag))))

    def agree(self, flag: bool) -> bool:  # noqa: FBT001 - the one argument
        """The first rank's flag, for what would differ by rounding or by the clock."""
        return bool(self.first(torch.tensor(int(flag))))

    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give each parameter the sum of all ranks' gradients.

        Raises:
            KeyboardInterrupt: any rank was asked to end, see `interruptible`.
        """

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Have signals that end one rank end all of them, in the next `sum_gradients`."""
        yield

    @contextmanager
    def together(self) -> Iterator[None]:
        """Let all ranks fail where one of them does: a block that calls none of the other methods.

        Raises:
            OtherRankError: of those ranks that have nothing to say of their own.
        """
        yield


class OtherRankError(RuntimeError):
    """Another process of this training has failed, and says itself what was wrong."""


#: A process that trains by itself.
ALONE = Ranks()
