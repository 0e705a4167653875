"""A simulation from a system to an ensemble, in a folder from which it can go on."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from openmm import unit

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.energy.base import Energy
from boltzgen.energy.choose import energy_for
from boltzgen.molecule.system import System
from boltzgen.simulation.checkpoint import State, block_files, load_block, save_block
from boltzgen.simulation.integrator import Integrator
from boltzgen.simulation.ladder import temperature_ladder
from boltzgen.simulation.langevin import Langevin, minimised
from boltzgen.simulation.replica_exchange import ReplicaExchange, sampling_masses
from boltzgen.simulation.start import inside_domain, random_starts

Method = Literal["remd", "md"]


@dataclass(frozen=True)
class Plan:
    """How a simulation is set up; a resumed one keeps its own.

    Attributes:
        method: "remd", replica exchange, or "md", OpenMM's Langevin dynamics.
        n_walkers: independent walkers.
        highest: top of the ladder in K (the bottom is the system's temperature); only for replica exchange.
        interval: moves between frames (replica exchange), or steps of 1 fs (dynamics).
        n_steps: steps of each move of replica exchange.
        block: frames in each block, after which the state is saved.
        burn_in: blocks at the start whose frames are not used, in which time steps are tuned.
        platform: of OpenMM, for dynamics.
        seed: of all randomness.
    """

    method: Method = "remd"
    n_walkers: int = 128
    highest: float = 1200.0
    interval: int = 20
    n_steps: int = 25
    block: int = 10
    burn_in: int = 4
    platform: str = "CPU"
    seed: int = 0

    @classmethod
    def for_method(cls, method: Method, **changes: Any) -> "Plan":
        """The defaults of a method, but for the changes that are not None."""
        defaults: dict[str, Any] = (
            {} if method == "remd" else {"n_walkers": 1, "interval": 1000, "burn_in": 1, "block": 100}
        )
        return cls(**({"method": method} | defaults | {k: v for k, v in changes.items() if v is not None}))


@dataclass(frozen=True)
class Progress:
    """Where a simulation stands: frames done of those wanted (burn-in included), seconds spent, and figures
    of the last block (empty at first).
    """

    done: int
    wanted: int
    seconds: float
    statistics: dict[str, Any]


def simulate(
    system: System,
    folder: Path,
    n_frames: int,
    *,
    plan: Plan | None = None,
    resume: bool = False,
    device: str = "cpu",
    progress: Callable[[Progress], None] | None = None,
) -> None:
    """Run a simulation until it has `n_frames` frames of every walker, at every temperature, past its
    burn-in; whole blocks, so perhaps a few more.

    `folder` gets a file for each block; `Ensemble.load` reads them. Interrupted at any moment, the simulation
    goes on with `resume` from its last block; so does a finished one of which more frames are wanted.

    Raises:
        FileExistsError: the folder holds a simulation already, and `resume` is false.
        FileNotFoundError: `resume` is true and there is nothing to resume.
        ValueError: the simulation is of another system; or has constraints that replica exchange cannot keep,
            see `Integrator`.
    """
    files = block_files(folder)
    if files and not resume:
        raise FileExistsError(
            f"{folder} already holds a simulation; add --resume to go on with it, or choose another folder"
        )
    if resume and not files:
        raise FileNotFoundError(
            f"nothing to resume in {folder}: no blocks of a simulation; start it without --resume"
        )
    if files:
        _, state, metadata = load_block(files[-1])
        if metadata["fingerprint"] != system.fingerprint:
            raise ValueError(
                f"the simulation in {folder} is of another system than {system.name!r}, or of other "
                f"parameters: {metadata['system']!r}"
            )
        # Where walkers began stands in the first block's plan alone.
        description = load_block(files[0])[2]["plan"]
        plan = Plan(**{k: v for k, v in description.items() if k not in ("temperatures", "starts")})
        sampler = _sampler(system, plan, device)
        state.x = state.x.to(device)
    else:
        plan = plan or Plan()
        sampler = _sampler(system, plan, device)
        x = _starts(system, plan).to(device)
        state = sampler.start(x)
        description = asdict(plan) | {
            "temperatures": _temperatures(system, plan).tolist(),
            "starts": x.tolist(),
        }
    folder.mkdir(parents=True, exist_ok=True)
    _run(system, folder, sampler, state, len(files), n_frames, plan, description, progress)


def _run(
    system: System,
    folder: Path,
    sampler: ReplicaExchange | Langevin,
    state: State,
    index: int,
    n_frames: int,
    plan: Plan,
    description: dict[str, Any],
    progress: Callable[[Progress], None] | None,
) -> None:
    began, wanted = time.perf_counter(), n_frames + plan.burn_in * plan.block
    statistics: dict[str, Any] = {}
    done = index * plan.block
    while done < wanted:
        start = done

        def report() -> None:
            nonlocal done
            done += 1
            if progress is not None:
                progress(Progress(done, wanted, time.perf_counter() - began, statistics))  # noqa: B023

        block_began = time.perf_counter()
        block = sampler.run(
            state, index, plan.block, plan.interval, tune=index < plan.burn_in, on_frame=report
        )
        block.statistics["seconds"] = time.perf_counter() - block_began
        done, statistics = start + plan.block, block.statistics
        metadata = {"system": system.name, "fingerprint": system.fingerprint, "burn_in": index < plan.burn_in}
        metadata["plan"] = (
            description if index == 0 else {k: v for k, v in description.items() if k != "starts"}
        )
        save_block(folder, index, block, state, metadata)
        index += 1


def _temperatures(system: System, plan: Plan) -> torch.Tensor:
    if plan.method == "md":
        return torch.tensor([system.temperature], dtype=torch.float64)
    return temperature_ladder(
        system.temperature, plan.highest, 3 * system.n_atoms - 6 - len(system.constraints)
    )


def _sampler(system: System, plan: Plan, device: str) -> ReplicaExchange | Langevin:
    if plan.method == "md":
        return Langevin(system, system.temperature, platform=plan.platform, seed=plan.seed)
    coordinates = MolecularCoordinates(system).to(device)
    return ReplicaExchange(
        _energy(system, device),
        integrator_for(system, device),
        _temperatures(system, plan),
        inside=lambda x: inside_domain(coordinates, x),
        n_steps=plan.n_steps,
        seed=plan.seed,
    )


def integrator_for(system: System, device: str = "cpu") -> Integrator:
    """Masses, light ones raised, and rigid bonds of a system."""
    masses = [
        system.openmm_system.getParticleMass(i).value_in_unit(unit.dalton) for i in range(system.n_atoms)
    ]
    return Integrator(
        sampling_masses(torch.tensor(masses, dtype=torch.float64)).to(device),
        system.constraints,
        system.graph.neighbours,
    )


def _energy(system: System, device: str) -> Energy:
    return energy_for(system).to(device)


def _starts(system: System, plan: Plan) -> torch.Tensor:
    if plan.method == "md":
        return minimised(system, plan.n_walkers)
    return random_starts(
        MolecularCoordinates(system),
        _energy(system, "cpu"),
        integrator_for(system, "cpu"),
        plan.n_walkers,
        seed=plan.seed,
    )
