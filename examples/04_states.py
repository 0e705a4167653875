"""States of alanine tetrapeptide: found on the torus of its torsions, and of one's own.

python examples/04_states.py [--n 50000] [--out states.png]
"""

import argparse

from boltzgen import BoltzmannGenerator, ForceFieldEnergy, System, state_energies
from boltzgen.analysis.states_report import StatesReport


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=50_000)
    parser.add_argument("--out", default="states.png")
    arguments = parser.parse_args()

    system = System.load("alanine_tetrapeptide")
    energy = ForceFieldEnergy(system, temperature=300.0)
    samples = BoltzmannGenerator.load("alanine_tetrapeptide").sample(arguments.n, energy, seed=0)
    print(f"log Z = {samples.log_z}")

    found = state_energies(samples)  # this peptide has no basins of its own: wells of each (phi, psi)
    for row in found.rows[:5]:
        print(f"{row.name}: {row.population.value:.3f}, {row.free_energy.to('kJ/mol')} above the lowest")
    first, second = found.names[:2]
    difference = found.difference(first, second)  # any two, with a 95 % interval
    print(f"F({second}) - F({first}) = {difference}  [{difference.low:.3f}, {difference.high:.3f}]")
    halves = found.convergence(first, second).halves_apart
    print(f"the two halves of the draws differ by {halves:.1f} standard errors")
    StatesReport(found, unit="kJ/mol").figure("alanine tetrapeptide, 300 K").savefig(arguments.out)

    own = ["helix: phi3=-100..-30 psi3=-80..-5", "left: phi2 > 0 or phi3 > 0 or phi4 > 0", "rest: phi3 < 360"]
    for row in state_energies(samples, states=own).rows:
        print(f"{row.name}: {row.population.value:.3f} [{row.population.low:.3f}, {row.population.high:.3f}]")


if __name__ == "__main__":
    main()
