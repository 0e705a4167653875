"""Divergence: how it is seen, and the way back."""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

#: Names in a round's metrics.
SPREAD, WENT_BACK = "log_weight_spread", "went_back"
#: A round has diverged if the spread of its log-weights is above this many times the least since training
#: last went back, and above `_LARGE`: smaller ones are made good by training on.
_FACTOR, _LARGE = 2.0, 1.5
#: Halfway there, on a logarithmic scale, from the least of so many rounds before it, a round is not settled:
#: it may be one of a slow divergence, and training does not go back to it.
_RECENT, _HALFWAY = 5, 0.5**0.5
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
    return SPREAD in found and not found[SPREAD] <= _limit(_kept(earlier))


def settled(found: dict[str, Any], earlier: list[dict[str, Any]]) -> bool:
    """Whether training may go back to the state after a round: it has not diverged, nor is it on the way."""
    return SPREAD not in found or _is_settled(found[SPREAD], _kept(earlier))


def _limit(spreads: list[float]) -> float:
    return max(_FACTOR * min(spreads), _LARGE) if spreads else math.inf


def _is_settled(found: float, spreads: list[float]) -> bool:
    return found <= min(_HALFWAY * _limit(spreads[-_RECENT:]), _limit(spreads))


def _kept(earlier: list[dict[str, Any]]) -> list[float]:
    """Spreads of the rounds that stand: from the last one to which training went back."""
    kept: list[float] = []
    last: list[float] = []
    for metrics in earlier:
        if WENT_BACK in metrics:
            kept = last[:]
        elif SPREAD in metrics:
            if _is_settled(metrics[SPREAD], kept):
                last = [metrics[SPREAD]]
            kept.append(metrics[SPREAD])
    return kept


def n_halvings(stage: list[dict[str, Any]]) -> int:
    """How often a stage, given by its rounds' metrics, has gone back."""
    return sum(WENT_BACK in m for m in stage)


@dataclass(frozen=True)
class Snapshot:
    """What rounds of training change, as it was after one of them.

    Attributes:
        round_index: how many rounds had been done.
        parts: tensors by name, of the flow, of its average and of the optimizer.
        norms: running averages of the gradients' norms.
    """

    round_index: int
    parts: dict[str, dict[str, Tensor]]
    norms: dict[str, float]
