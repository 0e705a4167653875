"""Short simulations, and a folder with made-up frames of alanine dipeptide, phi positive where told to be."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from boltzgen import units
from boltzgen.molecule.system import System
from boltzgen.simulation.checkpoint import Checkpoint
from boltzgen.simulation.ensemble import Ensemble
from boltzgen.simulation.plan import Plan
from boltzgen.simulation.sampler import Frames, State
from tests.helpers.posing import pose

FRAMES = 10
#: A short replica exchange of checkpoints of three frames.
SMALL = Plan(n_walkers=8, interval=2, n_steps=5, checkpoint_frames=3, burn_in=1, seed=5)
PREPARATION = {"seconds": 3.0, "n_energy_evaluations": 500}


def write_simulation(
    folder: Path,
    system: System,
    plus: np.ndarray,
    began: np.ndarray,
    *,
    temperatures: tuple[float, ...] = (300.0,),
    seed: int = 0,
    round_trips: int | None = None,
) -> Ensemble:
    """Write checkpoints of ten frames, one of tuning before them, and load them.

    Args:
        folder: of the simulation.
        system: alanine dipeptide.
        plus: whether phi is positive, bool (n_frames, n_walkers, n_temperatures).
        began: the same of where each walker began, (n_walkers,).
        temperatures: in K.
        seed: of angles and energies.
        round_trips: of all replicas in each checkpoint; None if they were not counted.
    """
    rng = np.random.default_rng(seed)
    shape = plus.shape
    assert shape[2] == len(temperatures) and shape[0] % FRAMES == 0
    kt = units.MOLAR_GAS_CONSTANT * np.array(temperatures)
    potential = torch.from_numpy(rng.gamma(30.0, 1.0, shape) * kt - 100.0)
    x = posed(system, plus, rng)
    starts = posed(system, began, rng)
    replica = torch.arange(shape[2]).repeat(*shape[:2], 1)
    settings = Plan(
        n_walkers=shape[1],
        interval=1,
        n_steps=5,
        checkpoint_frames=FRAMES,
        burn_in=1,
        highest=temperatures[-1],
    )
    plan = asdict(settings) | {"temperatures": list(temperatures)}
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(shape[0] // FRAMES + 1):
        part = slice(max(index - 1, 0) * FRAMES, max(index, 1) * FRAMES)
        statistics = {
            "acceptance": [0.8] * shape[2],
            "left_domain": [0.0] * shape[2],
            "exchange": [0.3] * (shape[2] - 1),
            "picoseconds": [1.0] * shape[2],
            "n_energy_evaluations": 1000 if index else 7000,
            "seconds": 1.0 if index else 2.0,
        }
        if round_trips is not None:
            statistics["round_trips"] = round_trips
        once = {} if index else {"starts": starts.tolist(), "preparation": PREPARATION}
        last = replica[0].long()
        state = State(x[part][-1].clone(), last, last.clone(), torch.ones(shape[2], dtype=torch.float64))
        frames = Frames(x[part], potential[part], replica[part], statistics)
        Checkpoint(frames, state, system.name, system.fingerprint, index == 0, plan | once).save(
            folder, index
        )
    return Ensemble.load(folder, system)


def posed(system: System, plus: np.ndarray, rng: np.random.Generator) -> torch.Tensor:
    """Conformations with phi near 60 degrees where `plus`, else near -80, and psi near 100."""
    flat = plus.ravel()
    phi = np.radians(np.where(flat, 60.0, -80.0) + 10 * rng.standard_normal(flat.size))
    psi = np.radians(100.0 + 10 * rng.standard_normal(flat.size))
    return pose(system, phi, psi).reshape(*plus.shape, system.n_atoms, 3)
