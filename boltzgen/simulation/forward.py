"""The forward test: where short simulations at the target arrive, and what weight a draw would have there."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from boltzgen import units
from boltzgen.energy.base import CountedEnergy, Energy
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.geometry import dihedrals
from boltzgen.molecule.system import System
from boltzgen.seeding import random_stream
from boltzgen.simulation.hmc import Configurations, HamiltonianMonteCarlo
from boltzgen.simulation.integrator import integrator_for
from boltzgen.simulation.replica_exchange import ACCEPTANCE, FIRST_STEP
from boltzgen.simulation.start import inside_domain

#: log p/q from which a single conformation that is met counts as a place where the generator is too thin: a
#: draw of it would weigh as much as 400 others.
THIN = 6.0
#: Thresholds on log p/q whose shares are reported.
THRESHOLDS = (2.0, 4.0, 7.0)
_DRAWS_PER_WALKER = 16
_N_WORST = 8
_GAIN = 0.2
_STREAM = 2**33


@dataclass(frozen=True, eq=False)
class ForwardTest:
    """log p/q along short simulations of the target that begin at weighted draws.

    A simulation follows p. It walks into ordinary conformations that q hardly ever draws, whose weight no
    sample of q shows, so that neither the efficiency of the draws nor the Pareto shape of their weights tells
    of them. It needs no reference, and does not see a mode that neither draws nor short simulations reach.

    Attributes:
        log_w: log p/q, float64 (n_snapshots, n_walkers); inf where q is zero.
        x: conformations of the largest log p/q, one a walker, float32 (n_worst, n_atoms, 3) in nm.
        log_w_worst: theirs, float64 (n_worst,), falling.
        acceptance: mean acceptance rate of the moves.
        n_energy_evaluations: of draws and moves.
        system: the molecule.
    """

    log_w: Tensor
    x: Tensor
    log_w_worst: Tensor
    acceptance: float
    n_energy_evaluations: int
    system: System

    @property
    def largest(self) -> float:
        """The largest log p/q that was met."""
        return float(self.log_w.max())

    @property
    def forward_ess(self) -> float:
        """1 / (E_p[w] E_p[1/w]), between 0 and 1."""
        log_w = self.log_w.flatten()
        return math.exp(
            2 * math.log(len(log_w)) - float(torch.logsumexp(log_w, 0) + torch.logsumexp(-log_w, 0))
        )

    @property
    def efficiency(self) -> float:
        """1 / E_p[w] with w = p/q: the sampling efficiency that infinitely many draws would show."""
        return math.exp(math.log(self.log_w.numel()) - float(torch.logsumexp(self.log_w.flatten(), 0)))

    @property
    def flagged(self) -> bool:
        """Whether a conformation was met where log p/q is above `THIN`."""
        return self.largest > THIN

    @property
    def sentence(self) -> str:
        """What the test has found, in a sentence."""
        return (
            "simulations from weighted draws came to conformations of up to "
            f"e^{self.largest:.1f} times the mean weight: the generator has next to no density there, so "
            "that neither the efficiency nor the errors of its draws show what is missing, and states that "
            f"hold them are drawn too rarely; forward ESS {units.percent(self.forward_ess, 2)}"
        )

    def share_above(self, threshold: float) -> float:
        """Share of the target where log p/q is above a threshold."""
        return float((self.log_w > threshold).double().mean())

    def summary(self) -> dict[str, Any]:
        """All of it as plain numbers; of the worst conformations their torsions in degrees."""
        torsions = {n: atoms for n, atoms in self.system.torsions.items() if not n.startswith("omega")}
        angles = {name: torch.rad2deg(dihedrals(self.x, atoms)).tolist() for name, atoms in torsions.items()}
        return {
            "n_walkers": self.log_w.shape[1],
            "n_snapshots": self.log_w.shape[0],
            "largest_log_w": self.largest,
            **{f"share_above_e{threshold:g}": self.share_above(threshold) for threshold in THRESHOLDS},
            "forward_ess": self.forward_ess,
            "forward_efficiency": self.efficiency,
            "acceptance": self.acceptance,
            "n_energy_evaluations": self.n_energy_evaluations,
            "flagged": self.flagged,
            "worst": [
                {
                    "log_w": float(log_w),
                    "torsions": {name: round(values[k], 1) for name, values in angles.items()},
                }
                for k, log_w in enumerate(self.log_w_worst)
            ],
        }


@torch.no_grad()
def forward_test(
    generator: BoltzmannGenerator,
    energy: Energy,
    *,
    n_walkers: int = 2048,
    n_moves: int = 60,
    n_steps: int = 10,
    interval: int = 5,
    seed: int = 0,
    progress: Callable[[int], None] = lambda done: None,
) -> ForwardTest:
    """Simulate from weighted draws at the target, and evaluate log p/q where the simulations arrive.

    Sixteen draws a walker are made; walkers begin at draws chosen by their weights and move by Hamiltonian
    Monte Carlo, which leaves the target invariant, so that all snapshots are of the target.

    Args:
        generator: q.
        energy: of its system at the target's temperature, on the generator's device.
        n_walkers: simulations.
        n_moves: of each simulation.
        n_steps: steps of each move, of one to two femtoseconds.
        interval: moves between two snapshots.
        seed: of draws and moves.
        progress: called with the number of moves done, one by one.

    Raises:
        ValueError: the system has constraints that the moves cannot keep, or all weights are zero.
    """
    system, coordinates = generator.system, generator.coordinates
    integrator = integrator_for(system, str(generator.device))
    counted = CountedEnergy(energy)
    samples = generator.sample(_DRAWS_PER_WALKER * n_walkers, counted, seed=seed)
    log_z = samples.log_z.value
    sampler = HamiltonianMonteCarlo(
        counted, integrator, inside=lambda x: inside_domain(coordinates, x), n_steps=n_steps
    )
    stream = random_stream(generator.device, seed, _STREAM)
    here = Configurations.at(counted, samples.resample(n_walkers, seed).x.to(generator.device))
    kt = torch.full(
        (n_walkers,),
        units.MOLAR_GAS_CONSTANT * energy.temperature,
        dtype=torch.float64,
        device=generator.device,
    )
    step, acceptance = FIRST_STEP, 0.0
    found: list[Tensor] = []
    worst, at = torch.full_like(kt, -math.inf), here.x
    for n in range(n_moves):
        here, move = sampler.move(here, kt, torch.full_like(kt, step), stream)
        probability = float(move.probability.mean())
        step *= math.exp(_GAIN * (probability - ACCEPTANCE))
        acceptance += probability / n_moves
        if (n + 1) % interval == 0:
            log_q = generator.log_prob(coordinates.canonical(here.x.double())).double()
            found.append(-here.potential.double() / kt - log_q - log_z)
            more = found[-1] > worst
            worst = torch.where(more, found[-1], worst)
            at = torch.where(more[:, None, None], here.x, at)
        progress(1)
    order = worst.argsort(descending=True)[:_N_WORST]
    return ForwardTest(
        torch.stack(found).cpu(),
        at[order].cpu(),
        worst[order].cpu(),
        acceptance,
        counted.n_evaluations,
        system,
    )
