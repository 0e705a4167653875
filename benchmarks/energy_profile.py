"""Where the time of a batched T-FAB energy goes, term by term.

    python benchmarks/energy_profile.py [--batch 1024] [--threads 1] [--repeats 30]

Prints the minimum over the repeats, in microseconds a configuration: each term with the distances at hand, and the whole energy without
and with its gradient. Configurations are draws of the shipped generator (seed 0), float32.
"""

import argparse
import time
from collections.abc import Callable

import torch

from boltzgen.energy import ForceFieldEnergy
from boltzgen.generator import BoltzmannGenerator
from boltzgen.system import System


def fastest(function: Callable[[], object], repeats: int) -> float:
    """Minimum wall time in s."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=30)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    system = System.load("alanine_dipeptide")
    energy = ForceFieldEnergy(system)
    x = BoltzmannGenerator.load(system.folder, system).sample(arguments.batch, energy, seed=0).x
    leaf = x.clone().requires_grad_()
    rows: dict[str, Callable[[], object]] = {}
    with torch.no_grad():
        geometry = energy._geometry(x)
        for name, term in energy.terms.items():
            rows[name] = lambda term=term: term(geometry)
        rows["whole energy"] = lambda: energy(x)
        for name, function in rows.items():
            print(f"{name:24s} {1e6 * fastest(function, arguments.repeats) / len(x):7.2f} us")
    whole = fastest(lambda: torch.autograd.grad(energy(leaf).sum(), leaf), arguments.repeats)
    print(f"{'energy and forces':24s} {1e6 * whole / len(x):7.2f} us")
    print(f"batch {len(x)}, {arguments.threads} thread(s), float32, torch {torch.__version__}, minimum of {arguments.repeats}")


if __name__ == "__main__":
    main()
