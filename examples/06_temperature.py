"""Alanine dipeptide from 280 to 400 K, by reweighting draws that were made for one temperature.

python examples/06_temperature.py [--n 50000] [--out temperature.png]
"""

import argparse
import tempfile
from pathlib import Path

from boltzgen import BoltzmannGenerator, ForceFieldEnergy, System
from boltzgen.analysis.temperature_report import temperature_report
from boltzgen.samples.writer import SamplesWriter


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=50_000)
    parser.add_argument("--out", default="temperature.png")
    arguments = parser.parse_args()

    system = System.load("alanine_dipeptide")
    energy = ForceFieldEnergy(system, temperature=300.0)
    samples = BoltzmannGenerator.load("alanine_dipeptide").sample(arguments.n, energy, seed=0)
    print(f"log Z = {samples.log_z}")

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "samples.h5"
        with SamplesWriter(file, system, 300.0) as writer:
            writer.write(samples)
        report = temperature_report(
            file, range(280, 401, 20), states=["left: phi=0..120", "right: phi=120..360"], unit="kJ/mol"
        )
    for point in report.points:
        found = report.results(point)
        mark = "" if point.is_trusted else "  (doubtful)"
        print(
            f"{point.temperature:g} K: F {found['free_energy']}, U {found['energy']}, "
            f"left-handed {100 * found['left'].value:.3f} %{mark}".replace("\n", " ")
        )
    print(f"to be trusted, in K: {report.trusted}")
    report.figure("alanine dipeptide, drawn at 300 K").savefig(arguments.out)


if __name__ == "__main__":
    main()
