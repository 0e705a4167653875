"""Draws of alanine dipeptide by the workers of a Dask cluster on one machine: rates, and killed workers.

    python benchmarks/cluster_sampling.py --draws 1000000 --workers 1 2 3 --killed 30 --during 10000000
    python benchmarks/cluster_sampling.py --quick

One process of one thread and each number of workers, of one thread each, take turns; their start and their
first task, which loads the generator, are left out. Printed are draws per second, and how many times those
of the one process in the same repeat they are. Then workers are killed at random moments while statistics are
drawn, which are compared with those that nothing disturbed.
"""

import argparse
import os
import random
import signal
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from boltzgen.cluster.connect import connected
from boltzgen.cluster.recipe import Recipe
from boltzgen.cluster.sampling import draw_statistics
from boltzgen.energy.choose import energy_for
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.samples.shards import BLOCK
from boltzgen.statistics.file import load_statistics
from boltzgen.statistics.writer import StatisticsWriter


def writer(path: Path, generator: BoltzmannGenerator, n: int) -> StatisticsWriter:
    return StatisticsWriter(
        path, generator.system, 300.0, n=n, seed=0, generator=generator.digest, force=True
    )


def recipe_of(generator: BoltzmannGenerator, n: int) -> Recipe:
    return Recipe("alanine_dipeptide", generator.digest, 300.0, seed=0, n=n)


def alone(path: Path, generator: BoltzmannGenerator, n: int) -> float:
    """Draws per second of this process, with one thread."""
    energy = energy_for(generator.system, 300.0)
    list(generator.sample_chunks(BLOCK, energy))
    start = time.perf_counter()
    with writer(path, generator, n) as held:
        for chunk in generator.sample_chunks(n, energy, seed=0):
            held.write(chunk)
    return n / (time.perf_counter() - start)


def by_workers(path: Path, generator: BoltzmannGenerator, n: int, workers: int) -> float:
    """Draws per second of so many workers."""
    recipe = recipe_of(generator, n)
    with connected(workers=workers) as client:
        client.run(recipe.statistics, (0, BLOCK))
        start = time.perf_counter()
        with writer(path, generator, n) as held:
            draw_statistics(client, recipe, generator, held, lambda _: None)
        return n / (time.perf_counter() - start)


def with_kills(
    path: Path, generator: BoltzmannGenerator, n: int, n_kills: int, every: float
) -> tuple[int, float]:
    """Draw while workers are killed; how many were, and the seconds that it took."""
    chance, killed, ended = random.Random(0), [], threading.Event()
    with connected(workers=2) as client:

        def kill() -> None:
            while len(killed) < n_kills and not ended.wait(chance.uniform(0.0, 2 * every)):
                found: dict[str, Any] = client.run(os.getpid, on_error="ignore")
                if pids := [pid for pid in found.values() if isinstance(pid, int)]:
                    os.kill(chance.choice(pids), signal.SIGKILL)
                    killed.append(1)

        thread = threading.Thread(target=kill, daemon=True)
        start = time.perf_counter()
        thread.start()
        with writer(path, generator, n) as held:
            draw_statistics(client, recipe_of(generator, n), generator, held, lambda _: None)
        ended.set()
        thread.join()
        return len(killed), time.perf_counter() - start


def same(first: Path, second: Path) -> bool:
    a, b = (load_statistics(path).pack() for path in (first, second))
    return all(np.array_equal(a[name], b[name]) for name in a if name != "draws")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--draws", type=int, default=1_000_000, help="of each rate")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--killed", type=int, default=30)
    parser.add_argument("--during", type=int, default=10_000_000, help="draws meanwhile")
    parser.add_argument(
        "--every", type=float, default=15.0, help="seconds from a kill to the next, on average"
    )
    parser.add_argument("--quick", action="store_true", help="a few draws, to see that it works")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.draws, arguments.workers, arguments.every, arguments.repeats = 65_536, [2], 0.5, 1
        arguments.killed, arguments.during = 2, 65_536
    torch.set_num_threads(1)
    generator = BoltzmannGenerator.load("alanine_dipeptide")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        rates: dict[int, list[float]] = {n: [] for n in (0, *arguments.workers)}
        for _ in range(arguments.repeats):
            rates[0].append(alone(folder / "alone.h5", generator, arguments.draws))
            for workers in arguments.workers:
                found = by_workers(folder / "workers.h5", generator, arguments.draws, workers)
                rates[workers].append(found)
                if not same(folder / "alone.h5", folder / "workers.h5"):
                    raise SystemExit(f"the draws of {workers} workers are not those of one process")
        print(f"{arguments.draws:,} draws, seed 0, {arguments.repeats} repeats; all draws are the same")
        for workers, found in rates.items():
            ratios = [a / b for a, b in zip(found, rates[0], strict=True)]
            print(
                f"{f'{workers} workers' if workers else 'one process':>12}  "
                f"{statistics.median(found):,.0f} draws / s, "
                f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) times one"
            )
        if not arguments.killed:
            return
        killed, seconds = with_kills(
            folder / "killed.h5", generator, arguments.during, arguments.killed, arguments.every
        )
        by_workers(folder / "undisturbed.h5", generator, arguments.during, 2)
        equal = same(folder / "killed.h5", folder / "undisturbed.h5")
        print(
            f"{killed} workers killed during {arguments.during:,} draws ({seconds:.0f} s); identical: {equal}"
        )
        if not equal:
            raise SystemExit("the draws are not the same")


if __name__ == "__main__":
    main()
