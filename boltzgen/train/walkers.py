"""Conformations that Hamiltonian Monte Carlo keeps at the temperature of the training, for the torsions of basins that the flow might lose."""

import logging
import math
from typing import Self

import torch
from torch import Tensor

from boltzgen import units
from boltzgen.coordinates.geometry import wrap
from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.energy.base import Energy
from boltzgen.generator import random_stream
from boltzgen.simulate.hmc import Configurations, HamiltonianMonteCarlo
from boltzgen.simulate.replica_exchange import ACCEPTANCE, FIRST_STEP
from boltzgen.simulate.run import motion_for
from boltzgen.simulate.start import inside_domain, random_starts
from boltzgen.system import System
from boltzgen.train.objectives import HEAVIEST

logger = logging.getLogger(__name__)

#: Steps of each move, some seven femtoseconds in all: only the torsions are used, and those drift on over many moves.
N_STEPS = 3
#: Steps of the descent with which they begin: enough to take clashes away.
N_DESCENT = 100
#: Moves in which walkers are cooled to where a training begins that does not begin hot.
N_COOLING = 100
_GAIN = 0.1


class Walkers:
    """Many walkers of `HamiltonianMonteCarlo`, some of which make a short move in each step of the training.

    They begin all over torsion space and fall into the nearest basins as the temperature falls, as in simulated annealing: a walker is at equilibrium
    within its basin, and basins have about as many of them as at the high temperature. Their *torsions* therefore visit rare basins far more often
    than the Boltzmann distribution does, and in each of them the places that it visits. Nothing is estimated from them.
    There are many because a peptide has hundreds of basins; those that are where the flow has too little move most often.

    Attributes:
        x: positions (n, n_atoms, 3) in nm, float32.
        step: mean time step in ps, tuned to an acceptance of 80 %.
        weight: p/q of each when it moved last, float32 (n,), a running mean, as the flow has it; one to begin with.
    """

    def __init__(
        self, energy: Energy, system: System, coordinates: MolecularCoordinates, x: Tensor, weight: Tensor, step: float = FIRST_STEP
    ) -> None:
        self.coordinates, self.weight, self.step = coordinates, weight.clone(), step
        motion = motion_for(system, str(x.device))
        self._sampler = HamiltonianMonteCarlo(energy, motion, inside=lambda x: inside_domain(coordinates, x), n_steps=N_STEPS)
        self._here = Configurations.at(energy, x.clone())

    @classmethod
    def start(
        cls, energy: Energy, system: System, coordinates: MolecularCoordinates, n: int, *, hot: float, temperature: float, seed: int
    ) -> Self | None:
        """n walkers from uniform torsions and a descent in energy; where the training does not begin `hot` [K], cooled from there to its temperature.

        None where there is nothing to visit (n = 0, or no torsion turns), where the system has constraints that the moves cannot keep, or where
        hardly any start relaxes; the latter two are logged.
        """
        if n == 0 or coordinates.n_circles == 0:
            return None
        try:
            motion = motion_for(system, str(coordinates.reference.device))
            x = random_starts(coordinates, energy, motion, n, seed=seed, n_steps=N_DESCENT)
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
        """n different walkers, int64 (n,): one of weight w is drawn in proportion to 1 + w."""
        return torch.multinomial(1 + self.weight, n, generator=generator)

    def learn(self, which: Tensor, log_w: Tensor) -> None:
        """Remember the log-weights p/q, (m,), that were found where walkers (m,) are; each counts as all before, and as at most `HEAVIEST`."""
        found = log_w.exp().nan_to_num(nan=0.0).clamp(max=HEAVIEST).to(self.weight)
        self.weight[which] = (self.weight[which] + found) / 2

    @torch.no_grad()
    def move(self, which: Tensor | slice, temperature: float, generator: torch.Generator) -> Tensor:
        """One move of some walkers at a temperature in K; their torsions after it, (n, n_circles), as the flow has them."""
        rows = torch.arange(len(self.x), device=self.x.device)[which]
        n, device = len(rows), rows.device
        kt = torch.full((n,), units.MOLAR_GAS_CONSTANT * temperature, dtype=torch.float64, device=device)
        step = torch.full((n,), self.step, dtype=torch.float64, device=device)
        moved, move = self._sampler.move(self._here.take(rows), kt, step, generator)
        for name, value in vars(moved).items():
            getattr(self._here, name)[rows] = value
        self.step *= math.exp(_GAIN * (float(move.probability.mean()) - ACCEPTANCE))
        # A rotor that has turned by a period comes back in its domain.
        return wrap(self.coordinates.inverse(moved.x)[0][:, : self.coordinates.n_circles])
