"""Train alanine dipeptide with the default settings but a uniform base on (phi, psi): the acceptance replaced by a constant.

    python benchmarks/train_uniform_base.py RUN [--seed 0]

Compare the run with a default one by benchmarks/compare_runs.py.
"""

import argparse
import json
from pathlib import Path

from boltzgen.system import System
from boltzgen.train.run import train


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    summary = train(System.load("alanine_dipeptide"), arguments.run, seed=arguments.seed, resampled=False)
    print(json.dumps({k: v for k, v in summary.items() if k != "settings"}, indent=1))


if __name__ == "__main__":
    main()
