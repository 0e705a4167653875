"""Conformations at the training's temperature, which bring the torsions of rare basins."""

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
from boltzgen.training.losses import MAX_WEIGHT
from boltzgen.training.ranks import ALONE, Ranks

logger = logging.getLogger(__name__)

#: Steps of each move, some seven femtoseconds in all: only the torsions are used, and those drift on over
#: many moves.
N_STEPS = 3
#: Steps of the descent with which they begin: enough to take clashes away.
N_DESCENT = 100
#: Moves in which walkers are annealed to where a training begins that does not begin hot.
N_ANNEALING = 100
#: How fast the time step follows the acceptance rate.
_GAIN = 0.1
#: Least priority that counts.
_LEAST = 1e-3


class Walkers:
    """Many walkers of `HamiltonianMonteCarlo`, some of which make a short move in each training step.

    They begin all over torsion space and fall into the nearest basins as the temperature falls, as in
    simulated annealing: a walker is at equilibrium within its basin, and basins have about as many of them as
    at the high temperature. Their *torsions* therefore visit rare basins far more often than the Boltzmann
    distribution does, and in each of them the places that it visits. Nothing is estimated from them. There
    are many because a peptide has hundreds of basins.

    Each has a priority, which is high where the flow has too little of what matters, as in the density p^2/q
    of FAB (Midgley et al. 2023, arXiv:2208.01893). A draw of the flow whose importance weight is too large to
    learn from at once becomes a walker.

    Args:
        energy: of the system.
        system: the molecule.
        coordinates: its flow coordinates.
        x: positions (n, n_atoms, 3) in nm.
        priority: of each, (n,); one by default.
        step: mean time step in ps, a scalar.
        potential, gradient: of x, as `Configurations` has them; computed if they are not given.

    Raises:
        ValueError: their shapes do not belong together.

    Attributes:
        priority: float32 (n,), see `update_priorities`.
        step: mean time step in ps, tuned to an acceptance of 80 %.
    """

    def __init__(
        self,
        energy: Energy,
        system: System,
        coordinates: MolecularCoordinates,
        x: Tensor,
        *,
        priority: Tensor | None = None,
        step: float | Tensor = FIRST_STEP,
        potential: Tensor | None = None,
        gradient: Tensor | None = None,
    ) -> None:
        found = [None if t is None else tuple(t.shape) for t in (x, priority, potential, gradient)]
        n, shape = x.shape[:1], (*x.shape[:1], system.n_atoms, 3)
        expected = (shape, n, n, shape)
        if any(f not in (None, e) for f, e in zip(found, expected, strict=True)):
            raise ValueError(f"expected walkers' positions {shape} and numbers of each, got {found}")
        self.coordinates, self.step = coordinates, float(step)
        self.priority = torch.ones_like(x[:, 0, 0]) if priority is None else priority.clone()
        integrator = integrator_for(system, str(x.device))
        self._sampler = HamiltonianMonteCarlo(
            energy, integrator, inside=lambda x: inside_domain(coordinates, x), n_steps=N_STEPS
        )
        if potential is None or gradient is None:
            self._here = Configurations.at(energy, x.clone())
        else:
            self._here = Configurations(x.clone(), potential.clone(), gradient.clone())

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
        """Walkers from uniform torsions and a descent in energy, at a temperature in K.

        Where the training does not begin `hot` [K], they are annealed from there to its temperature. None
        where there is nothing to visit (n = 0, or no rotatable bond), where the system has constraints that
        the moves cannot keep, or where hardly any start relaxes; the latter two are logged.
        """
        if n == 0 or coordinates.n_periodic == 0:
            return None
        try:
            integrator = integrator_for(system, str(coordinates.reference.device))
            x = random_starts(coordinates, energy, integrator, n, seed=seed, n_steps=N_DESCENT)
        except ValueError as error:
            logger.warning("training without walkers: %s", error)
            return None
        walkers = cls(energy, system, coordinates, x)
        stream = random_stream(coordinates.reference.device, seed, 2**32)
        for k in range(N_ANNEALING if temperature < hot else 0):
            walkers.move(slice(None), hot * (temperature / hot) ** ((k + 1) / N_ANNEALING), stream)
        return walkers

    @property
    def x(self) -> Tensor:
        """Positions (n, n_atoms, 3) in nm, float32."""
        return self._here.x

    def state_dict(self, ranks: Ranks = ALONE) -> dict[str, Tensor]:
        """All that the constructor needs to go on from here, of the walkers of all ranks.

        From here on their time steps have the same mean, which is in the state.
        """
        self.step = float(ranks.gather(torch.tensor([self.step], dtype=torch.float64)).mean())
        rows = {**vars(self._here), "priority": self.priority}
        return {
            **{name: ranks.gather(value) for name, value in rows.items()},
            "step": torch.tensor(self.step, dtype=torch.float64),
        }

    def choose(self, n: int, generator: torch.Generator) -> Tensor:
        """Walkers, int64 (n,), drawn with replacement in proportion to their priorities.

        None is forgotten: a priority counts as at least 0.001.
        """
        return torch.multinomial(self.priority.clamp(min=_LEAST), n, replacement=True, generator=generator)

    def update_priorities(self, which: Tensor, log_w: Tensor, log_rarity: Tensor) -> None:
        """Take in what was found where walkers are now.

        A priority is a running mean of (1 + w^2) min(1, p/l), w = p/q as the flow has it but at most
        `MAX_WEIGHT`: what is rarer than anything that the flow draws matters the less the rarer it is,
        whatever w.

        Args:
            which: walkers (m,), each any number of times.
            log_w: log p/q where each is, torsions and rest, (m,).
            log_rarity: log p(t)/l of the torsions, (m,), l of the order of the least density of the flow's
                own draws.
        """
        w = log_w.exp().clamp(max=MAX_WEIGHT)
        found = ((1 + w.square()) * log_rarity.clamp(max=0).exp()).nan_to_num(nan=0.0)
        place, at = which.unique(return_inverse=True)
        mean = torch.zeros_like(found[: len(place)]).index_add(0, at, found) / at.bincount()
        self.priority[place] = (self.priority[place] + mean.to(self.priority)) / 2

    def replace(self, x: Tensor) -> None:
        """Put walkers at positions x, (m, n_atoms, 3), in place of those of the least priority."""
        which = self.priority.topk(min(len(x), len(self.priority)), largest=False).indices
        self._put(which, Configurations.at(self._sampler.energy, x[: len(which)].to(self.x)))
        self.priority[which] = 1 + MAX_WEIGHT**2

    def _put(self, which: Tensor, there: Configurations) -> None:
        for name, value in vars(there).items():
            getattr(self._here, name)[which] = value

    def draw(self, n: int, temperature: float, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """n conformations of walkers that have just moved at a temperature in K.

        Returns:
            Which walkers they are, int64 (n,); their flow coordinates y, (n, n_dims); and their u_y, (n,), as
            `PullbackEnergy` has it. A walker moves once, however often it is drawn.
        """
        chosen = self.choose(n, generator)
        distinct, at = chosen.unique(return_inverse=True)
        self.move(distinct, temperature, generator)
        # A rotor that has turned by a period comes back in its domain.
        y, log_det = self.coordinates.inverse(self.coordinates.canonical(self.x[distinct].double()))
        y[:, : self.coordinates.n_periodic] = wrap(y[:, : self.coordinates.n_periodic])
        u = self._here.potential[distinct] / (units.MOLAR_GAS_CONSTANT * temperature) + log_det
        return chosen, y[at].to(self.x), u[at].to(self.x)

    @torch.no_grad()
    def move(self, which: Tensor | slice, temperature: float, generator: torch.Generator) -> None:
        """One move of some walkers at a temperature in K."""
        rows = torch.arange(len(self.x), device=self.x.device)[which]
        n, device = len(rows), rows.device
        kt = torch.full((n,), units.MOLAR_GAS_CONSTANT * temperature, dtype=torch.float64, device=device)
        step = torch.full((n,), self.step, dtype=torch.float64, device=device)
        moved, move = self._sampler.move(self._here.take(rows), kt, step, generator)
        self._put(rows, moved)
        self.step *= math.exp(_GAIN * (float(move.probability.mean()) - ACCEPTANCE))
