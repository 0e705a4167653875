"""FAB's objective (Midgley et al. 2023, arXiv:2208.01893), to compare with: alpha-2 from annealed samples.

Where a flow q has too little of its target p, p^2 / q has much. Annealed importance sampling makes samples of
it, a prioritised buffer keeps them usable while q is trained, and `alpha_2` learns from them.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from boltzgen.flow.distribution import Distribution
from boltzgen.geometry import wrap
from boltzgen.training.losses import Target


@dataclass(frozen=True)
class AnnealedDraws:
    """Weighted samples of g = p^2 / q.

    Attributes:
        y: flow coordinates, (n, n_dims).
        log_w: log-weights, float64 (n,), whose mean exponential is the integral of exp(-2 u) / q; -inf for a
            draw that left the domain at the start.
        log_q: log-densities under the flow, (n,), detached.
        acceptance: mean acceptance probability at each level, float64 (n_levels,).
    """

    y: Tensor
    log_w: Tensor
    log_q: Tensor
    acceptance: Tensor


def annealed_importance_sampling(
    flow: Distribution,
    target: Target,
    n: int,
    steps: Tensor,
    *,
    n_periodic: int = 0,
    leapfrog: int = 4,
    generator: torch.Generator | None = None,
) -> AnnealedDraws:
    """n draws of q moved towards g = p^2 / q, with weights that make up for what is missing (Neal 2001,
    arXiv:physics/9803008).

    The path between q and g is geometric,

        log gamma_b(y) = (1 - b) log q + b (-2 u - log q) = (1 - 2 b) log q - 2 b u,   b = 0, 1/(K + 1), ...,
        1,

    and passes through p at b = 1/2. A draw's log-weight is the sum of the increments of log gamma at the
    points where b rises, and at each of the K levels in between one trajectory of Hamiltonian Monte Carlo
    with unit masses leaves gamma_b exactly invariant. Weights are thus exact whatever the steps, as long as
    these do not depend on the draws: `adapted_steps` changes them for the next call only. Each draw costs 1 +
    K leapfrog evaluations of the energy's gradient and of the flow's.

    Args:
        steps: leapfrog step size at each level, (n_levels,).
        n_periodic: how many of the first coordinates are angles. They are wrapped to [-pi, pi) after every
            move: neither a flow's inverse nor the domain of methyl rotors takes them elsewhere. The map stays
                reversible and preserves volume, so that g need not be smooth across the seam.
        leapfrog: steps of each trajectory.
    """
    here = _Points.at(flow, target, flow.sample((n,), generator=generator))
    rise = 1 / (len(steps) + 1)
    log_w = here.log_gamma(rise) - here.log_q.double()
    acceptance = []
    for level, step in enumerate(steps.tolist(), start=1):
        here, probability = _trajectory(
            flow, target, here, level * rise, step, n_periodic, leapfrog, generator
        )
        log_w = log_w + here.log_gamma((level + 1) * rise) - here.log_gamma(level * rise)
        acceptance.append(probability[log_w > -math.inf].mean())
    return AnnealedDraws(
        here.y, torch.where(log_w.isnan(), -math.inf, log_w), here.log_q, torch.stack(acceptance)
    )


def adapted_steps(steps: Tensor, acceptance: Tensor, *, wanted: float = 0.65) -> Tensor:
    """Step sizes (n_levels,) for the next call: larger where more than the `wanted` acceptance was found,
    else smaller, within a factor of 2.
    """
    return steps * torch.exp(acceptance.nan_to_num(nan=0.0) - wanted).to(steps)


@dataclass(frozen=True)
class _Points:
    """Samples with both parts of every level's density: y (n, n_dims), u and log_q (n,), and the slopes of
    both, (n, n_dims).
    """

    y: Tensor
    u: Tensor
    log_q: Tensor
    u_slope: Tensor
    q_slope: Tensor

    @classmethod
    def at(cls, flow: Distribution, target: Target, y: Tensor) -> "_Points":
        u, u_slope = target.value_and_gradient(y)
        with torch.enable_grad():
            leaf = y.detach().requires_grad_()
            log_q = flow.log_prob(leaf)
            (q_slope,) = torch.autograd.grad(log_q.sum(), leaf)
        return cls(y, torch.where(u.isfinite(), u, math.inf), log_q.detach(), u_slope, q_slope)

    def log_gamma(self, b: float) -> Tensor:
        """float64 (n,), -inf outside the domain; b > 0."""
        return (1 - 2 * b) * self.log_q.double() - 2 * b * self.u.double()

    def force(self, b: float) -> Tensor:
        return (1 - 2 * b) * self.q_slope - 2 * b * self.u_slope

    def where(self, chosen: Tensor, other: "_Points") -> "_Points":
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return _Points(
            *(torch.where(chosen if a.dim() == 1 else chosen.unsqueeze(-1), a, b) for a, b in pairs)
        )


def _trajectory(
    flow: Distribution,
    target: Target,
    start: _Points,
    b: float,
    step: float,
    n_periodic: int,
    leapfrog: int,
    generator: torch.Generator | None,
) -> tuple[_Points, Tensor]:
    """One trajectory from each point at level b and the probabilities of acceptance, float64 (n,); an end
    outside the domain is rejected.
    """
    v = torch.randn(start.y.shape, generator=generator, dtype=start.y.dtype, device=start.y.device)
    chance = torch.rand(len(start.y), generator=generator, dtype=torch.float64, device=start.y.device)
    before = start.log_gamma(b) - 0.5 * v.double().square().sum(-1)
    here = start
    for _ in range(leapfrog):
        v = v + 0.5 * step * here.force(b)
        moved = here.y + step * v
        here = _Points.at(
            flow, target, torch.cat((wrap(moved[:, :n_periodic]), moved[:, n_periodic:]), dim=-1)
        )
        v = v + 0.5 * step * here.force(b)
    after = here.log_gamma(b) - 0.5 * v.double().square().sum(-1)
    # A density that is not a number is never accepted, nor an end at -inf from a start at -inf.
    probability = torch.exp((after - before).clamp(max=0.0)).nan_to_num(nan=0.0)
    return here.where(chance < probability, start), probability


class PrioritisedBuffer:
    """The last samples made towards g = p^2 / q, drawn in proportion to their weights.

    A sample's weight w was right for the flow q_old that it was last used with. Under another flow the target
    of the very same sample is p^2 / q_new, and its weight

        w_new = w q_old(y) / q_new(y).

    So samples are drawn with probability proportional to w, count q_old / q_new in an average over p^2 /
    q_new, and are put back with w_new and
    q_new: the buffer costs no energies, and what was drawn stays exactly weighted, however old.

    Attributes:
        y: flow coordinates, (n, n_dims), oldest first, n <= capacity.
        log_w: log-weights, float64 (n,).
        log_q: log-densities under the flow that the weights are for, float64 (n,).
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"expected a capacity of at least one sample, got {capacity}")
        self.capacity = capacity
        self.y, self.log_w, self.log_q = (
            torch.empty(0),
            torch.empty(0, dtype=torch.float64),
            torch.empty(0, dtype=torch.float64),
        )

    def __len__(self) -> int:
        return len(self.log_w)

    def add(self, y: Tensor, log_w: Tensor, log_q: Tensor) -> None:
        """Append samples y (n, n_dims) with their log-weights and log-densities (n,); the oldest give way.
        Those of weight zero count as samples.
        """
        new = (y.detach(), log_w.detach().double(), log_q.detach().double())
        if len(self):
            old = (self.y, self.log_w, self.log_q)
            new = tuple(torch.cat(pair) for pair in zip(old, new, strict=True))  # type: ignore[assignment]
        self.y, self.log_w, self.log_q = (t[-self.capacity :] for t in new)

    def draw(self, n: int, *, generator: torch.Generator | None = None) -> Tensor:
        """Indices (n,) of samples drawn with replacement with probability proportional to w.

        Raises:
            ValueError: the buffer holds no sample of positive weight.
        """
        if not (self.log_w > -math.inf).any():
            raise ValueError(
                f"none of the buffer's {len(self)} samples has a positive weight; add samples of the "
                "target's domain first"
            )
        return torch.multinomial(torch.softmax(self.log_w, 0), n, replacement=True, generator=generator)

    def correct(self, index: Tensor, log_q: Tensor) -> Tensor:
        """What drawn samples count under the present flow, log(q_old / q_new), float64 (n,); their weights in
        the buffer become those for it.

        Args:
            index: of the samples, (n,); one drawn twice has the same log_q twice.
            log_q: their log-densities under the present flow, (n,).
        """
        log_q = log_q.detach().double()
        correction = self.log_q[index] - log_q
        self.log_w[index] = self.log_w[index] + correction
        self.log_q[index] = log_q
        return correction


def alpha_2(log_q: Tensor, log_w: Tensor) -> Tensor:
    """A surrogate with the gradient of log integral p^2 / q, the Renyi divergence of order 2, from weighted
    samples of g = p^2 / q.

        grad log integral p^2 / q = -E_g[grad log q],

    because p does not depend on q's parameters; the weighted mean of -log q over such samples estimates it,
    with a bias of order 1/n as any self-normalised mean. Its *value* is a cross entropy from g, not the
    divergence. exp(-D_2) is the sampling efficiency in the limit of many draws, so this objective is the one
    that efficiency itself asks for, and g visits most often what q has too little of (FAB: Midgley et al.
    2023, arXiv:2208.01893). `annealed_importance_sampling` makes the samples, `PrioritisedBuffer` keeps them.

    Args:
        log_q: log-densities of the samples under the flow, (n,), with a graph.
        log_w: their log-weights towards g, (n,), up to a constant; -inf leaves a sample out.
    """
    weights = torch.softmax(log_w, 0).to(log_q.dtype)
    used = weights > 0
    return -(weights[used] * log_q[used]).sum()
