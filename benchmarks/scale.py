"""What a training step costs by its batch, what a message costs, and what follows for many processes.

    python benchmarks/scale.py [--system alanine_tetrapeptide] [--steps 10] [--repeats 3]
                               [--latency 5e-5] [--bandwidth 1.25e9]
    python benchmarks/scale.py --batches FOLDER [--system alanine_dipeptide] [--draws 614400] [--seeds 0]

**Scale**: one process of one thread takes steps of 1024, 512, ... draws, in turns; two processes add up
vectors as long as the flow's gradients. Printed are both, and steps per second of R processes from

    t(R) = t(batch / R) + 2 ceil(log2 R) latency + 2 (R - 1) / R * bytes / bandwidth

(a tree's messages and a ring's bytes; by default 50 microseconds and 10 Gbit/s, a cluster's Ethernet), with t
linear between the batches that were timed, for 1024 draws in all, and for 1024 of each process. **Batches**:
which batch can be had without losing efficiency: trainings of equal draws in steps of 512 to 8192, each from
each seed, in FOLDER; printed is the efficiency of the 100,000 draws of the summary. Finished runs are not
repeated. Run either on an idle machine.
"""

import argparse
import dataclasses
import json
import math
import statistics
import time
from pathlib import Path

import numpy as np
import torch
from parallel_training import launched

from boltzgen.energy.base import CountedEnergy
from boltzgen.energy.choose import energy_for
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.molecule.system import System
from boltzgen.training.process_group import joined
from boltzgen.training.run import train
from boltzgen.training.settings import Settings
from boltzgen.training.training_run import TrainingRun

BATCHES = (1024, 512, 256, 128, 64, 32, 16)
RANKS = (1, 2, 8, 64, 512)
STEPS_OF = (512, 1024, 2048, 4096, 8192)


def seconds_per_step(system: System, batches: tuple[int, ...], steps: int, repeats: int) -> dict[int, float]:
    """Median seconds of a step by its batch, with walkers as by default."""
    torch.set_num_threads(1)
    runs = {}
    for batch in batches:
        energy = CountedEnergy(energy_for(system))
        generator = BoltzmannGenerator.for_system(system, energy, temperature=1200.0)
        share = Settings().walker_share
        settings = Settings(rounds=repeats + 1, steps=steps, batch=batch, walkers=int(share * batch))
        runs[batch] = TrainingRun(generator, energy, system.temperature, settings, seed=0)
        runs[batch].run_round()
    times: dict[int, list[float]] = {batch: [] for batch in batches}
    for _ in range(repeats):
        for batch, run in runs.items():
            began = time.perf_counter()
            run.run_round()
            times[batch].append((time.perf_counter() - began) / steps)
    return {batch: statistics.median(found) for batch, found in times.items()}


def time_messages(n: int, repeats: int = 30) -> None:
    """Print the seconds of adding up n numbers of all processes, median and least."""
    with joined("cpu") as (ranks, _):
        vector, times = torch.ones(n), []
        for _ in range(repeats):
            ranks.any(False)
            began = time.perf_counter()
            ranks.total(vector)
            times.append(time.perf_counter() - began)
        if ranks.is_writer:
            print(json.dumps({"median": statistics.median(times), "least": min(times)}))


def message(ranks: int, size: float, latency: float, bandwidth: float) -> float:
    """Seconds of adding up so many bytes of each of so many processes."""
    if ranks == 1:
        return 0.0
    return 2 * math.ceil(math.log2(ranks)) * latency + 2 * (ranks - 1) / ranks * size / bandwidth


def scale(system: System, options: argparse.Namespace) -> None:
    found = seconds_per_step(system, BATCHES, options.steps, options.repeats)
    energy = CountedEnergy(energy_for(system))
    flow = BoltzmannGenerator.for_system(system, energy, temperature=1200.0).flow
    n = sum(p.numel() for p in flow.parameters())
    print(f"{system.name}: one process, one thread")
    print("draws of a step   ms   draws / s")
    for batch, seconds in found.items():
        print(f"{batch:15d} {1e3 * seconds:6.1f} {batch / seconds:9.0f}")
    told = json.loads(launched(2, [str(Path(__file__).resolve()), "--messages", str(n)]))
    size = 4.0 * n
    print(
        f"adding up {n:,} numbers of two processes here: median {1e3 * told['median']:.1f} ms, "
        f"least {1e3 * told['least']:.1f} ms"
    )
    batches = np.array(sorted(found))
    seconds = np.array([found[batch] for batch in batches])
    print(
        f"with {1e6 * options.latency:.0f} microseconds a message and {8e-9 * options.bandwidth:g} Gbit/s, "
        "on paper:"
    )
    print("processes   message ms   1024 draws in all: steps/s, times   1024 draws of each: draws/s, times")
    alone = found[1024]
    for ranks in RANKS:
        sent = message(ranks, size, options.latency, options.bandwidth)
        # Below the least batch that was timed, a step costs what that one does.
        strong = float(np.interp(1024 / ranks, batches, seconds)) + sent
        weak = alone + sent
        print(
            f"{ranks:9d} {1e3 * sent:12.1f} {1 / strong:25.2f} {alone / strong:8.1f} "
            f"{1024 * ranks / weak:26.0f} {ranks * alone / weak:8.1f}"
        )


def compare_batches(system: System, options: argparse.Namespace) -> None:
    print(f"{system.name}: {options.draws:,} draws to train on, efficiency of 100,000 fresh ones in %")
    default = Settings()
    for batch in STEPS_OF:
        rounds = max(1, round(options.draws / (default.steps * batch)))
        cells = []
        for seed in options.seeds:
            folder = options.batches / f"{system.name}-{batch}-{seed}"
            if not (folder / "summary.json").exists():
                settings = dataclasses.replace(default, batch=batch, rounds=rounds)
                train(
                    system,
                    folder,
                    seed=seed,
                    settings=settings,
                    resume=(folder / "state.safetensors").exists(),
                )
            summary = json.loads((folder / "summary.json").read_text())
            cells.append(
                f"{100 * summary['sampling_efficiency']:.2f} (clipped "
                f"{100 * summary['sampling_efficiency_clipped']:.2f}, {summary['seconds']:.0f} s, "
                f"{summary['n_energy_evaluations']:,} energies)"
            )
        print(f"steps of {batch}, {rounds} rounds: {'; '.join(cells)}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--system")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--latency", type=float, default=5e-5)
    parser.add_argument("--bandwidth", type=float, default=1.25e9)
    parser.add_argument("--batches", type=Path)
    parser.add_argument("--draws", type=int, default=614_400)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--messages", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.messages is not None:
        time_messages(options.messages)
    elif options.batches is not None:
        compare_batches(System.load(options.system or "alanine_dipeptide"), options)
    else:
        scale(System.load(options.system or "alanine_tetrapeptide"), options)


if __name__ == "__main__":
    main()
