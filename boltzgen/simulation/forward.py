"""The forward test: where short simulations and a search for basins arrive, and log p/q there."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from boltzgen import units
from boltzgen.energy.base import CountedEnergy, Energy
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.geometry import dihedrals
from boltzgen.molecule.states import States
from boltzgen.molecule.system import System
from boltzgen.molecule.torsional import counted_states
from boltzgen.seeding import random_stream
from boltzgen.simulation.basins import Basin, unseen_basins
from boltzgen.simulation.hmc import Configurations, HamiltonianMonteCarlo
from boltzgen.simulation.integrator import integrator_for
from boltzgen.simulation.replica_exchange import ACCEPTANCE, FIRST_STEP
from boltzgen.simulation.start import inside_domain

#: log p/q from which a single conformation that is met counts as a place where the generator is too thin: a
#: draw of it would weigh as much as 400 others; and from which it fails the test alone: with 1e5 draws none
#: may be made of a state of a few percent.
THIN, HOLE = 6.0, 8.0
#: Thresholds on log p/q whose shares are reported. What is above `AT_STAKE` is drawn 55 times too rarely or
#: more, and counts as what may be missing from draws.
THRESHOLDS = (2.0, 4.0, 7.0)
AT_STAKE = 4.0
#: Share of the target at stake from which thin places fail the test, and in basins that draws hardly reach.
MOST_AT_STAKE = 1e-3
_DRAWS_PER_WALKER = 16
_N_WORST = 8
_GAIN = 0.2
_STREAM = 2**33


@dataclass(frozen=True, eq=False)
class ForwardTest:
    """log p/q along short simulations of the target that begin at weighted draws.

    A simulation follows p. It walks into ordinary conformations that q hardly ever draws, whose weight no
    sample of q shows, so that neither the efficiency of the draws nor the Pareto shape of their weights tells
    of them. Basins that lie too far away for that are looked for from torsions drawn anew, see
    `unseen_basins`. The test needs no reference, and does not see what neither of them reaches.

    Attributes:
        log_w: log p/q, float64 (n_snapshots, n_walkers); inf where q is zero.
        x: conformations of the largest log p/q, one a walker, float32 (n_worst, n_atoms, 3) in nm.
        log_w_worst: theirs, float64 (n_worst,), falling.
        visits: snapshots in each state of everything that is counted (`counted_states`, in order), and those
            of them where log p/q is above `AT_STAKE`, int64 (2, n_states).
        acceptance: mean acceptance rate of the moves.
        n_energy_evaluations: of draws and moves.
        system: the molecule.
        basins: places around minima that draws hardly reach, the largest share of the target first.
    """

    log_w: Tensor
    x: Tensor
    log_w_worst: Tensor
    visits: Tensor
    acceptance: float
    n_energy_evaluations: int
    system: System
    basins: Sequence[Basin] = ()

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
    def at_stake(self) -> float:
        """Share of the target where log p/q is above `AT_STAKE`."""
        return self.share_above(AT_STAKE)

    @property
    def at_stake_error(self) -> float:
        """Its standard error, from the simulations, which are independent."""
        shares = (self.log_w > AT_STAKE).double().mean(dim=0)
        return float(shares.std(correction=0)) / math.sqrt(len(shares))

    @property
    def unseen(self) -> float:
        """Share of the target in basins that draws hardly reach."""
        return min(1.0, sum(basin.share for basin in self.basins))

    @property
    def unseen_error(self) -> float:
        """Its standard error."""
        return math.hypot(*(basin.error for basin in self.basins))

    @property
    def verdict(self) -> Literal["passed", "thin places", "failed"]:
        """What the test says of the generator.

        Thin places, where a log p/q above `THIN` was met, fail it where one is above `HOLE`, or where the
        share of the target at stake, two standard errors added, is above `MOST_AT_STAKE`. So does a larger
        share, one standard error taken off, in basins that draws hardly reach.
        """
        if self.reason:
            return "failed"
        return "passed" if self.largest <= THIN else "thin places"

    @property
    def reason(self) -> str:
        """Why the generator has failed, in words; empty where it has not."""
        return "; ".join(filter(None, (self._lacks, self._holes)))

    @property
    def _lacks(self) -> str:
        """Of basins."""
        if self.unseen - self.unseen_error <= MOST_AT_STAKE:
            return ""
        share = f"{_short(100 * self.unseen)} ± {_short(100 * self.unseen_error, 1)} % of the target"
        return f"basins that draws hardly reach hold {share}"

    @property
    def _holes(self) -> str:
        """Of what simulations met."""
        if self.largest > HOLE:
            return f"a log w above {HOLE:g}"
        upper = self.at_stake + 2 * self.at_stake_error
        if self.largest > THIN and upper > MOST_AT_STAKE:
            return (
                f"{_times(AT_STAKE)} times too rare: {100 * self.at_stake:.2g} % of the target, with two "
                f"standard errors {100 * upper:.2g} %, above {100 * MOST_AT_STAKE:g} %"
            )
        return ""

    @property
    def flagged(self) -> bool:
        """Whether the generator has failed."""
        return self.verdict == "failed"

    @property
    def sentence(self) -> str:
        """What the test has found, in a sentence."""
        if not self._lacks:
            return self._met
        return f"{self._lacks}; {self._met}" if self._holes else self._lacks

    @property
    def _met(self) -> str:
        often, least = _times(self.largest), _times(AT_STAKE)
        share = f"{_short(100 * self.at_stake)} ± {_short(100 * self.at_stake_error, 1)} % of the target"
        met = f"simulations from weighted draws met conformations that are drawn {often} times too rarely"
        if self._holes:
            return (
                f"{met} (log w {self.largest:.1f}), and {share} more than {least} times too rarely: neither "
                "the efficiency nor the intervals of draws show it, and states that hold such conformations "
                f"come out too rare, by an unknown amount; forward ESS {units.percent(self.forward_ess, 2)}"
            )
        return (
            f"{met} (log w {self.largest:.1f}), but only {share} more than {least} times too rarely: "
            "populations may be off by about as much"
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
            "verdict": self.verdict,
            "reason": self.reason,
            "at_stake": self.at_stake,
            "at_stake_error": self.at_stake_error,
            "flagged": self.flagged,
            "unseen": self.unseen,
            "unseen_error": self.unseen_error,
            "basins": [dataclasses.asdict(basin) for basin in self.basins],
            "states": self._states(),
            "worst": [
                {
                    "log_w": float(log_w),
                    "torsions": {name: round(values[k], 1) for name, values in angles.items()},
                }
                for k, log_w in enumerate(self.log_w_worst)
            ],
        }

    def _states(self) -> list[dict[str, Any]]:
        """States that hold what is at stake, the largest share of a state first."""
        names = [(of, name) for of, group in counted_states(self.system).items() for name in group.names]
        rows = [
            {"of": of, "state": name, "n_snapshots": int(n), "n_at_stake": int(k)}
            for (of, name), n, k in zip(names, *self.visits, strict=True)
            if k
        ]
        return sorted(rows, key=lambda row: -row["n_at_stake"] / row["n_snapshots"])


def _short(value: float, digits: int = 2) -> str:
    return f"{float(f'{value:.{digits}g}'):g}"


def _times(log_w: float) -> str:
    """How many times too rarely, in two digits."""
    if log_w > 700:
        return "endlessly many"
    return f"{float(f'{math.exp(log_w):.2g}'):,.0f}" if log_w < 14 else f"{math.exp(log_w):.1g}"


@torch.no_grad()
def forward_test(
    generator: BoltzmannGenerator,
    energy: Energy,
    *,
    n_walkers: int = 2048,
    n_starts: int = 1024,
    n_moves: int = 60,
    n_steps: int = 10,
    interval: int = 5,
    seed: int = 0,
    progress: Callable[[int], None] = lambda done: None,
) -> ForwardTest:
    """Simulate from weighted draws at the target, and evaluate log p/q where the simulations arrive.

    Sixteen draws a walker are made; walkers begin at draws chosen by their weights and move by Hamiltonian
    Monte Carlo, which leaves the target invariant, so that all snapshots are of the target. Before that,
    basins are looked for that neither draws nor simulations reach.

    Args:
        generator: q.
        energy: of its system at the target's temperature, on the generator's device.
        n_walkers: simulations.
        n_starts: minima that are looked for, from torsions drawn anew.
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
    basins = unseen_basins(
        generator, counted, integrator, samples, n_starts=n_starts, threshold=AT_STAKE, seed=seed
    )
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
    groups = list(counted_states(system).values())
    visits = torch.zeros(2, sum(len(group.names) for group in groups), dtype=torch.int64)
    for n in range(n_moves):
        here, move = sampler.move(here, kt, torch.full_like(kt, step), stream)
        probability = float(move.probability.mean())
        step *= math.exp(_GAIN * (probability - ACCEPTANCE))
        acceptance += probability / n_moves
        if (n + 1) % interval == 0:
            log_q = generator.log_prob(coordinates.canonical(here.x.double())).double()
            found.append(-here.potential.double() / kt - log_q - log_z)
            _count(visits, groups, here.x, found[-1] > AT_STAKE)
            more = found[-1] > worst
            worst = torch.where(more, found[-1], worst)
            at = torch.where(more[:, None, None], here.x, at)
        progress(1)
    order = worst.argsort(descending=True)[:_N_WORST]
    return ForwardTest(
        torch.stack(found).cpu(),
        at[order].cpu(),
        worst[order].cpu(),
        visits,
        acceptance,
        counted.n_evaluations,
        system,
        basins,
    )


def _count(visits: Tensor, groups: Sequence[States], x: Tensor, is_at_stake: Tensor) -> None:
    """Add conformations (n, n_atoms, 3) to `ForwardTest.visits`."""
    start, at_stake = 0, is_at_stake.cpu()
    for group in groups:
        labels = torch.as_tensor(group.labels(x.cpu()))
        for row, chosen in enumerate((labels, labels[at_stake])):
            found = chosen[chosen >= 0]
            visits[row, start : start + len(group.names)] += found.bincount(minlength=len(group.names))
        start += len(group.names)
