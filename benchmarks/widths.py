"""How long a training step takes with networks of several widths for the stiff coordinates.

    OMP_NUM_THREADS=1 python benchmarks/widths.py SYSTEM ... [--widths 256 128 64] [--repeats 5]
                                                             [--covariance near whole]

All widths, with each kind of covariance (see `molecular_flow`), take turns in one process, three steps of
1,024 draws a turn, at the beginning of a training. Printed are seconds a step, of the median turn, and how
many steps each makes while the first makes one, by medians and by the fastest turns.
"""

import argparse
import dataclasses
import logging
import statistics
import time
from collections.abc import Hashable
from typing import Any, TypeVar

from boltzgen.energy.base import CountedEnergy
from boltzgen.energy.choose import energy_for
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.molecule.system import System
from boltzgen.training.settings import Settings
from boltzgen.training.training_run import TrainingRun

STEPS = 3

Key = TypeVar("Key", bound=Hashable)


def training_run(system: System, repeats: int, **flow: Any) -> TrainingRun:
    """The beginning of a training, of rounds of `STEPS`, with options of `molecular_flow`."""
    energy = CountedEnergy(energy_for(system))
    settings = dataclasses.replace(Settings(), rounds=10 * repeats, steps=STEPS, walkers=256)
    generator = BoltzmannGenerator.for_system(system, energy, temperature=settings.start_temperature, **flow)
    return TrainingRun(generator, energy, system.temperature, settings, seed=0)


def seconds_a_step(runs: dict[Key, TrainingRun], repeats: int) -> dict[Key, list[float]]:
    """Of each of the turns that trainings take; the first of each is not counted."""
    taken: dict[Key, list[float]] = {key: [] for key in runs}
    for _ in range(1 + repeats):
        for key, run in runs.items():
            began = time.perf_counter()
            run.run_round()
            taken[key].append((time.perf_counter() - began) / STEPS)
    return {key: found[1:] for key, found in taken.items()}


def print_ratio(name: str, found: dict[str, list[float]]) -> None:
    """Seconds a step of two ways, and how many times as fast the second is."""
    for way, seconds in found.items():
        print(f"{name:24} {way:14} {statistics.median(seconds):.3f} s")
    before, now = found.values()
    median, least = (f(before) / f(now) for f in (statistics.median, min))
    print(f"{name:24} {median:.2f} times as fast, by the fastest turns {least:.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("systems", nargs="+", metavar="SYSTEM")
    parser.add_argument("--widths", nargs="+", type=int, default=[256, 128, 64])
    parser.add_argument("--covariance", nargs="+", choices=["near", "whole"], default=["near"])
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    # Rounds of three steps are too short to tell a divergence.
    logging.disable(logging.WARNING)
    for name in args.systems:
        system = System.load(name)
        runs = {
            (width, covariance): training_run(system, args.repeats, stiff_width=width, covariance=covariance)
            for width in args.widths
            for covariance in args.covariance
        }
        found = seconds_a_step(runs, args.repeats)
        first = next(iter(found.values()))
        for (width, covariance), seconds in found.items():
            median, least = (f(first) / f(seconds) for f in (statistics.median, min))
            print(
                f"{name:24} width {width:4}  {covariance:5}  {statistics.median(seconds):.3f} s  "
                f"{median:.2f} times, by the fastest turns {least:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
