"""Replica exchange of many independent walkers at once, on batched energies."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from typing_extensions import override

from boltzgen import units
from boltzgen.energy.base import Energy
from boltzgen.seeding import random_stream
from boltzgen.simulation.hmc import Configurations, HamiltonianMonteCarlo, Move
from boltzgen.simulation.integrator import Integrator
from boltzgen.simulation.ladder import exchange
from boltzgen.simulation.sampler import Frames, OnFrame, Sampler, State

#: Mean acceptance rate that time steps are tuned to; for Hamiltonian Monte Carlo 0.65 to 0.8 is about the
#: best (Beskos et al., arXiv:1001.4460).
ACCEPTANCE = 0.8
#: Time step in ps before any tuning.
FIRST_STEP = 0.0015
_GAIN = 0.2


@dataclass
class _Tally:
    """Sums over the moves of one run."""

    probability: Tensor
    left: Tensor
    exchanged: Tensor
    attempted: Tensor

    @classmethod
    def empty(cls, n: int) -> "_Tally":
        return cls(*(torch.zeros(m, dtype=torch.float64) for m in (n, n, n - 1, n - 1)))


class ReplicaExchange(Sampler):
    """Independent walkers, each a ladder of replicas that exchange temperatures.

    Replicas move by Hamiltonian Monte Carlo and try to exchange after every move. Exact: the positions at
    each temperature follow exp(-U/kT) on the domain, whatever the time step. Moves that leave the domain are
    rejected.

    Args:
        energy: U and its gradient, batched.
        integrator: masses, see `sampling_masses`, and rigid bonds.
        temperatures: rising, float64 (n_temperatures,) in K.
        inside: whether positions lie in the domain, see `HamiltonianMonteCarlo`.
        n_steps: of each trajectory.
        seed: of all randomness; the random stream of a run derives from (seed, its index).
    """

    def __init__(
        self,
        energy: Energy,
        integrator: Integrator,
        temperatures: Tensor,
        *,
        inside: Callable[[Tensor], Tensor] | None = None,
        n_steps: int = 50,
        seed: int = 0,
    ) -> None:
        self.sampler = HamiltonianMonteCarlo(energy, integrator, inside=inside, n_steps=n_steps)
        self.temperatures, self.seed = temperatures.double(), seed
        self.kt = self.temperatures * units.MOLAR_GAS_CONSTANT

    @override
    def start(self, x: Tensor) -> State:
        n = len(self.temperatures)
        return State(
            x=x[:, None].repeat(1, n, 1, 1),
            replica=torch.arange(n).repeat(len(x), 1),
            end=torch.zeros(len(x), n, dtype=torch.long),
            step=torch.full((n,), FIRST_STEP, dtype=torch.float64),
        )

    @override
    @torch.no_grad()
    def _run(
        self, state: State, index: int, n_frames: int, interval: int, *, tune: bool, on_frame: OnFrame
    ) -> Frames:
        n_walkers, n = state.replica.shape
        stream = random_stream(state.x.device, self.seed, index, *self.key)
        kt = self.kt.to(state.x.device)
        here = Configurations.at(self.sampler.energy, state.x.flatten(0, 1))
        tally, trips, frames, potentials, replicas = _Tally.empty(n), 0, [], [], []
        for m in range(n_frames * interval):
            step = state.step.to(kt.device)
            here, move = self.sampler.move(here, kt.repeat(n_walkers), step.repeat(n_walkers), stream)
            self._count(tally, move, n_walkers)
            if tune:
                state.step *= torch.exp(
                    _GAIN * (move.probability.reshape(n_walkers, n).mean(0).cpu() - ACCEPTANCE)
                )
            parity = m % 2
            source, accepted = exchange(here.potential.reshape(n_walkers, n), 1.0 / kt, parity, stream)
            tally.exchanged += accepted.sum(0).cpu()
            tally.attempted[parity::2] += n_walkers
            here = here.take((source + n * torch.arange(n_walkers, device=source.device)[:, None]).flatten())
            trips += _follow(state, source.cpu())
            if (m + 1) % interval == 0:
                frames.append(here.x.reshape(n_walkers, n, *here.x.shape[1:]).float().cpu())
                potentials.append(here.potential.reshape(n_walkers, n).double().cpu())
                replicas.append(state.replica.clone())
                on_frame(len(frames))
        state.x = here.x.reshape(n_walkers, n, *here.x.shape[1:])
        moves = n_walkers * n_frames * interval
        return Frames(
            x=torch.stack(frames),
            potential=torch.stack(potentials),
            replica=torch.stack(replicas),
            statistics={
                "acceptance": (tally.probability / moves).tolist(),
                "left_domain": (tally.left / moves).tolist(),
                "exchange": (tally.exchanged / tally.attempted.clamp_min(1.0)).tolist(),
                "round_trips": trips,
                "time_step_ps": state.step.tolist(),
                "n_energy_evaluations": moves * n * self.sampler.n_steps + n_walkers * n,
                "picoseconds": (state.step * n_frames * interval * self.sampler.n_steps).tolist(),
            },
        )

    @staticmethod
    def _count(tally: _Tally, move: Move, n_walkers: int) -> None:
        tally.probability += move.probability.reshape(n_walkers, -1).sum(0).cpu()
        tally.left += move.left.reshape(n_walkers, -1).sum(0).cpu()


def _follow(state: State, source: Tensor) -> int:
    """Move the replicas' names along and count the round trips they completed.

    A round trip goes from the lowest temperature to the highest and back.
    """
    state.replica = state.replica.gather(1, source)
    lowest, highest = state.replica[:, :1], state.replica[:, -1:]
    if state.replica.shape[1] == 1:
        return 0
    completed = int((state.end.gather(1, lowest) == 2).sum())
    # 1: was last at the lowest temperature; 2: then at the highest.
    state.end.scatter_(1, lowest, 1)
    at_top = state.end.gather(1, highest)
    state.end.scatter_(1, highest, torch.where(at_top == 1, 2, at_top))
    return completed
