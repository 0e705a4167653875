"""What a simulation visits and a generator does not: log w of the simulation's own conformations.

    python benchmarks/simulated_weights.py SYSTEM RUN SIMULATION [-n 102400] [--seed 5]

SIMULATION is a folder of `boltzgen simulate`; of its frames at the system's temperature the second half is
taken, and n draws of the generator. Printed is log Z by the draws alone, which know nothing of what they
never met, and by draws and frames together, by Bennett's acceptance ratio (J. Comput. Phys. 22, 245, 1976),
with a jackknife's error over the simulation's walkers. log w of a frame is log p/q with the latter.

Then for each set of residues at phi > 0: its share of the frames; how many of the simulation's walkers were
there; the median and the upper tenth of log w; the shares above 4 and 10. If the run folder holds the
training's state, the number of its walkers that are there, and their largest log w, tell whether the training
knew of such conformations. Last, which walkers of the simulation have a log w above 10, with their numbers of
frames: few of them make a poor estimate.
"""

import argparse
import contextlib
import io
from pathlib import Path

import numpy as np
import torch
from largest_weights import pattern
from torch import Tensor

from boltzgen import units
from boltzgen.energy.base import Energy
from boltzgen.energy.choose import energy_for
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.molecule.system import System
from boltzgen.simulation.ensemble import Ensemble
from boltzgen.storage import read_tensors
from boltzgen.training.checkpoint import STATE
from boltzgen.weights import log_z

with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
    from pymbar.other_estimators import bar

_BATCH = 4096
#: kT.
_FAR = 1e6
_WALKERS = "objective.walkers.x"


@torch.no_grad()
def log_weights(generator: BoltzmannGenerator, energy: Energy, x: Tensor) -> np.ndarray:
    """log p/q, without log Z, of positions (n, n_atoms, 3), float64 (n,)."""
    found = []
    for part in x.split(_BATCH):
        u = energy.potential(part).double() / units.kt(energy.temperature)
        found.append(-(generator.log_prob(generator.coordinates.canonical(part.double())) + u))
    return torch.cat(found).numpy()


def together(drawn: np.ndarray, simulated: np.ndarray, walker: np.ndarray) -> tuple[float, float]:
    """log Z from log-weights of draws (n,) and of frames (m,), and its error over their walkers (m,)."""

    # A draw outside the domain is one of next to no weight.
    work = np.nan_to_num(-drawn, posinf=_FAR)

    def bennett(frames: np.ndarray) -> float:
        return -float(bar(work, frames, compute_uncertainty=False)["Delta_f"])

    each = np.array([bennett(simulated[walker != k]) for k in np.unique(walker)])
    return bennett(simulated), float(np.sqrt((len(each) - 1) * each.var()))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("system")
    parser.add_argument("run", type=Path)
    parser.add_argument("simulation", type=Path)
    parser.add_argument("-n", type=int, default=102_400)
    parser.add_argument("--seed", type=int, default=5)
    options = parser.parse_args()
    system = System.load(options.system)
    generator, energy = BoltzmannGenerator.load(options.run, system), energy_for(system)
    ensemble = Ensemble.load(options.simulation, system)
    cold = int((ensemble.temperatures - system.temperature).abs().argmin())
    x = ensemble.x[ensemble.n_frames // 2 :, :, cold]
    walker = np.tile(np.arange(x.shape[1]), len(x))
    x = x.flatten(0, 1)
    phis = sorted(name for name in system.torsions if name.startswith("phi"))
    drawn = torch.cat([c.log_w for c in generator.sample_chunks(options.n, energy, seed=options.seed)])
    log_w, here = log_weights(generator, energy, x), pattern(x, system, phis).numpy()
    estimate, error = together(drawn.double().numpy(), log_w, walker)
    log_w -= estimate
    print(
        f"{len(log_w)} frames of {walker.max() + 1} walkers at {float(ensemble.temperatures[cold]):g} K, "
        f"{options.n} draws"
    )
    print(f"log Z {log_z(drawn)[0]:.3f} by the draws, {estimate:.3f} +- {error:.3f} by both")
    print(f"log w above 4: {100 * (log_w > 4).mean():.2f} %, above 10: {100 * (log_w > 10).mean():.2f} %")
    trained, at, known = options.run / STATE, np.zeros(0), np.zeros(0)
    if trained.exists() and _WALKERS in (state := read_tensors(trained)[1]):
        at = pattern(state[_WALKERS], system, phis).numpy()
        known = log_weights(generator, energy, state[_WALKERS]) - estimate
    print("phi > 0; % of the frames; walkers there; log w: median, 90 %; % above 4, above 10;")
    print("walkers of the training there, their largest log w")
    for code in sorted(set(here.tolist()), key=lambda code: -int((here == code).sum())):
        part, of_training = log_w[here == code], known[at == code]
        where = ", ".join(name for k, name in enumerate(phis) if code >> k & 1) or "none"
        largest = f"{of_training.max():6.1f}" if len(of_training) else ""
        print(
            f"{where:20} {100 * len(part) / len(log_w):6.2f} {len(np.unique(walker[here == code])):4d} "
            f"{np.median(part):6.1f} {np.quantile(part, 0.9):6.1f} {100 * (part > 4).mean():6.1f} "
            f"{100 * (part > 10).mean():6.1f} {len(of_training):5d} {largest}"
        )
    many, counts = np.unique(walker[log_w > 10], return_counts=True)
    print("log w above 10, frames by walker:", dict(zip(many.tolist(), counts.tolist(), strict=True)))


if __name__ == "__main__":
    main()
