"""What annealed importance sampling from a generator to its target gains, and what it costs.

    python benchmarks/refine.py SYSTEM [RUN] [--steps 1 2 4 8] [-n 4096] [--seeds 5] [--temperature K]
                                [--json FILE]

For each number of moves K, draws of all seeds together: their effective share, clipped and unclipped, and
the range of single seeds; effective draws per energy and per second, and those of the same draws without
moves; the largest weight in units of the mean; the share of phi > 0, the mean over residues; log Z. Numbers
of moves take turns, seed by seed.
"""

import argparse
import json
import math
from pathlib import Path
from typing import Any

import torch

from boltzgen.energy.base import CountedEnergy
from boltzgen.energy.choose import energy_for
from boltzgen.generator.annealed_importance import Refinement
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.geometry import dihedrals
from boltzgen.molecule.graph import backbone_pairs
from boltzgen.molecule.system import System
from boltzgen.samples.shards import BLOCK
from boltzgen.weights import clip_log_weights, largest_weight_share, log_z, sampling_efficiency


def positive_phi(system: System, x: torch.Tensor) -> torch.Tensor:
    """Share of residues at phi > 0 of each conformation, (n,); NaN where no residue has phi and psi."""
    names = [phi for phi, _ in backbone_pairs(system.torsions)]
    if not names:
        return torch.full((len(x),), math.nan)
    return torch.stack([dihedrals(x, system.torsions[name]) > 0 for name in names]).double().mean(0)


def figures(log_w: torch.Tensor, positive: torch.Tensor, n_energies: int, seconds: float) -> dict[str, Any]:
    estimate, error = log_z(log_w)
    size = sampling_efficiency(log_w) * len(log_w)
    return {
        "n": len(log_w),
        "share": size / len(log_w),
        "clipped": sampling_efficiency(clip_log_weights(log_w)),
        "per_energy": size / n_energies,
        "per_second": size / seconds,
        "largest": largest_weight_share(log_w) * len(log_w),
        "phi_positive": float((torch.softmax(log_w, 0) * positive).sum()),
        "log_z": estimate,
        "log_z_error": error,
    }


def line(steps: int, found: dict[str, Any]) -> str:
    low, high = found["range"]
    return (
        f"K = {steps:3d}  effective {100 * found['share']:6.2f} % ({100 * low:.2f} to {100 * high:.2f})  "
        f"clipped {100 * found['clipped']:6.2f} %  per energy {found['per_energy']:.3g}  per second "
        f"{found['per_second']:.4g}  largest {found['largest']:.1f} x mean  phi > 0 "
        f"{100 * found['phi_positive']:.3f} %  log Z {found['log_z']:.4f} +- {found['log_z_error']:.4f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("system")
    parser.add_argument("run", nargs="?")
    parser.add_argument("--steps", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("-n", type=int, default=4096, help="draws for each seed, in whole blocks of 2,048")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--temperature", type=float)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    n = -(-options.n // BLOCK) * BLOCK
    system = System.load(options.system)
    generator = BoltzmannGenerator.load(options.run or system.folder, system, unfinished=True)
    energy = energy_for(system, options.temperature or system.temperature)
    generator.sample(1, energy, seed=999)  # kernels are compiled
    drawn: dict[int, list[tuple[torch.Tensor, torch.Tensor]]] = {k: [] for k in (0, *options.steps)}
    spent = dict.fromkeys(drawn, 0)
    seconds = dict.fromkeys(drawn, 0.0)
    for seed in range(options.seeds):
        for steps in options.steps:
            refinement, counted = Refinement(steps), CountedEnergy(energy)
            samples = generator.sample(n, counted, seed=seed, refine=refinement)
            drawn[steps].append((samples.log_w, positive_phi(system, samples.x)))
            spent[steps] += counted.n_evaluations
            seconds[steps] += refinement.plain_seconds + refinement.seconds
            if steps == options.steps[0]:
                seconds[0] += refinement.plain_seconds
        plain = generator.sample(n, energy, seed=seed)
        drawn[0].append((plain.log_w, positive_phi(system, plain.x)))
        spent[0] += n
    rows = {}
    for steps, parts in drawn.items():
        log_w, positive = (torch.cat(columns) for columns in zip(*parts, strict=True))
        shares = [sampling_efficiency(part) for part, _ in parts]
        found = figures(log_w, positive, spent[steps], seconds[steps]) | {"range": (min(shares), max(shares))}
        rows[steps] = found
        print(line(steps, found), flush=True)
    print(f"{options.seeds} seeds of {n} draws, {torch.get_num_threads()} threads")
    if options.json is not None:
        options.json.write_text(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
