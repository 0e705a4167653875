"""Training with several processes: steps per second, and what equal steps reach.

    python benchmarks/parallel_training.py [--system alanine_tetrapeptide] [--processes 2] [--steps 10]
                                           [--repeats 7] [--batch 1024]
    python benchmarks/parallel_training.py --quality FOLDER [--system alanine_dipeptide] [--processes 2]
                                           [--rounds 12] [--seeds 0 1 2]

**Speed**: so many processes of one thread, started once, take turns: one of them trains, with one thread or
with as many as there are processes; all train one generator together; or each trains one of its own, which is
what the machine gives at most. A turn is a round of so many steps of BATCH draws; turns follow each other
within seconds, as the speed of a machine may change within minutes. Printed are steps per second, and how
many times those of one process's turn of the same repeat they are. **Quality**: one process and several train
from each seed for equal rounds, in FOLDER; printed is the efficiency of 100,000 fresh draws. Finished runs
are not repeated. Run either on an idle machine.
"""

import argparse
import dataclasses
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

from boltzgen.energy.base import CountedEnergy
from boltzgen.energy.choose import energy_for
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.molecule.system import System
from boltzgen.training.process_group import joined
from boltzgen.training.ranks import ALONE, Ranks
from boltzgen.training.settings import Settings
from boltzgen.training.training_run import TrainingRun


def launched(processes: int, arguments: list[str]) -> str:
    """What so many processes of Python, of one thread each, print on standard output."""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *torchrun, *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
    return done.stdout


def turns(name: str, steps: int, repeats: int, batch: int) -> None:
    """Print the steps per second of each way, by repeats: of this process and those it was started with."""
    system = System.load(name)
    with joined("cpu") as (ranks, _):
        # Walkers that move in a step, and no more.
        default = Settings()
        settings = dataclasses.replace(
            default,
            rounds=3 * repeats + 1,
            steps=steps,
            batch=batch,
            walkers=int(default.walker_share * batch),
        )

        def begun(ranks: Ranks) -> TrainingRun:
            energy = CountedEnergy(energy_for(system))
            generator = BoltzmannGenerator.for_system(system, energy, temperature=1200.0)
            run = TrainingRun(generator, energy, system.temperature, settings, seed=0, ranks=ranks)
            run.run_round()
            return run

        apart, together = begun(ALONE), begun(ranks)
        n, rates = ranks.size, {}
        for _ in range(repeats):
            for way in ("one", "together", "threads", "apart"):
                run = together if way == "together" else apart
                torch.set_num_threads(n if way == "threads" else 1)
                ranks.any(False)  # all begin at once
                began = time.perf_counter()
                if ranks.is_writer or way in ("together", "apart"):
                    run.run_round()
                ranks.any(False)
                taken = steps * (n if way == "apart" else 1)
                rates.setdefault(way, []).append(taken / (time.perf_counter() - began))
        if ranks.is_writer:
            print(json.dumps(rates))


def speed(system: str, processes: int, steps: int, repeats: int, batch: int) -> None:
    worker = [str(Path(__file__).resolve()), "--worker", "--system", system, "--steps", str(steps)]
    worker += ["--batch", str(batch), "--repeats", str(repeats)]
    rates = json.loads(launched(processes, worker).splitlines()[-1])
    print(f"{system}: steps of {batch} draws per second, {repeats} repeats of {steps} steps")
    names = {
        "one": "one process of one thread",
        "together": f"{processes} processes of one thread",
        "threads": f"one process of {processes} threads",
        "apart": f"{processes} trainings at once, together",
    }
    for way, name in names.items():
        ratios = [a / b for a, b in zip(rates[way], rates["one"], strict=True)]
        print(
            f"{name:>30}  median {statistics.median(rates[way]):.3f}  best {max(rates[way]):.3f}  "
            f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) times one process"
        )


def quality(system: str, folder: Path, processes: int, rounds: int, seeds: list[int]) -> None:
    print(f"{system}: efficiency of 100,000 draws after {rounds} rounds, % (unclipped, clipped, log Z)")
    for n in (1, processes):
        found = []
        for seed in seeds:
            run = folder / f"{system}, {rounds} rounds, seed {seed}, {n}"
            if not (run / "summary.json").exists():
                new = ["--seed", str(seed), "--rounds", str(rounds)]
                words = ["--resume"] if (run / "state.safetensors").exists() else new
                launched(n, ["-m", "boltzgen", "train", system, "-o", str(run), *words])
            found.append(json.loads((run / "summary.json").read_text()))
            s = found[-1]
            efficiencies = (s["sampling_efficiency"], s["sampling_efficiency_clipped"])
            print(
                f"processes: {n}  seed {seed}  " + "  ".join(f"{100 * e:.2f}" for e in efficiencies),
                f" {s['log_z']:.4f}  {s['seconds']:.0f} s",
                flush=True,
            )
        values = [100 * s["sampling_efficiency"] for s in found]
        spread = statistics.stdev(values) if len(values) > 1 else 0.0
        print(f"processes: {n}  mean {statistics.mean(values):.2f}, standard deviation {spread:.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--system")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--batch", type=int, default=Settings().batch, help="draws of a step")
    parser.add_argument("--quality", type=Path, metavar="FOLDER")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    system = args.system or ("alanine_tetrapeptide" if args.quality is None else "alanine_dipeptide")
    if args.worker:
        turns(system, args.steps, args.repeats, args.batch)
    elif args.quality is not None:
        quality(system, args.quality, args.processes, args.rounds, args.seeds)
    else:
        speed(system, args.processes, args.steps, args.repeats, args.batch)


if __name__ == "__main__":
    main()
