"""Free-energy difference of two trained generators by every estimator, and what it costs.

    python benchmarks/free_energy_differences.py A B [-n 100000] [--seeds 3] [--quick]

A and B are shipped names or folders of runs. Printed is one line of JSON for each seed, with F_B - F_A in kT
by each estimator and its error, warnings, seconds and energies; then the scatter over the seeds beside the
mean error. The free energies of A and B alone, U and -T S, and their changes come with it.
"""

import argparse
import json
import time
from typing import Any

import numpy as np
import torch

from boltzgen.energy import energy_for
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.thermodynamics.absolute import absolute, change
from boltzgen.thermodynamics.hamiltonians import METHODS, HamiltonianDifference


def measured(a: BoltzmannGenerator, b: BoltzmannGenerator, n: int, seed: int) -> dict[str, Any]:
    """All estimates from n draws of each."""
    energies = energy_for(a.system, 300.0), energy_for(b.system, 300.0)
    began = time.perf_counter()
    drawn = HamiltonianDifference.draw(a, b, n, energies=energies, seed=seed)
    row: dict[str, Any] = {"seed": seed, "n": n, "energies": 6 * n}
    row["seconds"] = round(time.perf_counter() - began, 1)
    for name, found in drawn.estimates().items():
        row[name] = [round(found.value, 4), round(found.error, 4), len(found.warnings)]
    states = [
        absolute(g.sample(n, u, seed=1000 + seed), g.system, 300.0)
        for g, u in zip((a, b), energies, strict=True)
    ]
    for label, state in zip(("A", "B", "change"), (*states, change(states[1], states[0])), strict=True):
        row[label] = {
            name: [round(r.value, 4), round(r.error, 4)]
            for name, r in (("F", state.free_energy), ("U", state.energy), ("-TS", state.minus_ts))
        }
    return row


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("start")
    parser.add_argument("end")
    parser.add_argument("-n", type=int, default=100_000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    a, b = (BoltzmannGenerator.load(name) for name in (arguments.start, arguments.end))
    n, seeds = (4096, 1) if arguments.quick else (arguments.n, arguments.seeds)
    rows = [measured(a, b, n, seed) for seed in range(seeds)]
    for row in rows:
        print(json.dumps(row))
    for name in METHODS:
        values, errors, _ = np.array([row[name] for row in rows]).T
        scatter = values.std(ddof=1) if len(rows) > 1 else float("nan")
        print(f"{name:18s} {values.mean():9.4f}  scatter {scatter:.4f}  error of one {errors.mean():.4f}")


if __name__ == "__main__":
    main()
