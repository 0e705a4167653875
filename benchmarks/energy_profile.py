"""Where the time of a batched T-FAB energy goes.

    python benchmarks/energy_profile.py [--batch 1024] [--threads 1] [--repeats 30]

Prints the minimum over the repeats, in microseconds a configuration, without and with the gradient: each
force alone in the compiled kernels (each time with the loading of positions, which the whole energy does
once), the whole energy by them, and the whole energy term by term in torch. Configurations are draws of the
shipped generator (seed 0), float32.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from boltzgen.energy import ForceFieldEnergy
from boltzgen.energy.compiled import CompiledTerms
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.molecule.system import System


def fastest(function: Callable[[], object], repeats: int) -> float:
    """Minimum wall time in s."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def report(name: str, function: Callable[..., object], x: Tensor, repeats: int) -> None:
    alone, both = (
        1e6 * fastest(partial(function, x, with_gradient=gradient), repeats) / len(x)
        for gradient in (False, True)
    )
    print(f"{name:24s} {alone:7.3f} {both:13.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=1024)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=30)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    system = System.load("alanine_dipeptide")
    energy = ForceFieldEnergy(system)
    x = BoltzmannGenerator.load(system.folder, system).sample(arguments.batch, energy, seed=0).x
    rows = {name: CompiledTerms([term], energy.pairs) for name, term in energy.terms.items()}
    rows |= {"no force": CompiledTerms([], energy.pairs), "whole energy": energy.compiled}
    print(f"{'us a configuration':24s} {'energy':>7s} {'and gradient':>13s}")
    for name, terms in rows.items():
        report(name, terms, x, arguments.repeats)
    report(
        "whole, term by term",
        partial(energy._by_terms, terms=list(energy.terms.values())),
        x,
        arguments.repeats,
    )
    print(
        f"batch {len(x)}, {arguments.threads} thread(s), float32, torch {torch.__version__}, minimum of "
        f"{arguments.repeats}"
    )


if __name__ == "__main__":
    main()
