"""Where the next temperature lies, and what the draws of a round are made of."""

import math

import torch
from torch import Tensor

from boltzgen.coordinates.pullback import PullbackEnergy
from boltzgen.distribution import Distribution
from boltzgen.flow.flow import HierarchicalFlow
from boltzgen.reweighting import sampling_efficiency
from boltzgen.train.replay import Round


def next_temperature(drawn: Round, present: float, target: float, *, keep: float, at_most: float) -> float:
    """The lowest temperature [K] to which the draws, made at `present`, reweight with an efficiency of at least min(keep * present one, at_most).

    Bisection in beta = 1/T between `present` and `target`.
    """
    wanted = min(keep * sampling_efficiency(drawn.log_w(present)), at_most)
    if sampling_efficiency(drawn.log_w(target)) >= wanted:
        return target
    low, high = 1 / present, 1 / target
    for _ in range(40):
        middle = (low + high) / 2
        if sampling_efficiency(drawn.log_w(1 / middle)) >= wanted:
            low = middle
        else:
            high = middle
    return 1 / low


@torch.no_grad()
def draw_round(
    flow: HierarchicalFlow, target: PullbackEnergy, n: int, *, hot: Distribution | None, share: float, batch: int, generator: torch.Generator
) -> tuple[Round, int]:
    """Draw n configurations and their energies: from the flow, and a `share` of them with torsions from a hotter one.

    Torsions t come from (1 - share) q(t) + share q_hot(t), stratified, and the rest from q(r | t); the mixture's density is exact, so weights are
    too. Returns the round, whose first n_own draws are the flow's own, and n_own.
    """
    n_hot = 0 if hot is None else int(share * n)
    n_own = n - n_hot
    parts: list[tuple[Tensor, ...]] = []
    for start in range(0, n, batch):
        stop = min(start + batch, n)
        own = max(0, min(stop, n_own) - start)
        torsions = []
        if own:
            torsions.append(flow.leading.sample((own,), generator=generator))
        if stop - start > own:
            assert hot is not None
            torsions.append(hot.sample((stop - start - own,), generator=generator))
        t = torch.cat(torsions)
        rest, log_rest, _ = flow.conditional.draw((len(t),), generator=generator, context=flow.features(t))
        log_leading = flow.leading.log_prob(t)
        log_torsions = log_leading
        if hot is not None and n_hot:
            fraction = n_hot / n
            log_torsions = torch.logaddexp(log_leading + math.log(1 - fraction), hot.log_prob(t) + math.log(fraction))
        y = torch.cat((t, rest), dim=-1)
        potential, log_det = target.evaluate(y)
        parts.append((y, potential, log_det, log_torsions + log_rest, log_leading))
    return Round(*(torch.cat(p) for p in zip(*parts, strict=True))), n_own
