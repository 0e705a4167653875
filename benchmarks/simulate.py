"""Configuration steps per second of replica exchange, beside OpenMM's molecular dynamics on the same cores.

    python benchmarks/simulate.py [--quick] [--system alanine_dipeptide] [--repeats 5]

A configuration step is one step of the dynamics of one configuration: one energy with its forces. Ours are
steps of Hamiltonian Monte Carlo, exchanges and domain checks included, through the public class; OpenMM's are
LangevinMiddleIntegrator steps through its Python API, `integrator.step(1000)` at a time, in as many processes
as there are threads, or in one process with that many threads. The ways take turns, repeat after repeat;
printed are the maximum and the median over the repeats, and ratios to OpenMM's fastest way. Steps differ in
length: ours are tuned (2.5 fs for alanine dipeptide, heavy hydrogens), OpenMM's are 1 fs, and both are
printed as simulated time a second too.
"""

import argparse
import multiprocessing
import statistics
import time
from multiprocessing.connection import Connection

import openmm
import torch

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.energy import energy_for
from boltzgen.molecule.system import System
from boltzgen.simulation.integrator import integrator_for
from boltzgen.simulation.ladder import temperature_ladder
from boltzgen.simulation.replica_exchange import ReplicaExchange
from boltzgen.simulation.start import inside_domain, random_starts


class Ours:
    """Replica exchange with 128 walkers."""

    def __init__(self, system: System, quick: bool) -> None:
        coordinates, energy = MolecularCoordinates(system), energy_for(system)
        integrator = integrator_for(system)
        temperatures = temperature_ladder(system.temperature, 1200.0, 3 * system.n_atoms - 6)
        self.sampler = ReplicaExchange(
            energy, integrator, temperatures, inside=lambda x: inside_domain(coordinates, x), n_steps=25
        )
        self.moves = 2 if quick else 40
        self.state = self.sampler.start(
            random_starts(coordinates, energy, integrator, 8 if quick else 128, seed=0)
        )
        self.sampler.run(self.state, 0, 1, 2 if quick else 30, tune=True)

    def measure(self) -> tuple[float, float]:
        """Steps and picoseconds per second."""
        began = time.perf_counter()
        block = self.sampler.run(self.state, 1, 1, self.moves)
        seconds = time.perf_counter() - began
        n_walkers = len(self.state.x)
        steps = block.statistics["n_energy_evaluations"] - self.state.replica.numel()
        return steps / seconds, n_walkers * sum(block.statistics["picoseconds"]) / seconds


def dynamics(connection: Connection, name: str, platform: str, threads: int, steps: int) -> None:
    """A process that runs `steps` steps of Langevin dynamics whenever asked."""
    system = System.load(name)
    integrator = openmm.LangevinMiddleIntegrator(system.temperature, 1.0, 0.001)
    properties = {"Threads": str(threads)} if platform == "CPU" else {}
    context = openmm.Context(
        system.openmm_system, integrator, openmm.Platform.getPlatformByName(platform), properties
    )
    context.setPositions(system.positions.numpy())
    openmm.LocalEnergyMinimizer.minimize(context, 10.0, 100)
    context.setVelocitiesToTemperature(system.temperature)
    integrator.step(100)
    connection.send("ready")
    while connection.recv():
        integrator.step(steps)
        # Steps may still be under way until something is asked for.
        context.getState(getEnergy=True)
        connection.send("done")


class OpenMM:
    """Molecular dynamics in several processes."""

    def __init__(self, name: str, platform: str, processes: int, threads: int, steps: int) -> None:
        self.steps, self.pipes = steps, []
        spawn = multiprocessing.get_context("spawn")
        for _ in range(processes):
            ours, theirs = spawn.Pipe()
            spawn.Process(target=dynamics, args=(theirs, name, platform, threads, steps), daemon=True).start()
            self.pipes.append(ours)
        for pipe in self.pipes:
            pipe.recv()

    def measure(self) -> tuple[float, float]:
        began = time.perf_counter()
        for pipe in self.pipes:
            pipe.send(True)
        for pipe in self.pipes:
            pipe.recv()
        rate = len(self.pipes) * self.steps / (time.perf_counter() - began)
        return rate, 0.001 * rate

    def close(self) -> None:
        for pipe in self.pipes:
            pipe.send(False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--system", default="alanine_dipeptide")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--quick", action="store_true", help="one short turn: shows that it runs, measures nothing"
    )
    arguments = parser.parse_args()
    threads, steps = torch.get_num_threads(), 100 if arguments.quick else 1000
    system = System.load(arguments.system)
    name = arguments.system
    theirs = {
        "OpenMM Reference, 1 process": OpenMM(name, "Reference", 1, 1, steps),
        "OpenMM CPU, 1 process of 1 thread": OpenMM(name, "CPU", 1, 1, steps),
        f"OpenMM CPU, 1 process of {threads} threads": OpenMM(name, "CPU", 1, threads, steps),
        f"OpenMM CPU, {threads} processes of 1 thread": OpenMM(name, "CPU", threads, 1, steps),
    }
    ways: dict[str, Ours | OpenMM] = {**theirs, "replica exchange": Ours(system, arguments.quick)}
    rates: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for _ in range(1 if arguments.quick else arguments.repeats):
        for way, runner in ways.items():
            rates[way].append(runner.measure())
    for runner in theirs.values():
        runner.close()
    middle = {way: statistics.median(r for r, _ in found) for way, found in rates.items()}
    fastest = max(theirs, key=middle.__getitem__)
    print(
        f"{name}, {system.n_atoms} atoms, torch {torch.__version__} with {threads} threads, OpenMM "
        f"{openmm.__version__}"
    )
    print(
        f"{'configuration steps per second':45s} {'maximum':>10s} {'median':>10s} {'ps/s':>8s} "
        f"{'ratio of medians':>18s} {'of maxima':>10s}"
    )
    for way, found in rates.items():
        best = max(r for r, _ in found)
        ratio, of_best = middle[way] / middle[fastest], best / max(r for r, _ in rates[fastest])
        picoseconds = statistics.median(p for _, p in found)
        print(f"{way:45s} {best:10.0f} {middle[way]:10.0f} {picoseconds:8.2f} {ratio:18.2f} {of_best:10.2f}")


if __name__ == "__main__":
    main()
