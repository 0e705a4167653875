"""Training objectives: plain callables of a flow, samples and the target's reduced energy in flow coordinates."""

from typing import Protocol

import torch
from torch import Tensor

from boltzgen.distribution import Distribution


class Target(Protocol):
    """exp(-u_y) is the unnormalised target density in the flow's coordinates; see `PullbackEnergy`."""

    def value_and_gradient(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """u_y (...) and its gradient (..., n), detached; rows with non-finite u have gradient zero."""
        ...


def reverse_kl(
    flow: Distribution, target: Target, n: int, *, cap: float | None = None, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """KL(q || p) up to log Z, from n fresh draws: mean of A = log q(y) + u_y(y).

    The gradient is pathwise where the flow has pathwise draws. The factors of the base that have none (an accept/reject draw does not move with
    the acceptance) get the score-function term, with the batch mean as baseline,

        grad KL = Cov(A, grad log p_base(z)),  z fixed,

    without which their parameters would learn nothing from the energy (Stimper et al. 2022, arXiv:2110.15828, appendix).

    Args:
        cap: if given, A more than `cap` kT above the batch's median enters as cap + log(1 + excess): clashes of an untrained flow then pull
            without blowing up. This changes the objective; use it only to start. None leaves A alone.

    Returns:
        (loss, log_w): a scalar to differentiate, whose value is the estimate of the KL divergence plus -log Z; and the draws' log-weights (n,),
        detached, -inf outside the domain. Draws outside the domain, or with non-finite energy, are left out of the loss.
    """
    y, log_q, score = flow.draw((n,), generator=generator)
    u, gradient = target.value_and_gradient(y)
    advantage = log_q.detach() + u
    good = advantage.isfinite()
    if not good.any():
        raise FloatingPointError(f"all of {n} draws have a non-finite energy or density; lower the learning rate or start hotter")
    # Value u, gradient du/dy: the energy's own graph is not needed.
    path = log_q + u + (gradient * (y - y.detach())).sum(-1)
    path, score, values = path[good], score[good], advantage[good]
    if cap is not None:
        excess = values - values.median() - cap
        slope = torch.where(excess > 0, 1 / (1 + excess.clamp(min=0)), 1.0)
        capped = torch.where(excess > 0, values - excess + torch.log1p(excess.clamp(min=0)), values)
        path = capped + slope * (path - path.detach())
        values = capped
    m = len(values)
    baseline = values.mean()
    covariance = ((values - baseline) * score).sum() / max(m - 1, 1)
    # Only the gradient of the score term counts: its value is subtracted again.
    loss = path.mean() + covariance - covariance.detach()
    return loss, torch.where(good, -advantage, -torch.inf)


def forward_kl(log_q: Tensor, weights: Tensor | None = None) -> Tensor:
    """KL(p || q) up to the entropy of p, from samples of p: the weighted mean of -log q.

    Args:
        log_q: log-densities of the samples under the flow, (n,), with a graph.
        weights: importance weights (n,), positive, any normalisation; None for equal ones.
    """
    if weights is None:
        return -log_q.mean()
    return -(weights * log_q).sum() / weights.sum()


def log_dispersion(log_q: Tensor, u: Tensor, *, width: float = 1.0) -> Tensor:
    """Dispersion of d = log q + u over samples from any distribution: zero if and only if q equals p on them, up to log Z.

    The mean of the pseudo-Huber function width^2 (sqrt(1 + ((d - mean d) / width)^2) - 1): half the variance of d where it is small,
    so that the gradient of every single sample vanishes at the optimum, and width times the mean absolute deviation where it is large. It reuses
    samples whose energies are known. (Mean absolute deviation: LDR, arXiv:2602.03729; variance: Richter et al. 2020, arXiv:2010.10436.)
    """
    d = log_q + u
    deviation = (d - d.mean()) / width
    return width * width * (torch.sqrt(1 + deviation.square()) - 1).mean()


def energies_and_data(log_q: Tensor, u: Tensor, weights: Tensor, n_data: int, *, kl_weight: float, data_weight: float) -> Tensor:
    """kl_weight * forward KL on draws + data_weight * forward KL on data + the log-dispersion of both, whose log Z is one and the same.

    Args:
        log_q, u, weights: of samples (n,), of which the last n_data are data and the others weighted draws of the flow.
    """
    draws, data = slice(None, len(log_q) - n_data), slice(len(log_q) - n_data, None)
    likelihood = kl_weight * forward_kl(log_q[draws], weights[draws]) + data_weight * forward_kl(log_q[data], weights[data])
    return likelihood + log_dispersion(log_q, u)
