"""The free energy of taking alanine dipeptide from vacuum into implicit solvent, by every estimator.

Each Hamiltonian needs a generator. That of the solvent ships; that of vacuum is trained here, which takes
minutes. `--quick` only shows the mechanics: a few seconds of training give a poor generator, and the
estimates say that they are not to be trusted.

python examples/07_difference.py [--rounds 12] [--n 20000] [--quick] [--out difference.png]
"""

import argparse
import shutil
import tempfile
from pathlib import Path

from boltzgen import BoltzmannGenerator, System, train
from boltzgen.analysis.free_energy_figures import free_energy_figure
from boltzgen.thermodynamics.convergence import hamiltonian_convergence
from boltzgen.thermodynamics.hamiltonians import HamiltonianDifference
from boltzgen.training.settings import Settings


def vacuum_at_300_kelvin(folder: Path) -> System:
    """The shipped system in vacuum, whose own temperature is 1000 K."""
    shipped = System.load("alanine_dipeptide_vacuum").folder
    assert shipped is not None
    shutil.copytree(shipped, folder)
    file = folder / "system.toml"
    file.write_text(file.read_text().replace("temperature = 1000.0", "temperature = 300.0"))
    return System.load(folder)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--out", default="difference.png")
    arguments = parser.parse_args()
    settings = (
        Settings(rounds=2, steps=5, batch=256) if arguments.quick else Settings(rounds=arguments.rounds)
    )
    n = 512 if arguments.quick else arguments.n

    with tempfile.TemporaryDirectory() as temporary:
        vacuum, run = vacuum_at_300_kelvin(Path(temporary) / "vacuum"), Path(temporary) / "run"
        summary = train(vacuum, run, seed=0, settings=settings)
        print(f"trained in vacuum: efficiency {100 * summary['sampling_efficiency']:.2f} %")
        a, b = BoltzmannGenerator.load(run), BoltzmannGenerator.load("alanine_dipeptide")
        found = HamiltonianDifference.draw(a, b, n, seed=0)

    for name, result in found.estimates().items():
        trusted = "" if result.is_trusted else "  (doubtful)"
        print(f"{name:17s} {result.value:9.3f} [{result.low:9.3f}, {result.high:9.3f}] kT{trusted}")
    best = found.mixture()
    print(f"log Z = {-best.value:.3f} larger in solvent: F falls by {best.to('kcal/mol')}")
    curves = {"mixture": hamiltonian_convergence(found)}
    free_energy_figure(found.estimates(), curves, label="ΔF / kT").savefig(arguments.out)


if __name__ == "__main__":
    main()
