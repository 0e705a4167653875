"""Divergence: how it is seen, and the way back."""

from typing import Any

import torch
from torch import Tensor

from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.training.fit import AdaptiveClipping, ParameterAverage
from boltzgen.training.optimizer import MatrixOptimizer

#: Names in a round's metrics.
SPREAD, WENT_BACK = "log_weight_spread", "went_back"
#: A round has diverged if the spread of its log-weights is above this many times the least since training
#: last went back, and above `_LARGE`: smaller ones are made good by training on.
_FACTOR, _LARGE = 2.0, 1.5
#: Halvings of the learning rate after which training gives up.
MOST_HALVINGS = 10


def spread(log_w: Tensor) -> float:
    """Half the distance between the 16th and the 84th percentile of log-weights (n,) in kT.

    The standard deviation of normal ones; a few draws of huge weight, or of none, do not matter. inf where
    fewer than two are finite.
    """
    finite = log_w[log_w.isfinite()].double()
    if len(finite) < 2:
        return float("inf")
    low, high = torch.quantile(finite, torch.tensor([0.16, 0.84], dtype=finite.dtype, device=finite.device))
    return float(high - low) / 2


def diverged(found: dict[str, Any], earlier: list[dict[str, Any]]) -> bool:
    """Whether a round has diverged, by its metrics and those of the stage's earlier rounds.

    The comparison begins anew from the round to which training went back: where the spread rises because the
    target becomes harder as the temperature falls, not every round is taken for a divergence.
    """
    kept: list[float] = []
    for metrics in earlier:
        if WENT_BACK in metrics:
            kept = kept[-1:]
        elif SPREAD in metrics:
            kept.append(metrics[SPREAD])
    if SPREAD not in found or not kept:
        return False
    return not found[SPREAD] <= max(_FACTOR * min(kept), _LARGE)


def n_halvings(stage: list[dict[str, Any]]) -> int:
    """How often a stage, given by its rounds' metrics, has gone back."""
    return sum(WENT_BACK in m for m in stage)


class Snapshot:
    """What a round of training changes, as it was before the round."""

    def __init__(
        self,
        generator: BoltzmannGenerator,
        optimizer: MatrixOptimizer,
        average: ParameterAverage,
        clipping: AdaptiveClipping,
    ) -> None:
        self._changing = generator.flow, optimizer, average, clipping
        self._flow = _copy(generator.flow.state_dict())
        self._moments = _copy(optimizer.state_dict())
        self._average, self._norms = _copy(average.state), dict(clipping.norms)

    def restore(self) -> None:
        """Put it back."""
        flow, optimizer, average, clipping = self._changing
        flow.load_state_dict(self._flow)
        optimizer.forget()
        optimizer.load_state_dict(self._moments)
        average.state, clipping.norms = _copy(self._average), dict(self._norms)


def _copy(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in tensors.items()}
