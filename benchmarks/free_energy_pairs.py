"""How often 95 % intervals of free-energy differences of two samplers hold the exact value.

    python benchmarks/free_energy_pairs.py [--draws 300 1000] [--repetitions 1000]

`independent`, -(ln Z_B - ln Z_A) of each sampler's own draws, for two Gaussian targets in one dimension, of
width 1 and 0.6. Each is drawn from a normal density that lies beside it by part of the target's width, and is
wider or narrower. The table has the coverage of all repetitions and of those without a warning; the
percentage of these ("quiet"); the mean of (estimate - exact) / error of the quiet ones and its standard
deviation ("score"); and the percentage of all repetitions that have no warning and miss ("misled").
"""

import argparse
import math
import time

import numpy as np
from free_energy_coverage import Tally
from scipy.stats import norm

from boltzgen.free_energy.hamiltonians import Draws, independent

#: Mean and width of the targets.
TARGETS = ((0.0, 1.0), (0.5, 0.6))
EXACT = -math.log(TARGETS[1][1] / TARGETS[0][1])
#: Of the two samplers: how far beside the target in its widths, and how wide in these.
PAIRS = {
    "near": ((0.1, 1.2), (-0.1, 1.2)),
    "half a width off": ((0.5, 1.0), (-0.5, 1.0)),
    "0.8 widths off": ((0.8, 1.0), (-0.8, 1.0)),
    "one width off": ((1.0, 1.0), (-1.0, 1.0)),
    "0.75 as wide": ((0.0, 0.75), (0.0, 0.75)),
}


def draws(source: int, beside: float, width: float, n: int, stream: np.random.Generator) -> Draws:
    """Draws of one sampler; the other sampler's density is not used."""
    mean, deviation = TARGETS[source]
    sampler = mean + beside * deviation, width * deviation
    x = stream.normal(*sampler, size=n)
    u = np.stack([((x - m) / s) ** 2 / 2 for m, s in TARGETS], 1)
    log_q = np.full((n, 2), -np.inf)
    log_q[:, source] = norm.logpdf(x, *sampler)
    return Draws(u, log_q, source)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--draws", type=int, nargs="+", default=[300, 1000])
    parser.add_argument("--repetitions", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    start = time.process_time()
    print("| samplers | draws of each | all | coverage | quiet | score | misled |")
    print("|---|---|---|---|---|---|---|")
    for name, pair in PAIRS.items():
        for n in options.draws:
            tally, hits = Tally(), 0
            for k in range(options.repetitions):
                stream = np.random.default_rng([options.seed, k])
                found = independent(*(draws(i, *sampler, n, stream) for i, sampler in enumerate(pair)))
                tally.add(found, EXACT)
                hits += found.low <= EXACT <= found.high
            covered = 100 * hits / options.repetitions
            print(f"| {name} | {n} | {covered:.1f} | {tally.row(options.repetitions)} |", flush=True)
    print(f"\n{options.repetitions} repetitions, seed {options.seed}, {time.process_time() - start:.0f} s")


if __name__ == "__main__":
    main()
