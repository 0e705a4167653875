"""Losses of a flow against a target: functions of a flow, samples and the target's reduced energy.

Where several processes each have some of the samples, `ranks`, the parts of a loss add up: see `Ranks`.
"""

import math
from typing import Protocol

import torch
from torch import Tensor

from boltzgen.flow.distribution import Distribution
from boltzgen.flow.flow import HierarchicalFlow
from boltzgen.training.ranks import ALONE, Ranks

#: Importance weights, in units of their mean, from which a step can learn in full: the gradient of a draw in
#: `importance_kl` is at least minus this.
MAX_WEIGHT = 20.0


class Target(Protocol):
    """exp(-u_y) is the unnormalised target density in the flow's coordinates; see `PullbackEnergy`."""

    def value_and_gradient(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """u_y (...) and its gradient (..., n), detached; rows with non-finite u have gradient zero."""
        ...


def reverse_kl(
    flow: Distribution,
    target: Target,
    n: int,
    *,
    cap: float | None = None,
    generator: torch.Generator | None = None,
    ranks: Ranks = ALONE,
) -> tuple[Tensor, Tensor]:
    """KL(q || p) up to log Z, from n fresh draws: the mean of A = log q(y) + u_y(y).

    The gradient is pathwise where the flow has pathwise draws. The factors of the base that have none (an
    accept/reject draw does not move with the acceptance) get the score-function term, with the batch mean as
    baseline,

        grad KL = Cov(A, grad log p_base(z)),  z fixed,

    without which their parameters would learn nothing from the energy (Stimper et al. 2022, arXiv:2110.15828,
    appendix).

    Args:
        flow: q.
        target: p.
        n: number of draws, of this rank.
        cap: if given, A more than `cap` kT above the batch's median enters as cap + log(1 + excess): clashes
            of an untrained flow then pull without blowing up. This changes the loss where such draws exist.
        generator: source of random numbers.
        ranks: which share the draws.

    Returns:
        (loss, log_w): a scalar to differentiate, whose value is the estimate of the KL divergence plus -log
        Z; and the log-weights (n,) of all ranks' draws, detached, -inf outside the domain. Draws outside the
        domain, or with non-finite energy, are left out of the loss.

    Raises:
        FloatingPointError: no draw has a finite energy and density.
    """
    y, log_q, surrogate = flow.draw((n,), generator=generator)
    u, gradient = target.value_and_gradient(y)
    advantage = log_q.detach() + u
    good = _usable(advantage, ranks)
    # Value u, gradient du/dy: the energy's own graph is not needed.
    path = log_q + u + (gradient * (y - y.detach())).sum(-1)
    path, surrogate, values = path[good], surrogate[good], advantage[good]
    if cap is not None:
        excess = values - ranks.gather(values).median() - cap
        share = torch.where(excess > 0, 1 / (1 + excess.clamp(min=0)), 1.0)
        capped = torch.where(excess > 0, values - excess + torch.log1p(excess.clamp(min=0)), values)
        path = capped + share * (path - path.detach())
        values = capped
    loss = ranks.mean(path) + _score_function_term(values, surrogate, ranks)
    return loss, ranks.gather(torch.where(good, -advantage, -torch.inf))


def reverse_kl_path(
    flow: Distribution,
    target: Target,
    n: int,
    *,
    longest: float = math.inf,
    generator: torch.Generator | None = None,
    ranks: Ranks = ALONE,
) -> tuple[Tensor, Tensor]:
    """KL(q || p) up to log Z with the path gradient, whose variance vanishes as q approaches p.

    A draw is y = f(z): z from the base, f with the flow's parameters theta, which stand for those of pathwise
    factors of the base too. The total derivative of E[A], A = log q(y) + u_y(y), has three parts, with phi
    the parameters of the base's accept/reject factors of density p_phi:

        E[ d(log q + u_y)/dy . df/dtheta ]   how draws move,
        E[ A grad_phi log p_phi(z) ]         how often they are made, z fixed: Cov(A, grad_phi log p_phi(z)),
        E[ grad log q(y) ] at fixed y        zero for every parameter, because q stays normalised.

    `reverse_kl` keeps the noise of the third part; here it is left out ("sticking the landing": Roeder et al.
    2017, arXiv:1703.09194; for flows: Vaitl et al. 2022, arXiv:2207.08219). Where q = p the first factor is
    zero and A a constant, so that every single draw has gradient zero. The price is a pass through
    `flow.log_prob` for its gradient in y.

    Like `reverse_kl` it seeks modes: where q has no draws, it has no gradient that would put some there.

    Args:
        flow: q.
        target: p.
        n: number of draws, of this rank.
        longest: gradients d(log q + u_y)/dy are shortened to so many medians, see `hierarchical_kl`.
        generator: source of random numbers.
        ranks: which share the draws.

    Returns:
        (loss, log_w) as `reverse_kl` does.

    Raises:
        FloatingPointError: no draw has a finite energy and density.
    """
    # The score is in y alone: the parameters of log q at fixed y do not take part.
    y, log_q, surrogate, score = flow.draw_with_score((n,), generator=generator)
    u, energy_gradient = target.value_and_gradient(y)
    advantage = log_q.detach() + u
    good = _usable(advantage, ranks)
    gradient = _shortened((score + energy_gradient)[good], longest, ranks)
    path = advantage[good] + (gradient * (y - y.detach())[good]).sum(-1)
    loss = ranks.mean(path) + _score_function_term(advantage[good], surrogate[good], ranks)
    return loss, ranks.gather(torch.where(good, -advantage, -torch.inf))


def forward_kl(log_q: Tensor, weights: Tensor | None = None, *, ranks: Ranks = ALONE) -> Tensor:
    """KL(p || q) up to the entropy of p, from samples of p: the weighted mean of -log q.

    Args:
        log_q: log-densities of the samples under the flow, (n,), with a graph.
        weights: importance weights (n,), positive, any normalisation; None for equal ones.
        ranks: which share the samples.
    """
    if weights is None:
        return -ranks.mean(log_q)
    return -(weights * log_q).sum() / ranks.total(weights.sum())


def log_variance_loss(
    log_q: Tensor, u: Tensor, centre: Tensor | None = None, *, ranks: Ranks = ALONE
) -> Tensor:
    """The pseudo-Huber log-variance loss of d = log q + u over samples of any distribution.

    The mean of sqrt(1 + (d - c)^2) - 1, zero if and only if q equals p on the samples, up to log Z: half the
    variance of d where that is small, so that the gradient of every single sample vanishes at the optimum,
    and the mean absolute deviation where it is large. It reuses samples whose energies are known. (Variance:
    Richter et al. 2020, arXiv:2010.10436; mean absolute deviation: LDR, arXiv:2602.03729.)

    Args:
        log_q: log-densities of the samples under the flow, (n,), with a graph.
        u: their reduced energies (n,).
        centre: c, minus an estimate of log Z; None for the c of the least loss, which a few clashes do not
            move.
        ranks: which share the samples.
    """
    d = log_q + u
    if centre is None:
        centre = _centre(ranks.gather(d))
    return ranks.mean(torch.sqrt(1 + (d - centre).square()) - 1)


def shortfall_loss(log_ratio: Tensor, *, ranks: Ranks = ALONE) -> Tensor:
    """One-sided pseudo-Huber loss of log q/p where p/q is above `MAX_WEIGHT`.

    The mean of sqrt(1 + s^2) - 1, s = max(0, log p/q - log MAX_WEIGHT): the gradient of a sample is at most
    one, however far q falls short, and zero where it does not. So a generator that is good learns nothing
    from it but where it is thin.

    Args:
        log_ratio: log q/p of samples of any distribution, (n,), with a graph.
        ranks: which share the samples.
    """
    short = (-log_ratio - math.log(MAX_WEIGHT)).clamp(min=0)
    return ranks.mean(torch.sqrt(1 + short.square()) - 1)


def _centre(d: Tensor) -> Tensor:
    """The c of the least mean of sqrt(1 + (d - c)^2), by reweighted means from the median on."""
    centre = d.median()
    for _ in range(20):
        weight = 1 / torch.sqrt(1 + (d - centre).square())
        centre = (weight * d).sum() / weight.sum()
    return centre


def importance_kl(log_q: Tensor, u: Tensor, log_z: Tensor, *, ranks: Ranks = ALONE) -> Tensor:
    """Forward KL(p || q) from draws of q, by their weights w = p/q.

    The mean of w - 1 - log w, whose gradient is that of

        (1 - w) log q,   w detached,

    forward KL estimated by importance sampling with the control variate E_q[grad log q] = 0: what q has too
    little of pulls by all that it stands for. It depends on the energy by w alone, so that noise of u which
    is unbiased in w (as that of one draw of the rest) does not move the optimum, q = p. The gradient of a
    draw is at least -`MAX_WEIGHT`: from there on the loss is linear in log w.

    Args:
        log_q: log-densities of the draws under the flow, (n,), with a graph.
        u: their reduced energies (n,).
        log_z: estimate of log Z, w = exp(-u - log Z)/q; see `clipped_log_z`, of the draws of all ranks.
        ranks: which share the draws.
    """
    a = log_q + u + log_z
    near = a.clamp(min=-math.log1p(MAX_WEIGHT))
    return ranks.mean(torch.exp(-near) - 1 + near - MAX_WEIGHT * (a - near))


def clipped_log_z(log_w: Tensor) -> Tensor:
    """log Z for which the mean of min(w/Z, `MAX_WEIGHT`) is one, over log-weights (n,) of draws of q.

    It is the log of the mean weight where none is that large. The gradients of `importance_kl` then add up to
    about zero: the batch is its own baseline, also where a single draw outweighs all others.

    Raises:
        FloatingPointError: no weight is finite.
    """
    _usable(-log_w)
    ordered = log_w.sort(descending=True).values
    n = len(ordered)
    n_clipped = torch.arange(math.ceil(n / MAX_WEIGHT), device=ordered.device)
    rest = ordered.flip(0).logcumsumexp(0).flip(0)[: len(n_clipped)]
    found = rest - torch.log(n - MAX_WEIGHT * n_clipped)
    # The fewest that leave no other as large: with all of them clipped, what remains of the sum is less than
    # one weight.
    enough = ordered[: len(n_clipped)] - found <= math.log(MAX_WEIGHT)
    if not enough.any():
        return ordered[len(n_clipped) - 1] - math.log(MAX_WEIGHT)
    return found[int(enough.to(torch.int8).argmax())]


def hierarchical_kl(
    flow: HierarchicalFlow,
    target: Target,
    leading: Tensor,
    *,
    longest: float = 2.0,
    generator: torch.Generator | None = None,
    ranks: Ranks = ALONE,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """What trains q(t, r) = q(t) q(r | t) on leading coordinates t from any distribution.

    One draw r ~ q(r | t) is made for each t. The rest learns by the path gradient (see `reverse_kl_path`) of
    E_m[KL(q(r | t) || p(r | t))], m the distribution of t: with G = d(log q(r | t) + u_y(t, r))/dr,

        gradient = E_m[ G . dr/dtheta ],

    in which every draw brings as many numbers as r has, all of them zero at the optimum. The leading
    coordinates are left to `importance_kl` or `log_variance_loss` of
    d = log q(t) + [log q(r | t) + u_y(t, r)], brackets detached. All are at their minimum at q = p whatever m
    is, so that m may visit rare basins as often as it likes.

    Args:
        flow: q.
        target: p.
        leading: t, (n, n_leading).
        longest: gradients G that are longer than this many medians of the batch, or than so many times
            sqrt(n_r), are shortened: those of clashes, which would otherwise be most of the gradient of a
            flow that has hardly been trained. It does not move the optimum, where G is zero.
        generator: source of random numbers.
        ranks: which share the draws.

    Returns:
        (loss, log_leading, rest, y): a scalar to differentiate, of value the mean of the brackets; log q(t)
        (n,), with a graph; the brackets (n,), detached, +inf where u is not finite: these draws have no part
        in the loss; and the draws (t, r), (n, n_dims), detached.

    Raises:
        FloatingPointError: no draw has a finite energy and density.
    """
    context = flow.features(leading)
    r, log_rest, _, score = flow.conditional.draw_with_score(
        (len(leading),), generator=generator, context=context
    )
    y = torch.cat((leading, r.detach()), dim=-1)
    u, energy_gradient = target.value_and_gradient(y)
    rest = log_rest.detach() + u
    good = _usable(rest, ranks)
    gradient = _shortened((score + energy_gradient[:, flow.n_leading :])[good], longest, ranks)
    moved = r[good]
    loss = ranks.mean(rest[good]) + ranks.mean((gradient * (moved - moved.detach())).sum(-1))
    return loss, flow.leading.log_prob(leading), torch.where(good, rest, torch.inf), y


def _shortened(gradient: Tensor, longest: float, ranks: Ranks) -> Tensor:
    """Rows (n, n_dims), those longer than `longest` medians, or `longest` sqrt(n_dims), brought to that."""
    if longest == math.inf:
        return gradient
    length = gradient.norm(dim=-1, keepdim=True)
    most = longest * ranks.gather(length).median().clamp(max=math.sqrt(gradient.shape[-1]))
    return torch.where(length > most, gradient * (most / length), gradient)


def _usable(advantage: Tensor, ranks: Ranks = ALONE) -> Tensor:
    """Which draws have a finite A; raises FloatingPointError if none has, of all ranks' draws."""
    good = advantage.isfinite()
    if not ranks.any(bool(good.any())):
        raise FloatingPointError(
            f"all of {len(good)} draws of the flow have a non-finite energy or density: training diverged; "
            "train with a lower `learning_rate`"
        )
    return good


def _score_function_term(values: Tensor, surrogate: Tensor, ranks: Ranks) -> Tensor:
    """A scalar of value zero whose gradient is Cov(A, grad surrogate) over a batch, unbiased."""
    everyone = ranks.gather(values)
    covariance = ((values - everyone.mean()) * surrogate).sum() / max(len(everyone) - 1, 1)
    return covariance - covariance.detach()
