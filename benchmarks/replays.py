"""How long a training step takes with replays of the torsions, and without.

    OMP_NUM_THREADS=1 python benchmarks/replays.py SYSTEM ... [--replays 0 1 2] [--repeats 5]

All numbers of replays take turns in one process, three steps of 1,024 draws a turn, at the beginning of a
training. Printed are seconds a step, of the median turn, and how many times as long as with the first number
that is, by medians and by the fastest turns. What replays are worth: `ablations.py`.
"""

import argparse
import dataclasses
import logging
import statistics

from widths import seconds_a_step, training_run

from boltzgen.molecule.system import System


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("systems", nargs="+", metavar="SYSTEM")
    parser.add_argument("--replays", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    # Rounds of three steps are too short to tell a divergence.
    logging.disable(logging.WARNING)
    for name in args.systems:
        system = System.load(name)
        runs = {n: training_run(system, args.repeats) for n in args.replays}
        for n, run in runs.items():
            run.task.settings = dataclasses.replace(run.task.settings, replays=n)
        found = seconds_a_step(runs, args.repeats)
        for n, seconds in found.items():
            median, least = (f(seconds) / f(found[args.replays[0]]) for f in (statistics.median, min))
            print(
                f"{name:24} {n:2} replays  {statistics.median(seconds):.3f} s  {median:.2f} times as long, "
                f"by the fastest turns {least:.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
