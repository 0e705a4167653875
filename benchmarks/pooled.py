"""The sampling efficiency of a generator over many draws and several sampling seeds, clipped and unclipped,
with its interval.

    python benchmarks/pooled.py SYSTEM [RUN] [-n 204800] [--seeds 25] [--json FILE]

Rare draws of large weight decide the efficiency where they exist: one seed may miss them all. Printed are
each seed's figures, their range, and those of all draws together: efficiency with a 95 % bootstrap interval
over blocks of 2,048 draws, clipped at the top 1e-4 of weights, log Z, the largest weight in units of the
mean, and draws per second.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from boltzgen.energy.base import Energy
from boltzgen.energy.choose import energy_for
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.molecule.system import System
from boltzgen.samples.shards import BLOCK
from boltzgen.weights import clip_log_weights, largest_weight_share, log_z, sampling_efficiency


def figures(log_w: torch.Tensor) -> dict[str, float]:
    estimate, error = log_z(log_w)
    return {
        "efficiency": sampling_efficiency(log_w),
        "clipped": sampling_efficiency(clip_log_weights(log_w)),
        "largest": largest_weight_share(log_w) * len(log_w),
        "log_z": estimate,
        "log_z_error": error,
    }


def interval(log_w: torch.Tensor, n_replicates: int = 2000) -> tuple[float, float]:
    """95 % percentile interval of the efficiency, blocks of draws resampled with replacement."""
    blocks = torch.exp(log_w - log_w.max()).view(-1, BLOCK)
    sums, squares = blocks.sum(1).numpy(), blocks.square().sum(1).numpy()
    counts = np.random.default_rng(0).multinomial(
        len(sums), np.full(len(sums), 1 / len(sums)), size=n_replicates
    )
    low, high = np.quantile((counts @ sums) ** 2 / (counts @ squares) / log_w.numel(), (0.025, 0.975))
    return float(low), float(high)


def pooled(
    generator: BoltzmannGenerator, energy: Energy, n: int, n_seeds: int, *, show: bool = True
) -> dict[str, Any]:
    """Figures of n draws for each sampling seed and of all of them together."""
    began, parts, rows = time.perf_counter(), [], []
    for seed in range(n_seeds):
        parts.append(torch.cat([chunk.log_w for chunk in generator.sample_chunks(n, energy, seed=seed)]))
        rows.append(figures(parts[-1]))
        if show:
            print(line(f"seed {seed}", n, rows[-1]), flush=True)
    seconds = time.perf_counter() - began
    every = torch.cat(parts)
    low, high = interval(every)
    return figures(every) | {
        "low": low,
        "high": high,
        "n": len(every),
        "seconds": seconds,
        "seeds": rows,
    }


def forward_of(summary: dict[str, Any]) -> dict[str, Any]:
    """What tables show of the forward test in a run's summary; empty where it was not run."""
    keys = ("forward_ess", "largest_log_w", "verdict")
    return {key: summary["forward"][key] for key in keys} if "forward" in summary else {}


def draws_cells(found: dict[str, Any]) -> list[str]:
    """Efficiency of all draws, the range of single seeds, and clipped, in percent, for a table."""
    single = [100 * seed["efficiency"] for seed in found["seeds"]]
    efficiency, clipped = (f"{100 * found[key]:.1f}" for key in ("efficiency", "clipped"))
    return [efficiency, f"{min(single):.1f} to {max(single):.1f}", clipped]


def forward_cells(forward: dict[str, Any]) -> list[str]:
    """Forward ESS in percent, largest log w and verdict, for a table."""
    if not forward:
        return ["", "", "not run"]
    return [f"{100 * forward['forward_ess']:.1f}", f"{forward['largest_log_w']:.1f}", forward["verdict"]]


def line(name: str, n: int, found: dict[str, float]) -> str:
    return (
        f"{name:8s} n = {n:8d}  efficiency {100 * found['efficiency']:6.2f} %  clipped "
        f"{100 * found['clipped']:6.2f} %  "
        f"largest weight {found['largest']:8.1f} x mean  log Z {found['log_z']:.5f} +- "
        f"{found['log_z_error']:.5f}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("system")
    parser.add_argument("run", nargs="?")
    parser.add_argument("-n", type=int, default=204_800, help="draws for each seed, in whole blocks of 2,048")
    parser.add_argument("--seeds", type=int, default=25)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    n = -(-options.n // BLOCK) * BLOCK
    system = System.load(options.system)
    generator, energy = BoltzmannGenerator.load(options.run or system.folder, system), energy_for(system)
    found = pooled(generator, energy, n, options.seeds)
    print(line("all", found["n"], found))
    efficiencies = [row["efficiency"] for row in found["seeds"]]
    print(
        f"efficiency {100 * found['low']:.1f} to {100 * found['high']:.1f} % (95 % interval); of single "
        f"seeds {100 * min(efficiencies):.1f} to {100 * max(efficiencies):.1f} %"
    )
    print(
        f"{found['n'] / found['seconds']:.0f} draws a second with their energies, "
        f"{torch.get_num_threads()} threads"
    )
    if options.json is not None:
        options.json.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
