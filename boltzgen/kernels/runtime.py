"""How torch calls compiled kernels: when there are any, on how many threads, with first derivatives."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.nn import functional

from boltzgen.kernels.constants import LANES

_log = logging.getLogger(__name__)

#: Results of a function, and what else it keeps.
Results = tuple[tuple[Tensor, ...], tuple[Tensor, ...]]

#: Numbers that a thread works on at a time, which takes it several times as long as to start.
_CHUNK = 1 << 18


@cache
def available() -> bool:
    """Whether numba can be imported and compiles; where it does not, one warning says so."""
    try:
        import numba

        why = "NUMBA_DISABLE_JIT is set" if numba.config.DISABLE_JIT else None
    except (ImportError, OSError) as error:
        why = str(error)
    if why is not None:
        _log.warning(
            "energies and flows are computed without compiled kernels, several times slower: %s", why
        )
    return why is None


def ready(*tensors: Tensor) -> bool:
    """Whether there are differentiable kernels for these tensors.

    They must be float32, on the CPU and not empty, outside of what transforms or recasts operations.
    """
    if (
        any(t.device.type != "cpu" or t.dtype != torch.float32 or t.numel() == 0 for t in tensors)
        or not available()
    ):
        return False
    if (
        torch._C._are_functorch_transforms_active()
        or torch.compiler.is_compiling()
        or torch.is_autocast_enabled("cpu")
    ):
        return False
    return all(forward_ad.unpack_dual(t).tangent is None for t in tensors)


def filled(values: Tensor) -> Tensor:
    """Contiguous values, filled up with zeros to the least batch (last axis) that a kernel takes, `LANES`."""
    missing = LANES - values.shape[-1]
    return functional.pad(values, (0, missing)) if missing > 0 else values.contiguous()


def apply(
    evaluate: Callable[..., Results], gradient: Callable[..., tuple[Tensor, ...]], *inputs: Tensor
) -> tuple[Tensor, ...]:
    """The results of `evaluate`, differentiable once.

    Args:
        evaluate: takes the inputs; returns results, and what else is kept for the gradient.
        gradient: takes derivatives by the results, the inputs, and what was kept; returns derivatives by the
            inputs.
        inputs: tensors that the results may be differentiated by.
    """
    results: tuple[Tensor, ...] = _Apply.apply(evaluate, gradient, *inputs)
    return results


class _Apply(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        evaluate: Callable[..., Results],
        gradient: Callable[..., tuple[Tensor, ...]],
        *inputs: Tensor,
    ) -> tuple[Tensor, ...]:
        results, kept = evaluate(*inputs)
        ctx.gradient = gradient
        ctx.save_for_backward(*inputs, *kept)
        return results

    @staticmethod
    def backward(ctx: Any, *by_results: Tensor) -> tuple[Tensor | None, ...]:
        return (
            None,
            None,
            *_Gradient.apply(ctx.gradient, *(t.contiguous() for t in by_results), *ctx.saved_tensors),
        )


class _Gradient(torch.autograd.Function):
    """A gradient that raises when it is differentiated again: it is never silently a constant."""

    @staticmethod
    def forward(
        ctx: Any, gradient: Callable[..., tuple[Tensor, ...]], *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        return gradient(*tensors)

    @staticmethod
    def backward(ctx: Any, *_: Tensor) -> NoReturn:
        raise RuntimeError(
            "float32 flows on the CPU have first derivatives only; convert the flow to float64 for second "
            "ones"
        )


def run(work: Callable[[int, int], object], *, batch: int, numbers: int) -> None:
    """Call ``work(start, stop)`` for chunks of a batch until all is done, on torch's number of threads.

    Args:
        work: computes elements start ... stop - 1; start is a multiple of `LANES`. It must let other threads
            run meanwhile, as compiled kernels do.
        batch: number of elements.
        numbers: size of the whole work: numbers read or written, about a nanosecond each.
    """
    size = max(1, -(-_CHUNK * batch // max(1, numbers) // LANES)) * LANES
    starts = iter(range(0, batch, size))

    def task() -> None:
        # Whoever is free takes the next chunk: a thread that is held up holds up no other.
        for start in starts:
            work(start, min(start + size, batch))

    n_threads = min(torch.get_num_threads(), -(-batch // size))
    if n_threads < 2:
        task()
        return
    with ThreadPoolExecutor(n_threads - 1) as pool:
        others = [pool.submit(task) for _ in range(n_threads - 1)]
        task()
    for other in others:
        other.result()
