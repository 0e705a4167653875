"""How long a training step takes with the score as part of the draw, and by a pass back through the flow.

    OMP_NUM_THREADS=1 python benchmarks/scores.py SYSTEM ... [--repeats 5]

The path gradient needs d log q/dy at each draw. "back" computes it by differentiating `log_prob` there, as
any flow can; "with the draw" is `draw_with_score`, the default. Both take turns in one process, three steps
of 1,024 draws a turn, at the beginning of a training. Printed are seconds a step, of the median turn, and how
many steps "with the draw" makes while "back" makes one, by medians and by the fastest turns.
"""

import argparse
import logging
from functools import partial

from widths import print_ratio, seconds_a_step, training_run

from boltzgen.flow.distribution import Distribution
from boltzgen.molecule.system import System

BACK, DRAW = "back", "with the draw"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("systems", nargs="+", metavar="SYSTEM")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    # Rounds of three steps are too short to tell a divergence.
    logging.disable(logging.WARNING)
    for name in args.systems:
        system = System.load(name)
        runs = {way: training_run(system, args.repeats) for way in (BACK, DRAW)}
        rest = runs[BACK].generator.flow.conditional
        rest.draw_with_score = partial(Distribution.draw_with_score, rest)  # type: ignore[method-assign]
        print_ratio(name, seconds_a_step(runs, args.repeats))


if __name__ == "__main__":
    main()
