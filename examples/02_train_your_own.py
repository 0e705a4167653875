"""Train a generator from energies alone, look at its rounds, and sample from it.

    python examples/02_train_your_own.py [--quick]

`--quick` only shows the mechanics: a few seconds of training give a poor generator, whose weights are exact
nevertheless.
"""

import argparse
import tempfile
from pathlib import Path

from boltzgen import BoltzmannGenerator, ForceFieldEnergy, System, train
from boltzgen.training.settings import Settings


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    settings = Settings(rounds=2, steps=5, batch=256) if arguments.quick else Settings()

    system = System.load("alanine_dipeptide")
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        summary = train(
            system,
            run,
            seed=0,
            settings=settings,
            progress=lambda p: print(f"\r{100 * p.fraction:3.0f} % {p.stage:45s}", end=""),
        )
        print(
            f"\n{summary['n_energy_evaluations']} energies in {summary['seconds']:.0f} s: efficiency "
            f"{100 * summary['sampling_efficiency']:.2f} %"
        )
        samples = BoltzmannGenerator.load(run).sample(4096, ForceFieldEnergy(system), seed=1)
        print(f"log Z = {samples.log_z}")


if __name__ == "__main__":
    main()
