"""Samples whose energies are known, kept over several rounds and reweighted to any temperature."""

import math
from collections import deque
from dataclasses import dataclass, fields
from typing import NamedTuple

import torch
from torch import Tensor

from boltzgen import units
from boltzgen.reweighting import effective_sample_size


@dataclass(frozen=True)
class Round:
    """Draws of one round, all (n,) but y (n, n_dims): everything that training at any temperature needs.

    Attributes:
        y: flow coordinates.
        potential: U in kJ/mol, +inf outside the domain.
        log_det: log|det dx/dy|.
        log_proposal: log-density, in y, that they were drawn from.
        log_leading: log-density of their torsions under the flow that drew them.
    """

    y: Tensor
    potential: Tensor
    log_det: Tensor
    log_proposal: Tensor
    log_leading: Tensor

    def reduced(self, temperature: float) -> Tensor:
        """u_y (n,) in kT at a temperature [K]."""
        return self.potential / units.kt(temperature) - self.log_det

    def log_w(self, temperature: float) -> Tensor:
        """Log importance weights (n,), float64, to the target at a temperature [K]."""
        u = self.reduced(temperature).double()
        return torch.where(u.isfinite(), -u - self.log_proposal.double(), -math.inf)

    def tensors(self) -> dict[str, Tensor]:
        return {f.name: getattr(self, f.name) for f in fields(self)}


class Batches(NamedTuple):
    """A round's worth of training batches.

    Attributes:
        y: (n_batches, batch, n_dims).
        u: (n_batches, batch), u_y in kT.
        weight: (n_batches, batch), what each sample counts in an average over the target.
    """

    y: Tensor
    u: Tensor
    weight: Tensor


class Replay:
    """The last `size` rounds."""

    def __init__(self, size: int) -> None:
        self.rounds: deque[Round] = deque(maxlen=size)

    def draw_batches(self, n_batches: int, batch: int, temperature: float, *, spread: float, boost: float, generator: torch.Generator) -> Batches:
        """Draw batches, with replacement, for training at a temperature [K].

        Each sample is drawn with probability proportional to w b and counts 1 / b, so that averages stay those of the target. w is its
        importance weight, truncated at sqrt(n) times the mean of its round (Ionides 2008), the rounds weighted by their effective sample sizes;
        b = (q(torsions) / median)^-spread, between 1/boost and boost, draws rarely visited torsions more often: rare basins are not starved.
        """
        log_p, log_b = [], []
        for r in self.rounds:
            log_w = r.log_w(temperature)
            finite = log_w.isfinite()
            log_mean = torch.logsumexp(log_w, 0) - math.log(len(log_w))
            log_w = log_w.clamp(max=float(log_mean + 0.5 * math.log(len(log_w))))
            share = log_w - torch.logsumexp(log_w, 0) + math.log(effective_sample_size(log_w))
            rarity = spread * (r.log_leading[finite].median() - r.log_leading).double()
            log_p.append(share)
            log_b.append(rarity.clamp(-math.log(boost), math.log(boost)))
        p, b = torch.cat(log_p), torch.cat(log_b)
        weights = torch.exp(p + b - (p + b).max())
        chosen = torch.multinomial(weights, n_batches * batch, replacement=True, generator=generator)
        y = torch.cat([r.y for r in self.rounds])[chosen]
        u = torch.cat([r.reduced(temperature) for r in self.rounds])[chosen]
        weight = torch.exp(-b[chosen]).to(y.dtype)
        return Batches(*(t.unflatten(0, (n_batches, batch)) for t in (y, u, weight)))
