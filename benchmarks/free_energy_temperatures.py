"""F(T) - F(300 K) and populations of alanine dipeptide from 280 to 400 K, beside replica exchange.

    boltzgen train HOT -o run400 --from systems/alanine_dipeptide --rounds 6
    python benchmarks/free_energy_temperatures.py run400 [-n 100000] [--seed 0] [--frames 300] [--walkers 32]
        [--simulation FILE.npz] [--quick]

HOT is a copy of systems/alanine_dipeptide whose system.toml says temperature = 400.0, without its reference.
Three estimates of f(T) - f(300 K), f = -ln Z(T) in kT of each temperature: from n draws of the shipped
generator, trained for 300 K; from n of it and n of one trained for 400 K, pooled; and by MBAR from replica
exchange on a ladder that has these temperatures, whose errors are of a bootstrap over its walkers. With them
come the populations of the basins. The simulation knows nothing of the generators; `--simulation` keeps its
energies and basins, or takes those of a file that exists. Differences are in combined standard errors.
"""

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.energy.base import CountedEnergy
from boltzgen.energy.choose import energy_for
from boltzgen.free_energy.result import Result
from boltzgen.free_energy.temperature import reweighted
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.molecule.states import BASINS
from boltzgen.molecule.system import System
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.simulation.estimates import WalkerBootstrap, correlation_time
from boltzgen.simulation.integrator import integrator_for
from boltzgen.simulation.replica_exchange import ReplicaExchange
from boltzgen.simulation.start import inside_domain, random_starts
from boltzgen.thermodynamics.pooled import pooled_samples
from boltzgen.units import MOLAR_GAS_CONSTANT

AT = [280.0, 300.0, 320.0, 360.0, 400.0]
#: Further temperatures, for barriers: exchanges have an acceptance rate of about a third.
ABOVE = [490.0, 600.0, 740.0, 910.0]
HERE = 300.0
N_STEPS, INTERVAL, TUNING = 25, 5, 30
#: Frames between two looks at the clock.
PART = 20


@dataclass(frozen=True)
class Found:
    """Of each temperature: f(T) - f(300 K) and its error, populations (n_temperatures, n_basins), errors."""

    f: np.ndarray
    error: np.ndarray
    shares: np.ndarray
    share_errors: np.ndarray


def simulated(
    system: System, frames: int, walkers: int, seed: int, keep: Path | None
) -> tuple[np.ndarray, np.ndarray]:
    """U in kJ/mol and basins (an index), both (n_frames, n_walkers, n_temperatures), after tuning."""
    energy, coordinates = CountedEnergy(energy_for(system)), MolecularCoordinates(system)
    integrator, ladder = integrator_for(system, "cpu"), torch.tensor(AT + ABOVE, dtype=torch.float64)
    began, states = time.perf_counter(), system.states[BASINS]
    starts = random_starts(coordinates, energy, integrator, walkers, seed=seed)
    sampler = ReplicaExchange(
        energy, integrator, ladder, inside=lambda x: inside_domain(coordinates, x), n_steps=N_STEPS, seed=seed
    )
    state = sampler.start(starts)
    sampler.run(state, 0, TUNING, INTERVAL, tune=True)
    potentials, basins, trips = [], [], 0
    for index in range(-(-frames // PART)):
        found = sampler.run(state, 1 + index, PART, INTERVAL)
        potentials.append(found.potential.numpy())
        labels = states.labels(found.x.reshape(-1, system.n_atoms, 3))
        basins.append(labels.reshape(found.potential.shape))
        trips += found.statistics["round_trips"]
        if keep is not None:
            np.savez(keep, potential=np.concatenate(potentials), basins=np.concatenate(basins))
        print(
            f"replica exchange: {walkers} walkers, {len(ladder)} temperatures, {(1 + index) * PART} frames "
            f"after {TUNING} of tuning, {INTERVAL * N_STEPS} steps between; {energy.n_evaluations:.3g} "
            f"energies, {time.perf_counter() - began:.0f} s, {time.process_time():.0f} s of the processor; "
            f"{trips} round trips",
            flush=True,
        )
    return np.concatenate(potentials), np.concatenate(basins)


def by_simulation(potential: np.ndarray, basins: np.ndarray, names: tuple[str, ...], burn_in: int) -> Found:
    """MBAR over the ladder, errors by the bootstrap over walkers."""
    potential, basins = potential[burn_in:], basins[burn_in:]
    bootstrap = WalkerBootstrap(potential, np.array(AT + ABOVE), HERE)
    here = AT.index(HERE)
    f = bootstrap.free_energies()[0]
    # Replicates leave out the common energy times beta, which has no error.
    errors = (bootstrap.solutions - bootstrap.solutions[:, here : here + 1]).std(0, ddof=1)
    found = []
    for temperature in AT:
        bootstrap.target = 1.0 / (MOLAR_GAS_CONSTANT * temperature)
        found.append(bootstrap.populations(basins, names))
    g = correlation_time(potential[..., here])
    print(f"correlation of U at 300 K: {g:.1f} frames")
    n = len(AT)
    return Found(
        (f - f[here])[:n], errors[:n], np.stack([p.share for p in found]), np.stack([p.error for p in found])
    )


def by_draws(samples: WeightedSamples, label: str) -> Found:
    """Of draws weighted for 300 K; the error is that of the ratio of two sums over the same draws."""
    system = samples.system
    labels = system.states[BASINS].labels(samples.x)
    names = [basin.name for basin in system.basins]
    conditions = {name: labels == k for k, name in enumerate(names)}
    points = samples.at_temperatures(HERE, AT, conditions=conditions)
    here = points[AT.index(HERE)].free_energy.value
    u, log_w = samples.u.numpy(), samples.log_w.numpy()
    influence = {}
    for temperature in AT:
        weights = reweighted(u, log_w, HERE, temperature)[1]
        w = np.exp(weights - weights.max())
        influence[temperature] = w / w.mean()
    errors = [(influence[t] - influence[HERE]).std() / np.sqrt(len(u)) for t in AT]
    for point in points:
        print(
            f"{label}, {point.temperature:g} K: {point.n_effective:,.0f} effective of {len(u):,}, k-hat "
            f"{point.k_hat:.2f}, F {_mark(point.free_energy)}, all {'ok' if point.is_trusted else 'doubtful'}"
        )
    shares = [[point.populations[name] for name in names] for point in points]
    return Found(
        np.array([p.free_energy.value - here for p in points]),
        np.array(errors),
        np.array([[r.value for r in row] for row in shares]),
        np.array([[r.error for r in row] for row in shares]),
    )


def _mark(result: Result) -> str:
    return "ok" if result.is_trusted else "doubtful"


def pm(value: float, error: float, digits: int = 3) -> str:
    """A value and its error."""
    return f"{value:.{digits}f} +- {error:.{digits}f}"


def table(names: list[str], one: Found, pooled: Found, simulation: Found) -> None:
    """Free energies, then populations in percent, with differences in combined errors."""
    print("\n| T (K) | 300 K generator | pooled | replica exchange | pooled - simulation | in errors |")
    print("|---|---|---|---|---|---|")
    for k, temperature in enumerate(AT):
        away, error = pooled.f[k] - simulation.f[k], np.hypot(pooled.error[k], simulation.error[k])
        cells = [pm(found.f[k], found.error[k]) for found in (one, pooled, simulation)]
        score = f"{away / error:+.1f}" if error > 0 else ""
        print(f"| {temperature:g} | " + " | ".join(cells) + f" | {away:+.3f} | {score} |")
    print("\n| T (K) | " + " | ".join(f"{n}, pooled | {n}, simulation | in errors" for n in names) + " |")
    print("|---" * (1 + 3 * len(names)) + "|")
    scores = []
    for k, temperature in enumerate(AT):
        cells = []
        for j in range(len(names)):
            for found in (pooled, simulation):
                cells.append(pm(100 * found.shares[k, j], 100 * found.share_errors[k, j], 2))
            away = pooled.shares[k, j] - simulation.shares[k, j]
            scores.append(away / np.hypot(pooled.share_errors[k, j], simulation.share_errors[k, j]))
            cells.append(f"{scores[-1]:+.1f}")
        print(f"| {temperature:g} | " + " | ".join(cells) + " |")
    print(f"\nmean square of the populations' differences in errors: {np.mean(np.square(scores)):.2f}")
    f = -np.log(pooled.shares / simulation.shares)
    common = (simulation.shares > 0.01).all(0)
    print(f"largest difference of F of a basin above 1 %: {np.abs(f[:, common]).max():.3f} kT")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("hot", nargs="?", type=Path, help="folder of the run for 400 K")
    parser.add_argument("-n", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--walkers", type=int, default=32)
    parser.add_argument("--burn-in", type=int, default=80, help="frames after tuning that are left out")
    parser.add_argument("--simulation", type=Path, help="its energies and basins, .npz")
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    n, frames, walkers, burn_in = arguments.n, arguments.frames, arguments.walkers, arguments.burn_in
    if arguments.quick:
        n, frames, walkers, burn_in = 4096, 20, 8, 2
    system = System.load("alanine_dipeptide")
    if arguments.simulation is not None and arguments.simulation.exists():
        kept = np.load(arguments.simulation)
        potential, basins = kept["potential"], kept["basins"]
    else:
        potential, basins = simulated(system, frames, walkers, arguments.seed, arguments.simulation)
    if arguments.hot is None:
        return
    names = tuple(basin.name for basin in system.basins)
    simulation = by_simulation(potential, basins, names, burn_in)
    energy, shipped = energy_for(system, HERE), BoltzmannGenerator.load("alanine_dipeptide")
    hot = BoltzmannGenerator.load(arguments.hot, unfinished=True)
    one = by_draws(shipped.sample(n, energy, seed=arguments.seed), "generator for 300 K")
    pooled = by_draws(pooled_samples([shipped, hot], energy, n, seed=arguments.seed), "pooled")
    table(list(names), one, pooled, simulation)


if __name__ == "__main__":
    main()
