"""Where the next temperature lies, and what the draws of a round are made of."""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from boltzgen import units
from boltzgen.coordinates.pullback import PullbackEnergy
from boltzgen.distribution import Distribution
from boltzgen.flow.flow import HierarchicalFlow
from boltzgen.reweighting import sampling_efficiency
from boltzgen.train.replay import Round


def next_temperature(drawn: Round, present: float, target: float, *, keep: float, at_most: float) -> float:
    """The lowest temperature [K] to which the draws, made at `present`, reweight with an efficiency of at least min(keep * present one, at_most)."""
    wanted = min(keep * sampling_efficiency(drawn.log_w(present)), at_most)
    return _lowest(present, target, lambda temperature: sampling_efficiency(drawn.log_w(temperature)) >= wanted)


def trust_region_temperature(drawn: Round, present: float, target: float, *, trust: float, entropy: float) -> float:
    """The lowest temperature [K] whose distribution p' has KL(p' || p) <= trust and S(p) - S(p') <= entropy, both in nats, p being the present one.

    The constraints of constrained mass transport (von Klitzing, Blessing et al., arXiv:2510.18460) on the path of temperatures:

        KL(p' || p) = (beta - beta') <U>' + log Z - log Z',     S(p) = beta <U> + log Z,

    from the draws reweighted to either temperature, S with respect to dx. There the next distribution is tempered with one multiplier
    for each constraint; on the path of temperatures both act on the same number, and both rise as T' falls. For small steps KL is half the
    chi-squared divergence, so the step keeps an effective sample size of about 1 / (1 + 2 trust) of that at `present`; and the entropy falls by
    sqrt(2 trust C), C being the heat capacity per k, so the second bound takes over where C > entropy^2 / (2 trust).

    Raises:
        ValueError: a bound is not positive; no step would ever be allowed.
    """
    if not (trust > 0 and entropy > 0):
        raise ValueError(f"expected positive bounds on the KL divergence and the entropy's decrease, got {trust} and {entropy} nats")
    mean, log_z = _moments(drawn, present)

    def allowed(temperature: float) -> bool:
        colder_mean, colder_log_z = _moments(drawn, temperature)
        kl = (temperature / present - 1) * colder_mean + log_z - colder_log_z
        return kl <= trust and mean + log_z - colder_mean - colder_log_z <= entropy

    return _lowest(present, target, allowed)


def _moments(drawn: Round, temperature: float) -> tuple[float, float]:
    """<U> / kT at a temperature [K], and log Z up to a constant common to all temperatures, from the weighted draws."""
    log_w = drawn.log_w(temperature)
    potential = torch.where(log_w.isfinite(), drawn.potential.double(), 0.0)
    mean = (torch.softmax(log_w, 0) * potential).sum() / units.kt(temperature)
    return float(mean), float(torch.logsumexp(log_w, 0))


def _lowest(present: float, target: float, allowed: Callable[[float], bool]) -> float:
    """The lowest allowed temperature [K] from `present` down to `target`, by bisection in beta = 1/T."""
    if allowed(target):
        return target
    low, high = 1 / present, 1 / target
    for _ in range(40):
        middle = (low + high) / 2
        if allowed(1 / middle):
            low = middle
        else:
            high = middle
    return 1 / low


@torch.no_grad()
def draw_torsions(flow: HierarchicalFlow, hot: Distribution | None, n_own: int, n: int, *, generator: torch.Generator) -> Tensor:
    """Torsions (n, n_leading), the first n_own of them from the flow, the others from a hotter one."""
    torsions = [flow.leading.sample((n_own,), generator=generator)] if n_own else []
    if n > n_own:
        assert hot is not None
        torsions.append(hot.sample((n - n_own,), generator=generator))
    return torch.cat(torsions)


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
        size = min(batch, n - start)
        t = draw_torsions(flow, hot, min(size, max(0, n_own - start)), size, generator=generator)
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
