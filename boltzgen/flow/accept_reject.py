"""The truncated accept/reject sampler."""

from collections.abc import Callable

import torch
from torch import Tensor

#: Proposals that are judged at once: more than enough for a GPU's width, few enough for a CPU's cache.
BLOCK = 16384


def accept_reject(
    propose: Callable[[int], Tensor],
    log_acceptance: Callable[[Tensor], Tensor],
    n: int,
    *,
    truncation: int,
    generator: torch.Generator | None = None,
    block: int = BLOCK,
) -> tuple[Tensor, Tensor, int]:
    """Draw n independent values; the `truncation`-th proposal in a row is always accepted.

    Proposals form one stream. A draw takes proposals from it until one is accepted, and the next draw goes on
    from there, so that none is wasted but at the very end. Every block of the stream is judged in one call:
    the k-th of a run of rejections is a draw where k is a multiple of the truncation. A device is waited for
    once a block.

    Args:
        propose: makes m proposals (m, ...).
        log_acceptance: log a of proposals (m, ...), shape (m,).
        n: number of draws, at least 1.
        truncation: T, the largest number of proposals for one draw.
        generator: of the uniform numbers that proposals are judged by; by default torch's.
        block: largest number of proposals that are judged at once.

    Returns:
        (z, log_a, n_proposals): draws (n, ...); their log a (n,); and the number of proposals judged.
    """
    taken: list[tuple[Tensor, Tensor]] = []
    n_taken, judged, rejected = 0, 0, None
    while n_taken < n:
        # As many proposals as the rest should need at the acceptance rate so far, and two standard deviations
        # more (of runs of geometric length).
        missing = n - n_taken
        needed = int((missing + 2 * missing**0.5) * judged / max(n_taken, 1)) + 1 if judged else missing
        # The acceptance rate is not yet known well where few have been judged.
        wanted = min(needed, max(block, 3 * judged)) if judged else min(missing, block)
        while wanted > 0:
            size = min(wanted, block)
            z = propose(size)
            uniform = torch.rand(size, generator=generator, dtype=z.dtype, device=z.device)
            log_a = log_acceptance(z)
            accepted = uniform.log() < log_a
            place = torch.arange(1, size + 1, device=z.device)
            # Place of the last acceptance up to here; before the first of this block, runs go on from the
            # block before.
            last = torch.where(accepted, place, 0).cummax(0).values
            run = place - last + (torch.where(last == 0, rejected, 0) if rejected is not None else 0)
            drawn = (accepted | ((run % truncation == 0) & (run > 0))).nonzero().squeeze(1)
            rejected = run[-1] % truncation
            taken.append((z[drawn], log_a[drawn]))
            judged += size
            wanted -= size
        n_taken = sum(len(z) for z, _ in taken)
    draws, log_as = (torch.cat(parts)[:n] for parts in zip(*taken, strict=True))
    return draws, log_as, judged
