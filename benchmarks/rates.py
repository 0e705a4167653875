"""How long a training step takes with acceptance rates estimated by few points, and by all.

    OMP_NUM_THREADS=1 python benchmarks/rates.py SYSTEM ... [--repeats 5]

"all" computes the acceptance rates of the resampled base by the full quadrature in each step and replay, as
densities outside of training do; "few" by half as many points to an axis at a random place, the default. Both
take turns in one process, three steps of 1,024 draws a turn, at the beginning of a training. Printed are
seconds a step, of the median turn, and how many steps "few" makes while "all" makes one, by medians and by
the fastest turns.
"""

import argparse
import logging
from functools import partial

from torch import Tensor, nn
from widths import print_ratio, seconds_a_step, training_run

from boltzgen.flow.acceptance_rate import AcceptanceRate
from boltzgen.flow.distribution import Distribution
from boltzgen.molecule.system import System

ALL, FEW = "all", "few"


def exact(rate: AcceptanceRate, proposal: Distribution, acceptance: nn.Module, _: object) -> Tensor:
    """log Z by all points, in place of an estimate."""
    found: Tensor = rate(proposal, acceptance)
    return found


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
        runs = {way: training_run(system, args.repeats) for way in (ALL, FEW)}
        for part in runs[ALL].generator.flow.modules():
            if isinstance(part, AcceptanceRate):
                part.estimate = partial(exact, part)  # type: ignore[method-assign]
        print_ratio(name, seconds_a_step(runs, args.repeats))


if __name__ == "__main__":
    main()
