"""Many draws of alanine dipeptide in shards, statistics only: memory, rate, and one population.

    python benchmarks/shards.py --draws 100000000 --shards 16 --processes 2
    python benchmarks/shards.py --quick

Each shard is `boltzgen sample --statistics-only --shard`, a process of one thread, so many at a time. Printed
are the rate, each shard's largest resident memory, the population of phi > 0 from the merged statistics, and,
for fewer draws, whether shards add up to the digits of one run.
"""

import argparse
import math
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from boltzgen.analysis.profiles import share_error
from boltzgen.statistics.estimates import Estimates
from boltzgen.statistics.file import load_statistics
from boltzgen.statistics.merge import merge
from boltzgen.statistics.statistics import Statistics

_THREADS = {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def draw(path: Path, n: int, seed: int, shard: str = "1/1") -> float:
    """Draw a shard in a process of its own; its peak of resident memory in MB."""
    command = [sys.executable, "-m", "boltzgen", "sample", "alanine_dipeptide", "-n", str(n)]
    command += ["--seed", str(seed), "--shard", shard, "--statistics-only", "-o", str(path), "--resume"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, **_THREADS})
    _, status, usage = os.wait4(process.pid, 0)
    if os.waitstatus_to_exitcode(status) != 0:
        raise RuntimeError(f"shard {shard} failed")
    return usage.ru_maxrss / 1000


def draw_shards(folder: Path, n: int, n_shards: int, n_processes: int, seed: int) -> list[float]:
    """Draw all shards and merge them into ``all.h5``; their peaks of memory."""
    shards = range(1, n_shards + 1)
    paths = [folder / f"part_{k}.h5" for k in shards]
    with ThreadPoolExecutor(n_processes) as pool:
        peaks = list(pool.map(lambda k: draw(paths[k - 1], n, seed, f"{k}/{n_shards}"), shards))
    found = merge(paths, folder / "all.h5", force=True)
    assert not found.missing, found.missing
    return peaks


def left_handed(statistics: Statistics) -> tuple[float, float]:
    """Population of phi > 0 and its standard error."""
    found, place = Estimates(statistics), statistics.plan.places["torsion", "phi"]
    held = statistics.cells.part(slice((place.start + place.stop) // 2, place.stop))
    p = held.weight.total().over(found.total)
    square, whole = (float(one.over(found.total, 2)[0]) for one in (held.square.total(), found.square))
    return float(p[0]), float(share_error(p, np.array([square]), whole)[0])


def same(a: Statistics, b: Statistics) -> bool:
    first, second = a.pack(), b.pack()
    return all(np.array_equal(first[name], second[name]) for name in first)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--draws", type=int, default=100_000_000)
    parser.add_argument("--shards", type=int, default=16)
    parser.add_argument("--processes", type=int, default=2, help="at a time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--compared", type=int, default=1_000_000, help="draws of the run beside its shards")
    parser.add_argument(
        "--folder", type=Path, help="keep the shards here, and go on with those that are there"
    )
    parser.add_argument("--quick", action="store_true", help="a few draws, to see that it works")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.draws, arguments.shards, arguments.compared = 40_000, 4, 10_000
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        small = Path(temporary) / "small"
        small.mkdir()
        peak = draw(small / "one.h5", arguments.compared, arguments.seed)
        draw_shards(small, arguments.compared, min(4, arguments.shards), arguments.processes, arguments.seed)
        equal = same(load_statistics(small / "one.h5"), load_statistics(small / "all.h5"))
        print(f"{arguments.compared:,} draws in shards are those of one run, to the last bit: {equal}")
        print(f"peak memory of that run: {peak:.0f} MB")
        start = time.perf_counter()
        peaks = draw_shards(folder, arguments.draws, arguments.shards, arguments.processes, arguments.seed)
        seconds = time.perf_counter() - start
        statistics = load_statistics(folder / "all.h5")
        size = (folder / "all.h5").stat().st_size / 1e6
        n = arguments.draws
        print(
            f"{n:,} draws, {arguments.shards} shards, {arguments.processes} at a time, seed {arguments.seed}"
        )
        print(f"{seconds:.0f} s, {n / seconds:,.0f} draws / s, start of the processes included")
        print(f"peak memory of a shard: {min(peaks):.0f} to {max(peaks):.0f} MB; merged file {size:.1f} MB")
        p, error = left_handed(statistics)
        relative = 100 * error / p if p else math.inf
        print(f"population of phi > 0: {100 * p:.4f} +- {100 * error:.4f} % ({relative:.2f} % relative)")
        print(f"sampling efficiency: {100 * Estimates(statistics).weights['sampling_efficiency']:.2f} %")
        if not equal:
            raise SystemExit("the shards are not those of one run")


if __name__ == "__main__":
    main()
