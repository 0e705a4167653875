"""Ranks that are processes, of one machine or of several, as torchrun starts them."""

import itertools
import json
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import FrameType
from typing import Any, NoReturn

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.rendezvous import rendezvous
from typing_extensions import override

from boltzgen.training.ranks import ALONE, OtherRankError, Ranks

#: Seconds after which a process that does not answer is given up.
TIMEOUT = 300.0
#: What torchrun, and others who start the processes of torch, tell each of them.
_ENVIRONMENT = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
#: How often this process has joined others.
_JOINED = itertools.count()
_ENDINGS = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


class ProcessGroup(Ranks):
    """The processes of a group of torch's.

    Numbers of the draws go through memory and network (`gloo`), and so do gradients, unless there is a group
    that takes them from GPU to GPU. Whatever is the same on all ranks is so to the last bit.

    Args:
        group: of all processes, by `gloo`.
        gradients: the same processes by `nccl`, each with a GPU of its own; None where they have none.
    """

    def __init__(self, group: dist.ProcessGroup, gradients: dist.ProcessGroup | None = None) -> None:
        self.rank, self.size = dist.get_rank(group), dist.get_world_size(group)
        self._group, self._gradients = group, gradients
        self._received: list[tuple[int, Callable[[int, FrameType | None], Any]]] = []

    @override
    def gather(self, rows: Tensor) -> Tensor:
        found = rows.detach().cpu().contiguous()
        sizes = [int(n) for n in self._all_of(torch.tensor(len(found)))]
        padded = found.new_zeros((max(sizes), *found.shape[1:]))
        padded[: len(found)] = found
        parts = [part[:n] for part, n in zip(self._all_of(padded), sizes, strict=True)]
        return torch.cat(parts).to(rows.device)

    @override
    def total(self, value: Tensor) -> Tensor:
        # Added up in the order of the ranks by each of them.
        return torch.stack(self._all_of(value.detach().cpu())).sum(0).to(value)

    @override
    def first(self, value: Tensor) -> Tensor:
        return self._broadcast(value.detach().cpu().contiguous().clone()).to(value.device)

    @override
    def told(self, value: Any) -> Any:
        text = json.dumps(value).encode() if self.is_writer else b""
        size = int(self.first(torch.tensor(len(text))))
        content = torch.zeros(size, dtype=torch.uint8)
        if self.is_writer:
            content = torch.frombuffer(bytearray(text), dtype=torch.uint8)
        return json.loads(bytes(self.first(content).tolist()))

    @override
    def synchronize(self, module: nn.Module) -> None:
        # As bytes: numbers of every type in one message.
        tensors = list(module.state_dict().values())
        flat = [t.detach().contiguous().reshape(-1).view(torch.uint8).cpu() for t in tensors]
        parts = self.first(torch.cat(flat)).split([len(part) for part in flat])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.detach().copy_(part.clone().view(tensor.dtype).view(tensor.shape))

    @override
    def sum_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        parameters = list(parameters)
        device = parameters[0].device
        known = torch.tensor([p.grad is not None for p in parameters] + [bool(self._received)])
        gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        flat = torch.cat([*(g.flatten() for g in gradients), known.to(gradients[0])])
        sizes = [p.numel() for p in parameters]
        *sums, has = self._sum(flat).to(device).split([*sizes, len(known)])
        *anywhere, interrupted = (has > 0).tolist()
        for parameter, total, there in zip(parameters, sums, anywhere, strict=True):
            parameter.grad = total.view_as(parameter).clone() if there else None
        if interrupted:
            self._end()

    @override
    @contextmanager
    def interruptible(self) -> Iterator[None]:
        former = {number: signal.getsignal(number) for number in _ENDINGS} if _is_main_thread() else {}

        def note(number: int, frame: FrameType | None) -> None:
            handler = former[number]
            assert callable(handler)
            signal.signal(number, handler)  # a second one ends this process at once
            self._received.append((number, handler))

        taken = [number for number, handler in former.items() if callable(handler)]
        try:
            for number in taken:
                signal.signal(number, note)
            yield
            if self.any(bool(self._received)):  # after the last step
                self._end()
        finally:
            for number in taken:
                if signal.getsignal(number) is note:
                    signal.signal(number, former[number])

    def _end(self) -> NoReturn:
        """End as the signals that came would have ended this rank, or as Ctrl-C does."""
        for number, handler in self._received:
            handler(number, None)
        raise KeyboardInterrupt

    @override
    @contextmanager
    def together(self) -> Iterator[None]:
        error: Exception | None = None
        try:
            yield
        except Exception as found:
            error = found
        failed = [bool(flag) for flag in self._all_of(torch.tensor(int(error is not None)))]
        if error is not None and (self.is_writer or not failed[0]):
            raise error
        if any(failed):
            raise OtherRankError(f"process {failed.index(True)} of the training failed, and says why")

    def _all_of(self, value: Tensor) -> list[Tensor]:
        """All ranks' tensors, on the CPU, of one shape."""
        parts = [torch.empty_like(value) for _ in range(self.size)]
        self._call(dist.all_gather, parts, value, group=self._group)
        return parts

    def _broadcast(self, value: Tensor) -> Tensor:
        """The first rank's, of tensors on the CPU."""
        self._call(dist.broadcast, value, group_src=0, group=self._group)
        return value

    def _sum(self, flat: Tensor) -> Tensor:
        """The sum of all ranks' tensors, the same to the last bit everywhere."""
        flat = flat.cpu() if self._gradients is None else flat
        self._call(dist.all_reduce, flat, group=self._gradients or self._group)
        return flat

    def _call(self, collective: Callable[..., Any], *arguments: Any, **options: Any) -> None:
        try:
            collective(*arguments, **options)
        except RuntimeError as error:
            said = str(error).splitlines()[0]
            raise ConnectionError(
                f"process {self.rank} of {self.size} has lost another one, which ended or did not answer in "
                f"time ({said}); finished rounds are kept: go on with `resume`"
            ) from error


@contextmanager
def joined(device: str, *, timeout: float = TIMEOUT) -> Iterator[tuple[Ranks, str]]:
    """The ranks that this process is one of, and the device that is its own.

    By itself a process is `ALONE`, unless it was started as one of several: by torchrun, or by whoever sets
    the variables of torch's ``env://``. Of all but the first one only errors are logged.

    Args:
        device: torch device; "cuda" becomes that GPU of the machine which is this process's own.
        timeout: seconds after which a process that does not answer is given up, at most some more while a
            machine is told of it.

    Raises:
        ValueError: there are fewer GPUs than processes on this machine; or `timeout` is not positive.
        ConnectionError: the others do not come.
    """
    if not timeout > 0:
        raise ValueError(f"expected a positive `timeout` in seconds, got {timeout}")
    ours = not (dist.is_available() and dist.is_initialized())
    if ours and not (all(name in os.environ for name in _ENVIRONMENT) and int(os.environ["WORLD_SIZE"]) > 1):
        yield ALONE, device
        return
    wait = timedelta(seconds=timeout)
    try:
        if ours:
            _join(timedelta(seconds=max(timeout, TIMEOUT)))  # others may take their time to start
        group = dist.new_group(backend="gloo", timeout=wait)
    except RuntimeError as error:
        said = str(error).splitlines()[0]
        raise ConnectionError(f"the other processes of this training did not come: {said}") from error
    ranks = ProcessGroup(group)
    with ranks.together():
        own = own_device(device)
    if device == "cuda":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
        # Or else an error would end the process before it can say so.
        os.environ.setdefault("TORCH_NCCL_BLOCKING_WAIT", "1")
        ranks = ProcessGroup(group, dist.new_group(backend="nccl", timeout=wait))
    log = logging.getLogger("boltzgen")
    level = log.level
    if not ranks.is_writer:
        log.setLevel(logging.ERROR)
    try:
        yield ranks, own
        if ours:
            dist.destroy_process_group()
    finally:
        log.setLevel(level)


def _join(timeout: timedelta) -> None:
    """Make torch's group of the processes that were started together."""
    store, rank, size = next(rendezvous("env://", timeout=timeout))
    # torchrun keeps its store when it starts all of them again, and when they join again: without a prefix of
    # their own they would find the addresses of those before.
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")
    own = dist.PrefixStore(f"boltzgen/{attempt}/{next(_JOINED)}", store)  # type: ignore[attr-defined]
    dist.init_process_group("gloo", store=own, rank=rank, world_size=size, timeout=timeout)


def own_device(device: str) -> str:
    """The device of this process: of "cuda" the GPU that is its own, where several share the machine.

    Raises:
        ValueError: there are fewer GPUs than processes on this machine.
    """
    n, own = (int(os.environ.get(name, default)) for name, default in _LOCAL)
    if device != "cuda" or n < 2:
        return device
    if torch.cuda.device_count() < n:
        raise ValueError(
            f"expected a GPU for each of the {n} processes on this machine, got {torch.cuda.device_count()}; "
            "start fewer processes, or have them share one: `device='cuda:0'`"
        )
    return f"cuda:{own}"


_LOCAL = (("LOCAL_WORLD_SIZE", "1"), ("LOCAL_RANK", "0"))


def _is_main_thread() -> bool:
    """Which alone can take signals."""
    return threading.current_thread() is threading.main_thread()
