"""Whether the forward test's search finds basins without draws, and how much of them.

    python benchmarks/unseen_basins.py GENERATOR [GENERATOR ...] [--states 8] [--seeds 3] [--draws 32768]

GENERATOR is the name of a shipped system or the folder of a run. Of each generator, with every sampling seed:

- as it is: what the search finds, in per cent of the target, its energies and seconds;
- blind to one state after another, of a torsion or of (phi, psi), whose share of the target is from 0.2 to
  50 per cent (at most STATES of them, evenly spread from the rarest to the commonest): draws in the state are
  left out, and log q there is lowered by 14. The share that is then missing, by the weights of the draws, and
  the share that the search finds, with its standard error, over the seeds.

A search is good where it finds most of what is missing, and it fails a generator from 0.1 per cent. Shares
found are too small where wells are no normal distributions, or where no start has come near.
"""

import argparse
import time
from typing import Any

import numpy as np
import torch

from boltzgen.energy.base import CountedEnergy
from boltzgen.energy.choose import energy_for
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.molecule.states import States
from boltzgen.molecule.torsional import counted_states
from boltzgen.simulation.basins import unseen_basins
from boltzgen.simulation.forward import AT_STAKE
from boltzgen.simulation.integrator import integrator_for

_LOWERED = 14.0
_LEAST, _MOST = 0.002, 0.5
_STARTS = 1024


class Blind:
    """A generator with next to no density in one state."""

    def __init__(self, generator: BoltzmannGenerator, group: States, state: int) -> None:
        self._generator, self._group, self._state = generator, group, state

    def __getattr__(self, name: str) -> Any:
        return getattr(self._generator, name)

    def is_in(self, x: torch.Tensor) -> torch.Tensor:
        """Whether positions (n, n_atoms, 3) are in the state."""
        return torch.as_tensor(self._group.labels(x.float().cpu())) == self._state

    def log_prob(self, x: torch.Tensor) -> torch.Tensor:
        """log q."""
        return self._generator.log_prob(x) - _LOWERED * self.is_in(x)


def states_of(generator: BoltzmannGenerator, drawn: Any, most: int) -> list[tuple[str, float, Blind]]:
    """Name, share and blind generator of some states, the rarest first."""
    found = []
    for of, group in counted_states(generator.system).items():
        for k, name in enumerate(group.names):
            blind = Blind(generator, group, k)
            share = float(drawn.weights[blind.is_in(drawn.x)].sum())
            if _LEAST < share < _MOST:
                found.append((f"{of}: {name}", share, blind))
    found.sort(key=lambda row: row[1])
    return [found[k] for k in np.linspace(0, len(found) - 1, min(most, len(found))).round().astype(int)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("generators", nargs="+", metavar="GENERATOR")
    parser.add_argument("--states", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--draws", type=int, default=32_768)
    options = parser.parse_args()
    print("| generator | blind to | missing, % | found, % | error | energies | seconds |")
    print("|---|---|---|---|---|---|---|")
    ratios = []
    for source in options.generators:
        generator = BoltzmannGenerator.load(source)
        energy = CountedEnergy(energy_for(generator.system))
        drawn = [generator.sample(options.draws, energy, seed=seed) for seed in range(options.seeds)]
        of_states = states_of(generator, drawn[0], options.states)
        for name, share, one in [("-", 0.0, generator), *of_states]:
            shares, errors, energies, seconds = [], [], [], []
            for seed, samples in enumerate(drawn):
                seen = samples[~one.is_in(samples.x)] if isinstance(one, Blind) else samples
                before, began = energy.n_evaluations, time.perf_counter()
                basins = unseen_basins(
                    one,  # type: ignore[arg-type]
                    energy,
                    integrator_for(generator.system, "cpu"),
                    seen,
                    n_starts=_STARTS,
                    threshold=AT_STAKE,
                    seed=seed,
                )
                seconds.append(time.perf_counter() - began)
                energies.append(energy.n_evaluations - before)
                shares.append(sum(basin.share for basin in basins))
                errors.append(np.hypot.reduce([0.0, *(basin.error for basin in basins)]))
            ratios += [found / share for found in shares if share]
            cells = [source, name, f"{100 * share:.2f}", ", ".join(f"{100 * found:.2g}" for found in shares)]
            cells += [f"{100 * max(errors):.1g}", f"{np.mean(energies):.1e}", f"{np.mean(seconds):.0f}"]
            print("| " + " | ".join(cells) + " |", flush=True)
    if ratios:
        low, middle, high = np.quantile(ratios, (0, 0.5, 1))
        print(f"\nfound over missing, {len(ratios)} times: median {middle:.2f}, {low:.2g} to {high:.2g}")


if __name__ == "__main__":
    main()
