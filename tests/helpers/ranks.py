"""Ranks as threads of this process, which exchange tensors through memory; and draws that are given."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from boltzgen.flow.distribution import Distribution
from boltzgen.training.process_group import ProcessGroup


class _Meeting:
    """Where n threads leave something for each other."""

    def __init__(self, n: int) -> None:
        self.barrier = threading.Barrier(n, timeout=120.0)
        self.left: list[Any] = [None] * n


class ThreadRanks(ProcessGroup):
    """One of several threads, with all of `ProcessGroup` but the way that tensors take."""

    def __init__(self, rank: int, meeting: _Meeting) -> None:
        self.rank, self.size = rank, len(meeting.left)
        self._meeting, self._received = meeting, []

    def _all_of(self, value: Tensor) -> list[Tensor]:
        self._meeting.left[self.rank] = value.clone()
        self._meeting.barrier.wait()
        found = [t.clone() for t in self._meeting.left]
        self._meeting.barrier.wait()
        shapes = {t.shape for t in found}
        assert len(shapes) == 1, f"ranks exchange tensors of unlike shapes, {shapes}"
        return found

    def _broadcast(self, value: Tensor) -> Tensor:
        return self._all_of(value)[0]

    def _sum(self, flat: Tensor) -> Tensor:
        return torch.stack(self._all_of(flat)).sum(0)


def on_ranks(n: int, work: Callable[[ThreadRanks], Any]) -> list[Any]:
    """What `work` returns on each of n ranks; raises what the first of them that fails raises."""
    meeting = _Meeting(n)
    results: list[Any] = [None] * n
    errors: list[BaseException] = []

    def run(rank: int) -> None:
        try:
            results[rank] = work(ThreadRanks(rank, meeting))
        except threading.BrokenBarrierError:
            pass
        except BaseException as error:
            errors.append(error)
            meeting.barrier.abort()

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(n)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return results


class Given(Distribution):
    """Another distribution whose draws are given: rows (n, ...) in order."""

    def __init__(self, of: Distribution, rows: Tensor) -> None:
        super().__init__()
        self.of, self.rows, self.event_shape, self.has_rsample = of, rows, of.event_shape, of.has_rsample

    def log_prob(self, z: Tensor) -> Tensor:
        return self.of.log_prob(z)

    def draw(
        self, shape: Sequence[int] = (), *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        z, self.rows = self.rows[: shape[0]], self.rows[shape[0] :]
        assert z.shape == (*shape, *self.event_shape)
        log_prob = self.of.log_prob(z)
        if self.has_rsample:
            return z, log_prob, torch.zeros_like(log_prob)
        return z, log_prob.detach(), log_prob


def flat_gradients(module: nn.Module) -> Tensor:
    """Of all parameters in a row, zero where there is none."""
    return torch.cat(
        [(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in module.parameters()]
    )
