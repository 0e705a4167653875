"""The training loop: it knows no objective."""

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from boltzgen.training.objective import Metrics, Objective
from boltzgen.training.ranks import ALONE, Ranks

logger = logging.getLogger(__name__)

#: Decay of the running averages of the gradient's norms, per step.
_NORM_DECAY = 0.95


class Optimizer(Protocol):
    """Any of torch's optimizers, or a `MatrixOptimizer`."""

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """Groups of parameters with their learning rates `lr`."""
        ...

    def zero_grad(self) -> None:
        """Forget all gradients."""
        ...

    def step(self) -> Any:
        """Move the parameters."""
        ...


class AdaptiveClipping:
    """Scales each part's gradient down to `factor` times the running average of its norm.

    Like AutoClip (Seetharaman et al. 2020, arXiv:2007.14469). One draw where log q is steep can have a
    gradient a thousand times as long as all others, which momentum would follow for many steps.

    Args:
        parts: modules whose gradients are clipped apart from each other, by name; one without gradients is
            left as it is.
        factor: at least so many times the average is left alone.

    Attributes:
        norms: running averages by the names of the parts, empty before the first step.
    """

    def __init__(self, parts: Mapping[str, nn.Module], factor: float) -> None:
        self.parts, self.factor = dict(parts), factor
        self.norms: dict[str, float] = {}

    def __call__(self) -> bool:
        """Clip in place; False, and nothing remembered, where a gradient is not finite."""
        norms = dict(self.norms)
        for name, part in self.parts.items():
            parameters = [p for p in part.parameters() if p.grad is not None]
            if not parameters:
                continue
            most = self.factor * self.norms.get(name, 0.0) or math.inf
            found = float(nn.utils.clip_grad_norm_(parameters, most))
            norms[name] = _NORM_DECAY * self.norms.get(name, found) + (1 - _NORM_DECAY) * min(found, most)
        if not all(map(math.isfinite, norms.values())):
            return False
        self.norms = norms
        return True


class ParameterAverage:
    """The exponential average of a module's parameters and buffers.

    Attributes:
        state: of the module, averaged; empty before the first update.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module, self.decay = module, decay
        self.state: dict[str, Tensor] = {}

    @torch.no_grad()
    def update(self) -> None:
        """Take in the present state: average <- decay average + (1 - decay) present; starts as a copy."""
        for name, value in self.module.state_dict().items():
            if name not in self.state:
                self.state[name] = value.detach().clone()
            elif value.is_floating_point():
                self.state[name].lerp_(value.detach(), 1 - self.decay)
            else:
                self.state[name].copy_(value)


@contextmanager
def using(module: nn.Module, state: dict[str, Tensor]) -> Iterator[None]:
    """The module with another state (an empty one: its own) for as long as the block lasts."""
    if not state:
        yield
        return
    own = {k: v.clone() for k, v in module.state_dict().items()}
    module.load_state_dict(state)
    try:
        yield
    finally:
        module.load_state_dict(own)


def fit(
    objective: Objective,
    optimizer: Optimizer,
    schedule: Callable[[int], float],
    steps: Iterable[int],
    *,
    clipping: Callable[[], bool] | None = None,
    average: ParameterAverage | None = None,
    on_step: Callable[[int, float, Metrics], None] | None = None,
    ranks: Ranks = ALONE,
) -> Metrics:
    """Minimise an objective.

    Args:
        objective: makes the losses, and those of its replays; see `Objective`.
        optimizer: of the parameters to be trained.
        schedule: factor of the optimizer's learning rates in each step, as in `torch`'s `LambdaLR`.
        steps: numbers of the steps to take, for the schedule; `range(n)` from the beginning.
        clipping: called after the gradient is there; False leaves the step out. See `AdaptiveClipping`.
        average: updated after each step.
        on_step: called after each step with its number, its loss and its metrics.
        ranks: the processes whose gradients are added up.

    Returns:
        `loss`, the mean over the steps, and `skipped_steps`, those whose gradient was not finite.
    """
    losses, skipped = [], 0
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    for step in steps:
        for group in optimizer.param_groups:
            group["lr"] = group.setdefault("initial_lr", group["lr"]) * schedule(step)
        loss, metrics = objective.step()
        if not _updated(loss, optimizer, parameters, clipping, ranks):
            skipped += 1
            logger.warning("step %d was left out because its gradient is not finite", step)
        for again in objective.replays():
            _updated(again, optimizer, parameters, clipping, ranks, some=True)
        if average is not None:
            average.update()
        losses.append(float(loss.detach()))
        if on_step is not None:
            on_step(step, losses[-1], metrics)
    return {"loss": sum(losses) / max(len(losses), 1), "skipped_steps": skipped}


def _updated(
    loss: Tensor,
    optimizer: Optimizer,
    parameters: list[nn.Parameter],
    clipping: Callable[[], bool] | None,
    ranks: Ranks,
    *,
    some: bool = False,
) -> bool:
    """Move the parameters by a loss's gradient; False, and nothing moved, where that is not finite.

    `some`: the loss is of some parameters, the same on all ranks, and the others have no part.
    """
    optimizer.zero_grad()
    loss.backward()
    ranks.sum_gradients([p for p in parameters if p.grad is not None] if some else parameters)
    if clipping is None or clipping():
        optimizer.step()
        return True
    return False
