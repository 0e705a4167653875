"""Free-energy differences between Hamiltonians by a staged path of simulations, without any flow.

    python benchmarks/free_energy_paths.py A B [--engine hmc | openmm] [--walkers 32] [--frames 300] [--quick]

A and B are systems (names or folders) of the same molecule with the same order of atoms. The path is a line
of states: down a ladder of temperatures at A, along U = (1 - lambda) U_A + lambda U_B at the target
temperature, and up a ladder at B. Neighbours exchange conformations; the ladders are there to cross barriers.
Printed is delta F = F_B - F_A in kT by pymbar's MBAR over all states, from energies that OpenMM computes. A
second estimate is BAR from each state to the next, summed, from the first half and the second half of the
frames.

`hmc` moves many walkers at once by Hamiltonian Monte Carlo on the batched energies: exact, without an error
of the time step. `openmm` moves one walker by OpenMM's own Langevin dynamics: a splitting with 2 fs,
hydrogens of 4 dalton; its threads hand each step over to each other, and wait less where they share one core
(`taskset -c 0 python ...`). Errors are from a bootstrap over walkers and blocks of time.
"""

import argparse
import contextlib
import copy
import io
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import openmm
import torch
from openmm import unit
from torch import Tensor

from boltzgen import units
from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.energy import energy_for
from boltzgen.energy.base import Energy
from boltzgen.energy.openmm import OpenMMEnergy
from boltzgen.molecule.system import System
from boltzgen.simulation.hmc import Configurations, HamiltonianMonteCarlo
from boltzgen.simulation.integrator import Integrator, integrator_for, sampling_masses
from boltzgen.simulation.start import inside_domain, random_starts

with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    import pymbar

LADDER = (900.0, 680.0, 515.0, 390.0)
LAMBDAS = (0.0, 0.25, 0.5, 0.75, 1.0)
#: Steps between exchanges, and the time step of OpenMM's dynamics in ps.
HMC_STEPS, MD_STEPS, TIME_STEP = 20, 100, 0.002
#: Exchanges from one frame to the next, of Hamiltonian Monte Carlo and of dynamics.
INTERVAL, MD_INTERVAL = 10, 5
BLOCKS = 10


def path(temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """lambda and temperature [K] of each state of the line, in order."""
    states = [(0.0, t) for t in LADDER] + [(l, temperature) for l in LAMBDAS]
    states += [(1.0, t) for t in reversed(LADDER)]
    return np.array([l for l, _ in states]), np.array([t for _, t in states])


class Mixed(Energy):
    """(1 - lambda) U_A + lambda U_B, with lambda of each row: rows go round the states."""

    def __init__(self, first: Energy, second: Energy, lam: np.ndarray) -> None:
        super().__init__(first.n_atoms, first.temperature)
        self.first, self.second, self.lam = first, second, torch.from_numpy(lam)

    def potential(self, x: Tensor) -> Tensor:
        """U in kJ/mol (rows,) of x (rows, n_atoms, 3)."""
        lam = self.lam.repeat(len(x) // len(self.lam)).to(x)
        return (1 - lam) * self.first.potential(x) + lam * self.second.potential(x)


def exchanged(u: np.ndarray, parity: int, stream: np.random.Generator) -> np.ndarray:
    """New occupant of each state, (walkers, states), from occupant k's energy u[w, k, l] in state l [kT]."""
    n_walkers, n, _ = u.shape
    order = np.tile(np.arange(n), (n_walkers, 1))
    for k in range(parity, n - 1, 2):
        rise = u[:, k, k + 1] + u[:, k + 1, k] - u[:, k, k] - u[:, k + 1, k + 1]
        swap = np.log(stream.random(n_walkers)) < -rise
        order[swap, k], order[swap, k + 1] = k + 1, k
    return order


def reduced(parts: np.ndarray, lam: np.ndarray, temperatures: np.ndarray) -> np.ndarray:
    """u (..., states) of U_A and U_B [kJ/mol] (..., 2) in each state."""
    kt = units.MOLAR_GAS_CONSTANT * temperatures
    return ((1 - lam) * parts[..., :1] + lam * parts[..., 1:]) / kt


def low_starts(
    coordinates: MolecularCoordinates, energy: Energy, integrator: Integrator, n: int, seed: int
) -> Tensor:
    """Minima from random torsions, (n, n_atoms, 3), the lowest of four times as many.

    Walkers that start in high basins have to leave them over barriers first; those that are missing at first
    come down the ladders.
    """
    found = random_starts(coordinates, energy, integrator, 4 * n, seed=seed)
    return found[energy.potential(found).argsort()[:n]]


@torch.no_grad()
def hmc(a: System, b: System, temperature: float, walkers: int, frames: int, seed: int) -> Tensor:
    """Frames (frames, walkers, states, n_atoms, 3) by Hamiltonian Monte Carlo, after half as many."""
    lam, temperatures = path(temperature)
    energies, integrator, coordinates = (
        (energy_for(a), energy_for(b)),
        integrator_for(a),
        MolecularCoordinates(a),
    )
    starts = low_starts(coordinates, energies[0], integrator, walkers, seed)
    sampler = HamiltonianMonteCarlo(
        Mixed(*energies, lam),
        integrator,
        inside=lambda x: inside_domain(coordinates, x),
        n_steps=HMC_STEPS,
    )
    n, stream, swaps = len(lam), torch.Generator().manual_seed(seed), np.random.default_rng(seed)
    kt = torch.from_numpy(units.MOLAR_GAS_CONSTANT * temperatures).repeat(walkers)
    here = Configurations.at(sampler.energy, starts.repeat_interleave(n, 0))
    step, kept = torch.full((n,), 0.0015, dtype=torch.float64), []
    tune = INTERVAL * (frames // 2)
    for m in range(tune + INTERVAL * frames):
        here, move = sampler.move(here, kt, step.repeat(walkers), stream)
        if m < tune:
            step *= torch.exp(0.2 * (move.probability.reshape(walkers, n).mean(0) - 0.8))
        parts = (
            torch.stack([e.potential(here.x) for e in energies], -1).double().reshape(walkers, n, 2).numpy()
        )
        order = exchanged(reduced(parts[:, :, None], lam, temperatures)[:, :, 0], m % 2, swaps)
        rows = torch.from_numpy((order + n * np.arange(walkers)[:, None]).ravel())
        here = Configurations.at(sampler.energy, here.x[rows])
        if m >= tune and (m - tune) % INTERVAL == INTERVAL - 1:
            kept.append(here.x.reshape(walkers, n, a.n_atoms, 3).clone())
    return torch.stack(kept)


class Dynamics:
    """OpenMM's Langevin dynamics of a mixture of two Systems, the forces of each in a group of its own."""

    def __init__(self, a: System, b: System, seed: int) -> None:
        masses = [a.openmm_system.getParticleMass(i).value_in_unit(unit.dalton) for i in range(a.n_atoms)]
        joint = openmm.System()
        for mass in sampling_masses(torch.tensor(masses)).tolist():
            joint.addParticle(mass)
        for group, system in enumerate((a, b)):
            for force in system.openmm_system.getForces():
                force = copy.deepcopy(force)
                force.setForceGroup(group)
                joint.addForce(force)
        self.contexts = {}
        for mixed in (0.0, 0.5, 1.0):
            integrator = self._integrator(mixed)
            integrator.setRandomNumberSeed(seed)
            # The CPU platform is faster by far where a CustomGBForce is computed, else Reference.
            groups = {0.0: {0}, 0.5: {0, 1}, 1.0: {1}}[mixed]
            used = [f for f in joint.getForces() if f.getForceGroup() in groups]
            name = "CPU" if any("Custom" in f.getName() for f in used) else "Reference"
            options = {"Threads": "1"} if name == "CPU" else {}
            platform = openmm.Platform.getPlatformByName(name)
            self.contexts[mixed] = openmm.Context(joint, integrator, platform, options)

    @staticmethod
    def _integrator(mixed: float) -> openmm.CustomIntegrator:
        """Kick, half a drift, noise, half a drift (Zhang et al., J. Phys. Chem. A 123, 6056, 2019)."""
        friction = float(np.exp(-TIME_STEP * 1.0))
        found = openmm.CustomIntegrator(TIME_STEP)
        for name, value in {"lam": mixed, "kT": 1.0, "a": friction, "b": np.sqrt(1 - friction**2)}.items():
            found.addGlobalVariable(name, float(value))
        if mixed < 1:
            found.addComputePerDof("v", "v + dt*(1 - lam)*f0/m")
        if mixed > 0:
            found.addComputePerDof("v", "v + dt*lam*f1/m")
        found.addComputePerDof("x", "x + 0.5*dt*v")
        found.addComputePerDof("v", "a*v + b*sqrt(kT/m)*gaussian")
        found.addComputePerDof("x", "x + 0.5*dt*v")
        return found

    def move(self, x: np.ndarray, lam: float, temperature: float, steps: int) -> np.ndarray:
        """Positions after so many steps from x (n_atoms, 3), with new velocities."""
        context = self.contexts[lam if lam in (0.0, 1.0) else 0.5]
        integrator = context.getIntegrator()
        integrator.setGlobalVariableByName("lam", lam)
        integrator.setGlobalVariableByName("kT", units.kt(temperature))
        context.setPositions(x)
        context.setVelocitiesToTemperature(temperature)
        integrator.step(steps)
        return np.asarray(context.getState(getPositions=True).getPositions(asNumpy=True)._value)


def dynamics(a: System, b: System, temperature: float, walkers: int, frames: int, seed: int) -> Tensor:
    """As `hmc`, by OpenMM, one walker after the other."""
    lam, temperatures = path(temperature)
    coordinates = MolecularCoordinates(a)
    energy = tuple(energy_for(s) for s in (a, b))
    starts = low_starts(coordinates, energy[0], integrator_for(a), len(lam), seed).double().numpy()
    engine, swaps = Dynamics(a, b, seed + 1), np.random.default_rng(seed)
    x = np.stack([starts] * walkers)
    kept, tune = [], MD_INTERVAL * (frames // 2)
    for m in range(tune + MD_INTERVAL * frames):
        for w in range(walkers):
            for k in range(len(lam)):
                x[w, k] = engine.move(x[w, k], lam[k], temperatures[k], MD_STEPS)
        parts = torch.stack([e.potential(torch.from_numpy(x)) for e in energy], -1).numpy()
        order = exchanged(reduced(parts[:, :, None], lam, temperatures)[:, :, 0], m % 2, swaps)
        x = np.stack([x[w][order[w]] for w in range(walkers)])
        if m >= tune and (m - tune) % MD_INTERVAL == MD_INTERVAL - 1:
            kept.append(torch.from_numpy(x.copy()).float())
    return torch.stack(kept)


def openmm_energies(system: System, x: Tensor) -> np.ndarray:
    """U in kJ/mol (n,) of positions x (n, n_atoms, 3), by OpenMM."""
    return OpenMMEnergy(system).potential(x.double()).numpy()


def estimate(parts: np.ndarray, temperature: float) -> dict[str, Any]:
    """delta F and its error from U_A, U_B (frames, walkers, states, 2) of the frames of each state."""
    lam, temperatures = path(temperature)
    u = reduced(parts[..., None, :], lam, temperatures)[..., 0, :]  # (frames, walkers, states, in state)
    n_frames, n_walkers, n, _ = u.shape
    first, last = (int(np.flatnonzero((lam == l) & (temperatures == temperature))[0]) for l in (0.0, 1.0))

    def free_energies(u: np.ndarray, start: np.ndarray | None = None) -> np.ndarray:
        """f_k by MBAR from frames (m, states, states)."""
        flat = u.transpose(1, 0, 2).reshape(-1, n).T
        return np.asarray(pymbar.MBAR(flat, np.full(n, len(u)), initial_f_k=start).f_k)

    whole = free_energies(u.reshape(-1, n, n))
    blocks = [np.array_split(u[:, w], BLOCKS if n_walkers < BLOCKS else 1) for w in range(n_walkers)]
    groups = [block for of_walker in blocks for block in of_walker]
    stream, found = np.random.default_rng(0), []
    for _ in range(50):
        drawn = [groups[g] for g in stream.integers(len(groups), size=len(groups))]
        f = free_energies(np.concatenate(drawn), whole)
        found.append(f[last] - f[first])
    halves = []
    for half in np.array_split(u, 2):
        steps = [
            pymbar.bar(
                (half[..., k, k + 1] - half[..., k, k]).ravel(),
                (half[..., k + 1, k] - half[..., k + 1, k + 1]).ravel(),
            )["Delta_f"]
            for k in range(first, last)
        ]
        halves.append(float(sum(steps)))
    return {
        "delta_f": float(whole[last] - whole[first]),
        "error": float(np.std(found, ddof=1)),
        "bar_of_halves": halves,
        "frames_of_each_state": n_frames * n_walkers,
    }


def main() -> None:
    """Run the path and print one JSON object."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("start")
    parser.add_argument("end")
    parser.add_argument("--engine", choices=["hmc", "openmm"], default="hmc")
    parser.add_argument("--temperature", type=float, default=300.0)
    parser.add_argument("--walkers", type=int)
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("-o", "--output", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    a, b = System.load(arguments.start), System.load(arguments.end)
    engine = hmc if arguments.engine == "hmc" else dynamics
    walkers = arguments.walkers or (32 if engine is hmc else 1)
    frames = 5 if arguments.quick else arguments.frames
    began = time.perf_counter()
    x = engine(a, b, arguments.temperature, walkers, frames, arguments.seed)
    seconds = time.perf_counter() - began
    parts = np.stack(
        [openmm_energies(s, x.reshape(-1, a.n_atoms, 3)).reshape(x.shape[:3]) for s in (a, b)], -1
    )
    found = {"start": a.name, "end": b.name, "engine": arguments.engine, "seed": arguments.seed}
    found |= estimate(parts, arguments.temperature) | {"seconds": round(seconds, 1)}
    exchanges = (frames // 2 + frames) * (INTERVAL if engine is hmc else MD_INTERVAL)
    found["steps"] = exchanges * x[0, :, :, 0, 0].numel() * (HMC_STEPS if engine is hmc else MD_STEPS)
    print(json.dumps(found))
    if arguments.output is not None:
        arguments.output.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
