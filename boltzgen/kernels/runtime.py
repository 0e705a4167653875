"""How torch calls compiled loops: when there are any, on how many threads, and with first derivatives
only.
"""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from types import ModuleType
from typing import Any, NoReturn

import torch
from torch import Tensor
from torch.autograd import forward_ad

_log = logging.getLogger(__name__)

#: Elements of the batch that the loops take together: no batch may be smaller.
LANES = 64
#: Results of a function, and what else it keeps.
Results = tuple[tuple[Tensor, ...], tuple[Tensor, ...]]

#: Numbers that a thread works on at a time, which takes it several times as long as to start.
_CHUNK = 1 << 18


def ready(*tensors: Tensor) -> bool:
    """Whether there are loops for these tensors: float32 on the CPU, outside of what transforms or recasts
    operations.
    """
    if (
        any(t.device.type != "cpu" or t.dtype != torch.float32 or t.numel() == 0 for t in tensors)
        or kernels() is None
    ):
        return False
    if (
        torch._C._are_functorch_transforms_active()
        or torch.compiler.is_compiling()
        or torch.is_autocast_enabled("cpu")
    ):
        return False
    return all(forward_ad.unpack_dual(t).tangent is None for t in tensors)


def apply(
    evaluate: Callable[..., Results], gradient: Callable[..., tuple[Tensor, ...]], *inputs: Tensor
) -> tuple[Tensor, ...]:
    """The results of `evaluate`, differentiable once.

    Args:
        evaluate: takes the inputs; returns results, and what else is kept for the gradient.
        gradient: takes derivatives by the results, the inputs, and what was kept; returns derivatives by the
            inputs.
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


def run(
    loop: Callable[..., None], tensors: tuple[Tensor, ...], *options: float, batch: int, numbers: int
) -> None:
    """Run a loop over a batch in chunks, on torch's number of threads.

    Args:
        loop: called with the tensors' arrays, first and last + 1 element of the batch, and the options.
        numbers: size of the whole work.
    """
    arrays = [t.detach().numpy() for t in tensors]
    size = max(1, _CHUNK * batch // numbers // LANES) * LANES
    starts = iter(range(0, batch, size))

    def work() -> None:
        # Whoever is free takes the next chunk: a thread that is held up holds up no other.
        for start in starts:
            loop(*arrays, start, min(start + size, batch), *options)

    n_threads = min(torch.get_num_threads(), -(-batch // size))
    if n_threads < 2:
        work()
        return
    with ThreadPoolExecutor(n_threads - 1) as pool:
        others = [pool.submit(work) for _ in range(n_threads - 1)]
        work()
    for other in others:
        other.result()


@cache
def kernels() -> tuple[ModuleType, ModuleType] | None:
    """The loops of splines and of triangular matrices, or None where numba cannot be imported. Their first
    calls compile them, in seconds.
    """
    try:
        from boltzgen.kernels import splines as spline_kernels
        from boltzgen.kernels import triangular as triangular_kernels
    except (ImportError, OSError) as error:
        _log.warning("flows are computed without compiled loops, several times slower: %s", error)
        return None
    return spline_kernels, triangular_kernels
