"""The default objective on energies: hierarchical KL, with walkers for the torsions of rare basins."""

import math
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from boltzgen.flow.distribution import Distribution
from boltzgen.flow.mixture import DefensiveMixture
from boltzgen.flow.resampling import rates_once
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.generator.target import PullbackEnergy
from boltzgen.geometry import dihedrals
from boltzgen.molecule.graph import backbone_pairs
from boltzgen.training.annealed import AnnealedObjective
from boltzgen.training.data import Batches, held_out_nll
from boltzgen.training.losses import (
    MAX_WEIGHT,
    clipped_log_z,
    forward_kl,
    hierarchical_kl,
    importance_kl,
    log_variance_loss,
    shortfall_loss,
)
from boltzgen.training.objective import Metrics
from boltzgen.training.ranks import ALONE, Ranks
from boltzgen.training.run_objective import Task
from boltzgen.training.walkers import Walkers

#: In metrics, what `positive_phi` gives; and the last steps of a round whose draws it is of.
POSITIVE_PHI = "positive_phi"
_LAST_STEPS = 8
#: Steps of a round whose torsions are replayed, the last of them; and, for each full torsion, the share of a
#: step's draws that a replay has.
_REPLAYED_STEPS, _REPLAYED_SHARE = 50, 0.25
#: Full torsions up to which one replay is enough.
_FEW_TORSIONS = 4


class _Torsions(NamedTuple):
    """Torsions, for replays.

    Attributes:
        t: (n, n_leading).
        rest: log q(r | t) + u + log Z of a draw of the rest for each, (n,).
        of_broad: their log-densities under the broad component, (n,); zeros where there is none.
    """

    t: Tensor
    rest: Tensor
    of_broad: Tensor

    def some(self, n: int, generator: torch.Generator) -> "_Torsions":
        """n of them at random."""
        rows = torch.randint(len(self.t), (n,), generator=generator, device=self.t.device)
        return _Torsions(*(column[rows] for column in self))


class EnergyObjective(AnnealedObjective):
    """The path gradient for the rest given the torsions, importance-weighted forward KL for the torsions.

    The torsions of a batch come from the flow, a share of them from `Walkers`; each is completed by one draw
    of the rest, see `hierarchical_kl`. Where there is data with energies, a share of each batch comes from it
    and there are no walkers.
    """

    opening = "placing walkers"

    def __init__(self, task: Task) -> None:
        super().__init__(task)
        s = task.settings
        self.n_data = 0 if task.data is None else int(s.data_share * s.batch)
        self.walkers: Walkers | None = None
        self._started = task.data is not None
        self._batches: Batches | None = None
        self._last: deque[tuple[Tensor, Tensor]] = deque(maxlen=_LAST_STEPS)
        #: Of the flow's own draws, and of walkers.
        self._replayed = tuple(deque[_Torsions](maxlen=_REPLAYED_STEPS) for _ in range(2))

    def start_round(self, stream: torch.Generator, shared: torch.Generator | None = None) -> None:
        """Shuffle the data, and make the walkers of a run's first round."""
        super().start_round(stream, shared)
        self._last.clear()
        for kept in self._replayed:
            kept.clear()
        task, s, ranks = self.task, self.task.settings, self.task.ranks
        if task.data is not None and self.n_data:
            part = ranks.part(self.n_data)
            self._batches = task.data.batches(
                s.steps, self.n_data, shared or stream, task.temperature, part=part
            )
        if not self._started:
            self._started = True
            walkers = Walkers.start(
                task.energy,
                task.generator.system,
                task.generator.coordinates,
                ranks.share(s.walkers) if s.walker_share > 0 else 0,
                hot=s.start_temperature,
                temperature=self.annealing(self.n_steps),
                seed=ranks.seed(task.seed),
            )
            self.walkers = None if ranks.any(walkers is None) else walkers

    def loss(self, target: PullbackEnergy) -> tuple[Tensor, Tensor]:
        """The loss of the rest and of the torsions, and the log-weights of the flow's own draws."""
        s, generator, ranks = self.task.settings, self.task.generator, self.task.ranks
        flow = generator.flow
        all_own, n_visited = self._sizes()
        n_own = ranks.share(all_own)
        with torch.no_grad():
            torsions = flow.leading.sample((n_own,), generator=self.stream)
        if self.walkers is not None:
            chosen, visited, u_visited = self.walkers.draw(
                ranks.share(n_visited), self.temperature, self.stream
            )
            torsions = torch.cat((torsions, visited[:, : flow.n_leading]))
        loss, log_q, rest, y = hierarchical_kl(flow, target, torsions, generator=self.stream, ranks=ranks)
        log_w = -(log_q.detach() + rest)
        self._last.append((y[:n_own], log_w[:n_own]))
        of_torsions, log_z = torsion_loss(log_q, rest, n_own, ranks=ranks)
        self._keep(_Torsions(torsions, rest + log_z, _broad_log_prob(flow.leading, torsions)), n_own)
        if self.walkers is not None:
            t, r = visited[:, : flow.n_leading], visited[:, flow.n_leading :]
            # log q(r | t) - log p(r | t) where walkers are, by that of one draw for the same t.
            there = flow.conditional.log_prob(r, flow.features(t)) + u_visited
            ratio = there - rest[n_own:]
            of_torsions = of_torsions + n_visited * shortfall_loss(ratio[ratio.isfinite()], ranks=ranks)
            of_torsions = of_torsions + n_visited * self._of_broad(t)
            at_walkers = log_q.detach()[n_own:]
            there = there.detach()
            of_t = _potential_of_torsions(rest[n_own:], there)
            rarity = -of_t - log_z - ranks.gather(log_q[:n_own]).min()
            self.walkers.update_priorities(chosen, -(at_walkers + there) - log_z, rarity)
            too_large = log_w[:n_own] - log_z > math.log(MAX_WEIGHT)
            if too_large.any():
                self.walkers.replace(generator.coordinates(y[:n_own][too_large])[0])
        if self._batches is not None:
            y, u, weight = next(self._batches)
            log_q = flow.log_prob(y)
            loss = loss + s.data_weight * forward_kl(log_q, weight, ranks=ranks)
            loss = loss + self._of_broad(y[:, : flow.n_leading])
            of_torsions = of_torsions + self.n_data * log_variance_loss(log_q, u, -log_z, ranks=ranks)
        return loss + of_torsions / s.batch, ranks.gather(log_w[:n_own])

    def replays(self) -> Iterator[Tensor]:
        """The loss of the torsions, on some of the last steps' at random, as often as the settings say.

        What a step has found of p(t), by one draw of the rest for each t, stays right while the flow changes:
        the loss of the torsions is at its minimum at q = p whatever the t come from. Only q(t) is computed
        again, and of it not the broad component. Each step's log Z is its own, as the temperature falls.
        """
        s, flow, ranks = self.task.settings, self.task.generator.flow, self.task.ranks
        sources = [each for each in self._replayed if each and len(each[-1].t)]
        if not sources or not any(True for _ in flow.leading.parameters()):
            return
        kept = [_Torsions(*map(torch.cat, zip(*each, strict=True))) for each in sources]
        n_full = self.task.generator.coordinates.n_full
        share = _REPLAYED_SHARE * max(n_full, 1)
        n = [ranks.share(math.ceil(share * k)) for k in self._sizes() if k]
        usual = 1 if n_full <= _FEW_TORSIONS else 2
        for _ in range(usual if s.replays is None else s.replays):
            some = [each.some(k, self.stream) for each, k in zip(kept, n, strict=True)]
            t, rest, of_broad = map(torch.cat, zip(*some, strict=True))
            with rates_once(flow, estimated=self.stream):
                log_q = _log_q(flow.leading, t, of_broad)
                loss, _ = torsion_loss(log_q, rest, n[0], ranks=ranks)
            yield loss / (share * s.batch)

    def _sizes(self) -> tuple[int, int]:
        """Draws of a step, of all ranks, whose torsions are the flow's own, and that come from walkers."""
        s = self.task.settings
        n = s.batch - self.n_data
        n_visited = 0 if self.walkers is None else int(s.walker_share * n)
        return n - n_visited, n_visited

    def _keep(self, torsions: _Torsions, n_own: int) -> None:
        """Of a step, for replays."""
        for kept, rows in zip(self._replayed, (slice(n_own), slice(n_own, None)), strict=True):
            kept.append(_Torsions(*(column[rows] for column in torsions)))

    def _of_broad(self, torsions: Tensor) -> Tensor:
        """Minus the mean log-density of the torsions' broad component, zero where there is none."""
        leading = self.task.generator.flow.leading
        if not isinstance(leading, DefensiveMixture):
            return torsions.new_zeros(())
        return -self.task.ranks.mean(leading.broad.log_prob(torsions))

    def end_round(self, average: dict[str, Tensor]) -> Metrics:
        """Metrics of the draws, and the likelihood of the frames held out where there is data."""
        metrics, task = super().end_round(average), self.task
        y, log_w = (torch.cat(parts) for parts in zip(*self._last, strict=True))
        share = positive_phi(task.generator, y, log_w, ranks=task.ranks)
        if share is not None:
            metrics[POSITIVE_PHI] = share
        if task.held_out is not None:
            metrics["held_out_nll"] = held_out_nll(
                task.generator.flow, average, task.held_out, ranks=task.ranks
            )
        return metrics

    def state_dict(self) -> dict[str, Tensor]:
        """The walkers of all ranks as well."""
        walkers = {} if self.walkers is None else self.walkers.state_dict(self.task.ranks)
        return super().state_dict() | {f"walkers.{name}": value for name, value in walkers.items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Walkers go on where they were, without computing an energy; each rank has its part of them."""
        super().load_state_dict(state)
        self._started = True
        walkers = {k.removeprefix("walkers."): v for k, v in state.items() if k.startswith("walkers.")}
        if walkers:
            task = self.task
            sizes = {len(v) for v in walkers.values() if v.dim() > 0}
            if len(sizes) > 1:
                raise ValueError(f"expected as many of everything as there are walkers, got {sorted(sizes)}")
            part = task.ranks.part(len(walkers["x"]))
            walkers = {k: v if v.dim() == 0 else v[part] for k, v in walkers.items()}
            self.walkers = Walkers(task.energy, task.generator.system, task.generator.coordinates, **walkers)


def _potential_of_torsions(drawn: Tensor, own: Tensor) -> Tensor:
    """-log of the density of torsions t, without the constant, by log q(r | t) + u_y(t, r) at two rests (n,).

    For a draw r of the flow's, its mean is above that by KL(q(r | t) || p(r | t)); for a walker's own r, from
    p(r | t), below by KL(p || q). This is the middle. By the draw alone a basin looks rare as long as the
    flow's rest is bad there, and would be left at that. A draw that is not finite tells nothing.
    """
    return (torch.where(drawn.isfinite(), drawn, own) + own) / 2


def _log_q(leading: Distribution, t: Tensor, of_broad: Tensor) -> Tensor:
    """log q(t), where there is a broad component given its part."""
    if isinstance(leading, DefensiveMixture):
        return leading.log_prob_by_main(t, of_broad)
    return leading.log_prob(t)


@torch.no_grad()
def _broad_log_prob(leading: Distribution, t: Tensor) -> Tensor:
    """Log-densities (n,) of torsions under the broad component; zeros where there is none."""
    return leading.broad.log_prob(t) if isinstance(leading, DefensiveMixture) else t.new_zeros(len(t))


def positive_phi(
    generator: BoltzmannGenerator, y: Tensor, log_w: Tensor, *, ranks: Ranks = ALONE
) -> float | None:
    """Share of the weight at phi > 0, the mean over residues: the rare side of most of them.

    Args:
        generator: of the draws.
        y: in the flow's coordinates, (n, n_dims).
        log_w: of the draws, (n,).
        ranks: that have drawn.

    Returns:
        The share, of all ranks' draws; None where no residue has both phi and psi.
    """
    torsions = generator.system.torsions
    names = [phi for phi, _ in backbone_pairs(torsions)]
    if not names:
        return None
    x = generator.coordinates(y)[0]
    weights = (log_w - ranks.gather(log_w).max()).exp()
    inside = torch.stack([dihedrals(x, torsions[name]) > 0 for name in names]).to(weights).mean(dim=0)
    found, whole = ranks.total(torch.stack(((weights * inside).sum(), weights.sum()))).tolist()
    return float(found / whole)


def torsion_loss(log_q: Tensor, u: Tensor, n_own: int, *, ranks: Ranks = ALONE) -> tuple[Tensor, Tensor]:
    """The loss of the torsions, summed over draws (n,), and the estimate of log Z in it, of all ranks' draws.

    The first n_own draws are the flow's own and learn by `importance_kl`. Others, that come from wherever
    walkers are, learn by `log_variance_loss` about the same log Z: where the flow has next to nothing, a
    gradient of -1 for each, whatever is missing. Draws of infinite u have no part.
    """
    good, own = u.isfinite(), torch.arange(len(u), device=u.device) < n_own
    log_z = clipped_log_z(ranks.gather(-(log_q.detach() + u)[:n_own]))
    n_all_own, n_others = ranks.total(torch.tensor((n_own, len(u) - n_own))).tolist()
    loss = n_all_own * importance_kl(log_q[good & own], u[good & own], log_z, ranks=ranks)
    if n_others:
        others = good & ~own
        loss = loss + n_others * log_variance_loss(log_q[others], u[others], -log_z, ranks=ranks)
    return loss, log_z
