"""What adapters have in common: foreign draws with our random streams, and callables as targets."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from typing_extensions import override

from boltzgen.flow.distribution import Distribution
from boltzgen.generator.target import value_and_gradient

_MOST = 2**63 - 1


@contextmanager
def seeded(generator: torch.Generator | None) -> Iterator[None]:
    """Random numbers of torch's default generators, those of `generator` for as long as the block lasts.

    Other packages draw from the default ones alone. With a `generator` they are seeded from it inside the
    block and as before after it; with None nothing changes.
    """
    if generator is None:
        yield
        return
    seed = int(torch.randint(_MOST, (), generator=generator, device=generator.device))
    with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
        torch.manual_seed(seed)
        yield


class ForeignBase(Distribution):
    """A foreign distribution with a sampler and a log-density of flat batches.

    A base without trainable parameters counts as pathwise: there is nothing to be learned. Of one with
    parameters nothing is known of how its draws move with them, so that they learn by the score function,
    which is right for all.

    Args:
        module: whose parameters these are, if any.
        event_shape: of one draw.
        sample: n -> draws (n, *event_shape).
        log_density: draws (n, *event_shape) -> log p (n,), normalised.
    """

    def __init__(
        self,
        module: nn.Module | None,
        event_shape: Sequence[int],
        sample: Callable[[int], Tensor],
        log_density: Callable[[Tensor], Tensor],
    ) -> None:
        super().__init__()
        self.module, self.event_shape = module, torch.Size(event_shape)
        self._sample_flat, self._log_density = sample, log_density
        trainable = module is not None and any(p.requires_grad for p in module.parameters())
        self.has_rsample = not trainable

    @override
    def log_prob(self, z: Tensor) -> Tensor:
        n = len(self.event_shape)
        batch = z.shape[: z.dim() - n]
        return self._log_density(z.reshape(-1, *self.event_shape)).reshape(batch)

    @override
    def draw(
        self, shape: Sequence[int] = (), *, generator: torch.Generator | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        with torch.no_grad(), seeded(generator):
            z = self._sample_flat(torch.Size(shape).numel())
        z = z.detach().reshape(*shape, *self.event_shape)
        log_prob = self.log_prob(z)
        return z, log_prob.detach(), torch.zeros_like(log_prob) if self.has_rsample else log_prob


class CallableTarget(nn.Module):
    """Any function u(y) as a target of the training objectives: values and gradients, see `losses.Target`.

    Args:
        function: y (n, n_dims) -> u (n,) or (n, 1), differentiable by torch.
    """

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, y: Tensor) -> Tensor:
        """u, shape (...), of y (..., n_dims)."""
        return self.function(y.reshape(-1, y.shape[-1])).reshape(y.shape[:-1])

    def value_and_gradient(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """u (...) and its gradient (..., n_dims), both detached; zero where one of them is not finite."""
        return value_and_gradient(self, y)


def dimensions(event_shape: Sequence[int], what: str) -> int:
    """The number of coordinates of a distribution on vectors.

    Raises:
        ValueError: its draws are no vectors.
    """
    if len(event_shape) != 1:
        raise ValueError(f"expected {what} with draws of shape (n,), got {tuple(event_shape)}")
    return int(event_shape[0])
