"""Potentials of mean force of alanine dipeptide: along phi, along an expression, and over (phi, psi).

python examples/05_pmf.py [--n 50000] [--out pmf.png]
"""

import argparse
import tempfile
from pathlib import Path

from boltzgen import BoltzmannGenerator, ForceFieldEnergy, System, radius_of_gyration
from boltzgen.analysis.pmf_report import pmf_report
from boltzgen.samples.writer import SamplesWriter


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=50_000)
    parser.add_argument("--out", default="pmf.png")
    arguments = parser.parse_args()

    system = System.load("alanine_dipeptide")
    energy = ForceFieldEnergy(system, temperature=300.0)
    samples = BoltzmannGenerator.load("alanine_dipeptide").sample(arguments.n, energy, seed=0)
    print(f"log Z = {samples.log_z}")

    # From samples in memory: names of torsions (in radians), or functions of the samples.
    by_size = samples.pmf(radius_of_gyration, temperature=300.0)
    print(f"F at a radius of gyration of 0.3 nm = {by_size.at(0.30).to('kJ/mol')}")
    smooth = samples.kernel_pmf("phi", temperature=300.0)
    print(f"bandwidth along phi: {smooth.bandwidths[0]:.3f} radians" if smooth.bandwidths else "")

    # From a file, in chunks, along anything that a text names; with minima, convergence and a picture.
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "samples.h5"
        with SamplesWriter(file, system, 300.0) as writer:
            writer.write(samples)
        report = pmf_report(file, ["phi"], unit="kJ/mol")
        report.figure("alanine dipeptide, 300 K").savefig(arguments.out)
        for along in (["phi"], ["phi", "psi"], ["cos(phi) + cos(psi)"]):
            found = pmf_report(file, along, unit="kJ/mol")
            for point in found.minima[:3]:
                place = ", ".join(f"{v:.4g}" for v in point)
                print(f"minimum of F({', '.join(along)}) at {place}: {found.at(*point)}")


if __name__ == "__main__":
    main()
