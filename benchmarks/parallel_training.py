"""Training with several processes: steps per second, and what equal steps reach.

    python benchmarks/parallel_training.py [--system alanine_tetrapeptide] [--steps 10] [--repeats 3]
                                           [--layouts 1x1 2x1 1x2 1x1+1x1] [--batch 1024]
    python benchmarks/parallel_training.py --quality FOLDER [--system alanine_dipeptide] [--rounds 12]
                                           [--seeds 0 1 2] [--layouts 1x1 2x1]

A layout is PROCESSESxTHREADS; 1x1+1x1 are two trainings at once that know nothing of each other, and their
steps together: what the machine gives at most. **Speed**: the layouts take turns, repeat after repeat; in
each the generator goes through one round of so many steps that is not timed and one that is, with the
default walkers and steps of BATCH draws. Printed are steps per second, median and best, and how many times
those of the first layout they are. **Quality**: each layout trains from each seed for equal rounds, in
FOLDER; printed is the efficiency of 100,000 fresh draws. Finished runs are not repeated. Run either on an
idle machine.
"""

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from boltzgen.energy.base import CountedEnergy
from boltzgen.energy.choose import energy_for
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.molecule.system import System
from boltzgen.training.process_group import joined
from boltzgen.training.settings import Settings
from boltzgen.training.training_run import TrainingRun


def launched(layout: str, arguments: list[str]) -> str:
    """What Python prints on standard output, of arguments, with PROCESSESxTHREADS."""
    processes, threads = layout.split("x")
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", processes]
    command = [sys.executable, *torchrun, *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": threads}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
    return done.stdout


def rate(layout: str, worker: list[str]) -> float:
    """Steps per second of a layout; of several at once, together."""
    parts = layout.split("+")
    with ThreadPoolExecutor(len(parts)) as pool:
        found = pool.map(lambda part: json.loads(launched(part, worker).splitlines()[-1])["rate"], parts)
        return sum(found)


def time_steps(name: str, steps: int, batch: int) -> None:
    """Print the steps per second of this process and those it was started with."""
    system = System.load(name)
    with joined("cpu") as (ranks, _):
        energy = CountedEnergy(energy_for(system))
        generator = BoltzmannGenerator.for_system(system, energy, temperature=1200.0)
        # Walkers that move in a step, and no more: that they are placed costs the first round only.
        default = Settings()
        settings = dataclasses.replace(
            default, rounds=2, steps=steps, batch=batch, walkers=int(default.walker_share * batch)
        )
        run = TrainingRun(generator, energy, system.temperature, settings, seed=0, ranks=ranks)
        run.run_round()
        ranks.any(False)  # all begin together
        began = time.perf_counter()
        run.run_round()
        ranks.any(False)
        if ranks.is_writer:
            print(json.dumps({"rate": steps / (time.perf_counter() - began)}))


def speed(system: str, layouts: list[str], steps: int, repeats: int, batch: int) -> None:
    rates: dict[str, list[float]] = {layout: [] for layout in layouts}
    worker = [str(Path(__file__).resolve()), "--worker", "--system", system, "--steps", str(steps)]
    worker += ["--batch", str(batch)]
    for _ in range(repeats):
        for layout in layouts:
            rates[layout].append(rate(layout, worker))
    print(f"{system}: steps of {batch} draws per second, {repeats} repeats of {steps} steps")
    for layout, found in rates.items():
        ratios = [a / b for a, b in zip(found, rates[layouts[0]], strict=True)]
        print(
            f"{layout:>8}  median {statistics.median(found):.3f}  best {max(found):.3f}  "
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) times {layouts[0]}",
            flush=True,
        )


def quality(system: str, folder: Path, layouts: list[str], rounds: int, seeds: list[int]) -> None:
    print(f"{system}: efficiency of 100,000 draws after {rounds} rounds, % (unclipped, clipped, log Z)")
    for layout in layouts:
        found = []
        for seed in seeds:
            run = folder / f"{system}, {rounds} rounds, seed {seed}, {layout}"
            if not (run / "summary.json").exists():
                new = ["--seed", str(seed), "--rounds", str(rounds)]
                words = ["--resume"] if (run / "state.safetensors").exists() else new
                launched(layout, ["-m", "boltzgen", "train", system, "-o", str(run), *words])
            found.append(json.loads((run / "summary.json").read_text()))
            s = found[-1]
            efficiencies = (s["sampling_efficiency"], s["sampling_efficiency_clipped"])
            print(
                f"{layout:>6}  seed {seed}  " + "  ".join(f"{100 * e:.2f}" for e in efficiencies),
                f" {s['log_z']:.4f}  {s['seconds']:.0f} s",
                flush=True,
            )
        values = [100 * s["sampling_efficiency"] for s in found]
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        print(f"{layout:>6}  mean {statistics.mean(values):.2f}, standard deviation {spread:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--system")
    parser.add_argument("--layouts", nargs="+")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--batch", type=int, default=Settings().batch, help="draws of a step")
    parser.add_argument("--quality", type=Path, metavar="FOLDER")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        time_steps(args.system, args.steps, args.batch)
    elif args.quality is not None:
        layouts = args.layouts or ["1x1", "2x1"]
        quality(args.system or "alanine_dipeptide", args.quality, layouts, args.rounds, args.seeds)
    else:
        layouts = args.layouts or ["1x1", "2x1", "1x2", "1x1+1x1"]
        speed(args.system or "alanine_tetrapeptide", layouts, args.steps, args.repeats, args.batch)


if __name__ == "__main__":
    main()
