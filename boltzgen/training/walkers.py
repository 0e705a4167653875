"""Conformations that Hamiltonian Monte Carlo keeps at the temperature of the training, for the torsions of
basins that the flow might lose.
"""

import logging
import math
from typing import Self

import torch
from torch import Tensor

from boltzgen import units
from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.energy.base import Energy
from boltzgen.geometry import wrap
from boltzgen.molecule.system import System
from boltzgen.seeding import random_stream
from boltzgen.simulation.hmc import Configurations, HamiltonianMonteCarlo
from boltzgen.simulation.integrator import integrator_for
from boltzgen.simulation.replica_exchange import ACCEPTANCE, FIRST_STEP
from boltzgen.simulation.start import inside_domain, random_starts
from boltzgen.training.objectives import MAX_WEIGHT

logger = logging.getLogger(__name__)

#: Steps of each move, some seven femtoseconds in all: only the torsions are used, and those drift on over
#: many moves.
N_STEPS = 3
#: Steps of the descent with which they begin: enough to take clashes away.
N_DESCENT = 100
#: Moves in which walkers are cooled to where a training begins that does not begin hot.
N_COOLING = 100
_GAIN = 0.1
#: Least score that counts.
_LEAST = 1e-3


class Walkers:
    """Many walkers of `HamiltonianMonteCarlo`, some of which make a short move in each step of the training.

    They begin all over torsion space and fall into the nearest basins as the temperature falls, as in
    simulated annealing: a walker is at equilibrium within its basin, and basins have about as many of them as
    at the high temperature. Their *torsions* therefore visit rare basins far more often than the Boltzmann
    distribution does, and in each of them the places that it visits. Nothing is estimated from them. There
    are many because a peptide has hundreds of basins. Attention goes to those from which the flow has
    something to learn, where it has too little of what matters, as in the density p^2 / q of FAB (Midgley et
    al. 2023, arXiv:2208.01893). A draw of the flow that is heavier than it can learn from at once becomes a
    walker.

    Attributes:
        x: positions (n, n_atoms, 3) in nm, float32.
        step: mean time step in ps, tuned to an acceptance of 80 %.
        score: attention that each has, float32 (n,), one to begin with; see `learn`.
    """

    def __init__(
        self,
        energy: Energy,
        system: System,
        coordinates: MolecularCoordinates,
        x: Tensor,
        score: Tensor,
        step: float = FIRST_STEP,
    ) -> None:
        self.coordinates, self.score, self.step = coordinates, score.clone(), step
        integrator = integrator_for(system, str(x.device))
        self._sampler = HamiltonianMonteCarlo(
            energy, integrator, inside=lambda x: inside_domain(coordinates, x), n_steps=N_STEPS
        )
        self._here = Configurations.at(energy, x.clone())

    @classmethod
    def start(
        cls,
        energy: Energy,
        system: System,
        coordinates: MolecularCoordinates,
        n: int,
        *,
        hot: float,
        temperature: float,
        seed: int,
    ) -> Self | None:
        """n walkers from uniform torsions and a descent in energy; where the training does not begin `hot`
        [K], cooled from there to its temperature.

        None where there is nothing to visit (n = 0, or no torsion turns), where the system has constraints
        that the moves cannot keep, or where hardly any start relaxes; the latter two are logged.
        """
        if n == 0 or coordinates.n_periodic == 0:
            return None
        try:
            integrator = integrator_for(system, str(coordinates.reference.device))
            x = random_starts(coordinates, energy, integrator, n, seed=seed, n_steps=N_DESCENT)
        except ValueError as error:
            logger.warning("training without walkers: %s", error)
            return None
        walkers = cls(energy, system, coordinates, x, torch.ones_like(x[:, 0, 0]))
        stream = random_stream(coordinates.reference.device, seed, 2**32)
        for k in range(N_COOLING if temperature < hot else 0):
            walkers.move(slice(None), hot * (temperature / hot) ** ((k + 1) / N_COOLING), stream)
        return walkers

    @property
    def x(self) -> Tensor:
        return self._here.x

    def choose(self, n: int, generator: torch.Generator) -> Tensor:
        """Walkers, int64 (n,), with replacement, in proportion to their scores; none is forgotten: a score
        counts as at least `_LEAST`.
        """
        return torch.multinomial(self.score.clamp(min=_LEAST), n, replacement=True, generator=generator)

    def learn(self, which: Tensor, log_w: Tensor, log_q: Tensor, least: Tensor) -> None:
        """Update scores by what was found where walkers (m,), each any number of times, are now.

        A score is a running mean of (1 + w^2) min(1, p/l), w = p/q as the flow has it but at most `MAX_WEIGHT`:
        what is rarer than anything that the flow draws matters the less the rarer it is, whatever w.

        Args:
            log_w, log_q: log p(t)/q(t) and log q(t) of the torsions, (m,).
            least: log l, of the order of the least log q(t) of the flow's own draws.
        """
        w = log_w.exp().clamp(max=MAX_WEIGHT)
        found = ((1 + w.square()) * (log_w + log_q - least).clamp(max=0).exp()).nan_to_num(nan=0.0)
        place, at = which.unique(return_inverse=True)
        mean = torch.zeros_like(found[: len(place)]).index_add(0, at, found) / at.bincount()
        self.score[place] = (self.score[place] + mean.to(self.score)) / 2

    def replace(self, x: Tensor) -> None:
        """Put walkers at positions x, (m, n_atoms, 3), where the flow had next to nothing, in place of those
        of the least score.
        """
        which = self.score.topk(min(len(x), len(self.score)), largest=False).indices
        self._put(which, Configurations.at(self._sampler.energy, x[: len(which)].to(self.x)))
        self.score[which] = 1 + MAX_WEIGHT**2

    def _put(self, which: Tensor, there: Configurations) -> None:
        for name, value in vars(there).items():
            getattr(self._here, name)[which] = value

    def draw(self, n: int, temperature: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Which walkers n draws come from, int64 (n,), and their torsions (n, n_periodic) after a move, one
        for each however often it is drawn.
        """
        chosen = self.choose(n, generator)
        distinct, at = chosen.unique(return_inverse=True)
        return chosen, self.move(distinct, temperature, generator)[at]

    @torch.no_grad()
    def move(self, which: Tensor | slice, temperature: float, generator: torch.Generator) -> Tensor:
        """One move of some walkers at a temperature in K; their torsions after it, (n, n_periodic), as the
        flow has them.
        """
        rows = torch.arange(len(self.x), device=self.x.device)[which]
        n, device = len(rows), rows.device
        kt = torch.full((n,), units.MOLAR_GAS_CONSTANT * temperature, dtype=torch.float64, device=device)
        step = torch.full((n,), self.step, dtype=torch.float64, device=device)
        moved, move = self._sampler.move(self._here.take(rows), kt, step, generator)
        self._put(rows, moved)
        self.step *= math.exp(_GAIN * (float(move.probability.mean()) - ACCEPTANCE))
        # A rotor that has turned by a period comes back in its domain.
        return wrap(self.coordinates.inverse(moved.x)[0][:, : self.coordinates.n_periodic])
