"""Draws of a flow carried on to its target by annealed importance sampling, with exact weights."""

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from boltzgen.flow.distribution import Distribution
from boltzgen.geometry import wrap
from boltzgen.seeding import random_stream

#: Leapfrog steps of each move: about a quarter of the slowest oscillation where the step is well chosen.
N_STEPS = 5
#: How far a torsion [radians] moves in the time in which a stiff coordinate moves by its standard deviation.
_TORSION_SCALE = 0.3
#: Draws and moves by which the step is found, the acceptance that it is for, and its first value.
_PILOTS, _PILOT_MOVES, _ACCEPTANCE, _FIRST_STEP = 256, 25, 0.8, 0.3
#: Key of the pilots' random stream, which is the same for draws of any seed.
_PILOT_KEY = 40961
#: Moves that a user may ask for.
MOST = 1000


class Target(Protocol):
    """A reduced energy of flow coordinates, such as `PullbackEnergy`."""

    def value_and_gradient(self, y: Tensor) -> tuple[Tensor, Tensor]:
        """u_y (n,) and its gradient (n, n_dims), both detached; +inf where the density is zero."""


class Refinement:
    """How many moves each draw makes, and what the draws were worth before them.

    Args:
        steps: moves of Hamiltonian Monte Carlo for each draw, from 1 to 1000.

    Attributes:
        steps: as given.
        n_draws: draws that were refined with this.
        plain_seconds: in which they were drawn, with their energies.
        seconds: in which they were moved, the choice of the step included.

    Raises:
        ValueError: too many or too few steps.
    """

    def __init__(self, steps: int) -> None:
        if isinstance(steps, bool) or not isinstance(steps, int) or not 1 <= steps <= MOST:
            raise ValueError(f"expected 1 to {MOST} steps to `refine` draws by, got {steps!r}")
        self.steps = steps
        self.n_draws, self.plain_seconds, self.seconds = 0, 0.0, 0.0
        self._sums = torch.full((2,), -math.inf, dtype=torch.float64)

    def add(self, log_w: Tensor, seconds: float) -> None:
        """Count draws by the log-weights (n,) that they had before they were moved, and their seconds."""
        log_w = log_w.detach().double().cpu()
        found = torch.stack((torch.logsumexp(log_w, 0), torch.logsumexp(2 * log_w, 0)))
        self._sums = torch.logaddexp(self._sums, found)
        self.n_draws += len(log_w)
        self.plain_seconds += seconds

    @property
    def plain_size(self) -> float:
        """Effective sample size of the draws before they were moved; 0 where none has weight."""
        total, square = self._sums.tolist()
        return math.exp(2 * total - square) if total > -math.inf else 0.0

    def summary(self, n_effective: float, n_energies: int) -> dict[str, float | int] | None:
        """What the moves gain, and what they cost, of so many effective draws after them and energies in all.

        None where no draw was refined with this.
        """
        if not self.n_draws:
            return None
        return {
            "steps": self.steps,
            "plain_sampling_efficiency": self.plain_size / self.n_draws,
            "per_energy": n_effective / max(n_energies, 1),
            "plain_per_energy": self.plain_size / self.n_draws,
            "per_second": n_effective / max(self.plain_seconds + self.seconds, 1e-9),
            "plain_per_second": self.plain_size / max(self.plain_seconds, 1e-9),
        }


def refined_digest(digest: str, steps: int) -> str:
    """What refined draws are of: the digest of a generator with their steps, or it alone."""
    return f"{digest}+{steps}" if steps else digest


@dataclass
class _State:
    """Flow coordinates y (n, d) with u_y and log q, each (n,), and their gradients."""

    y: Tensor
    u: Tensor
    log_q: Tensor
    u_gradient: Tensor
    log_q_gradient: Tensor

    @property
    def log_ratio(self) -> Tensor:
        """log p - log q up to a constant, float64 (n,)."""
        return -self.u.double() - self.log_q.double()

    def energy(self, beta: float) -> Tensor:
        """Minus the log of q^(1 - beta) p^beta, float64 (n,)."""
        return beta * self.u.double() - (1 - beta) * self.log_q.double()

    def gradient(self, beta: float) -> Tensor:
        """Of `energy`, (n, d)."""
        return beta * self.u_gradient - (1 - beta) * self.log_q_gradient

    def where(self, chosen: Tensor, other: "_State") -> "_State":
        """These where `chosen`, bool (n,), is true and the other's elsewhere."""
        wide = chosen[:, None]
        return _State(
            torch.where(wide, self.y, other.y),
            torch.where(chosen, self.u, other.u),
            torch.where(chosen, self.log_q, other.log_q),
            torch.where(wide, self.u_gradient, other.u_gradient),
            torch.where(wide, self.log_q_gradient, other.log_q_gradient),
        )


class AnnealedImportance:
    """Annealed importance sampling from a flow q to a target p, in flow coordinates.

    A draw of q makes K moves of Hamiltonian Monte Carlo, the k-th of which leaves q^(1 - b) p^b invariant for
    b = k / (K + 1). Its weight is the product of (p/q)^(1 / (K + 1)) at its beginning and after each move:
    averages with it are exact, whatever the moves do, and with K = 0 it is the importance weight (Neal,
    Stat. Comput. 11, 125, 2001, arXiv:physics/9803008). Where q is right in some places only, moves lead on
    from the others.

    The moves' masses come from the spread of the flow's own draws, and their step from draws that are made
    for this and thrown away, so that what is drawn later depends on its own seed alone.

    Args:
        flow: q; log q is differentiated in y.
        target: p.
        n_periodic: how many of the coordinates, the first ones, are angles.
        refinement: says K.

    Attributes:
        refinement: as given.
        step: of the leapfrog integrator, in units of the spread of the flow's draws.
    """

    def __init__(self, flow: Distribution, target: Target, n_periodic: int, refinement: Refinement) -> None:
        self.flow, self.target, self.n_periodic, self.refinement = flow, target, n_periodic, refinement
        steps = refinement.steps
        self._betas = [k / (steps + 1) for k in range(1, steps + 1)]
        device = next(flow.parameters()).device
        stream = random_stream(device, _PILOT_KEY)
        pilots = flow.sample((4 * _PILOTS,), generator=stream)
        self._scale = self._spread(pilots)
        self.step = self._tuned(pilots[:_PILOTS], stream)

    def __call__(self, y: Tensor, stream: torch.Generator) -> tuple[Tensor, Tensor]:
        """Where draws y (n, d) of the flow have come to, (n, d), and their log-weights, float64 (n,).

        Draws outside the target's domain stay, with the log-weight -inf.
        """
        here = self._at(y)
        inside = here.u.isfinite() & here.log_q.isfinite()
        share = 1.0 / (self.refinement.steps + 1)
        log_w = share * here.log_ratio
        for beta in self._betas:
            moved, accepted, _ = self._move(here, beta, self.step, stream)
            here = moved.where(accepted & inside, here)
            log_w = log_w + share * here.log_ratio
        return here.y, torch.where(inside, log_w, -math.inf)

    def _at(self, y: Tensor) -> _State:
        u, u_gradient = self.target.value_and_gradient(y)
        with torch.enable_grad():
            leaf = y.detach().requires_grad_()
            log_q = self.flow.log_prob(leaf)
            (gradient,) = torch.autograd.grad(log_q.sum(), leaf)
        return _State(y, u, log_q.detach(), u_gradient, gradient.nan_to_num(nan=0.0, posinf=0.0, neginf=0.0))

    def _move(
        self, start: _State, beta: float, step: float, stream: torch.Generator
    ) -> tuple[_State, Tensor, Tensor]:
        """The ends of trajectories, whether each is accepted, bool (n,), and the probability of that."""
        n, device = len(start.y), start.y.device
        momentum = torch.randn(start.y.shape, generator=stream, dtype=start.y.dtype, device=device)
        jitter, chance = torch.rand((2, n), generator=stream, dtype=torch.float64, device=device)
        # One length for a whole trajectory: it leads back if it is reversed.
        epsilon = (step * (0.9 + 0.2 * jitter)).to(start.y)[:, None]
        before = start.energy(beta) + 0.5 * momentum.double().square().sum(-1)
        here = start
        momentum = momentum - 0.5 * epsilon * (here.gradient(beta) @ self._scale)
        for k in range(N_STEPS):
            y = here.y + epsilon * (momentum @ self._scale.T)
            y = torch.cat((wrap(y[:, : self.n_periodic]), y[:, self.n_periodic :]), dim=-1)
            here = self._at(y)
            share = 1.0 if k < N_STEPS - 1 else 0.5
            momentum = momentum - share * epsilon * (here.gradient(beta) @ self._scale)
        rise = here.energy(beta) + 0.5 * momentum.double().square().sum(-1) - before
        # An energy that is not a number is never accepted.
        probability = torch.exp(-rise).clamp(max=1.0).nan_to_num(nan=0.0)
        return here, chance < probability, probability

    def _spread(self, y: Tensor) -> Tensor:
        """L (d, d), lower triangular: L L^T is the covariance of stiff coordinates; torsions have a scale."""
        n, d = self.n_periodic, y.shape[-1]
        scale = torch.zeros((d, d), dtype=torch.float64, device=y.device)
        scale[:n, :n] = _TORSION_SCALE * torch.eye(n, dtype=torch.float64, device=y.device)
        if n < d:
            centred = y[:, n:].double() - y[:, n:].double().mean(0)
            covariance = centred.T @ centred / (len(y) - 1)
            # Few draws say little of small correlations.
            covariance = 0.98 * covariance + 0.02 * torch.diag(covariance.diagonal())
            scale[n:, n:] = torch.linalg.cholesky(covariance)
        return scale.to(y.dtype)

    def _tuned(self, y: Tensor, stream: torch.Generator) -> float:
        """The step whose moves are accepted as often as they should be (Robbins and Monro 1951)."""
        here, step = self._at(y), _FIRST_STEP
        inside = here.u.isfinite() & here.log_q.isfinite()
        if not inside.any():
            return step
        for k in range(_PILOT_MOVES):
            moved, accepted, probability = self._move(here, self._betas[k % len(self._betas)], step, stream)
            here = moved.where(accepted & inside, here)
            step *= math.exp((float(probability[inside].mean()) - _ACCEPTANCE) / (k + 1) ** 0.6)
        return float(f"{step:.2g}")  # rounding differs between machines, steps then do not
