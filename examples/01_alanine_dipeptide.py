"""Sample alanine dipeptide from the shipped generator: weights, free energies, a Ramachandran plot.

python examples/01_alanine_dipeptide.py [--n 20000] [--out ramachandran.png]
"""

import argparse

from boltzgen import plot_ramachandran, units
from boltzgen.energy import ForceFieldEnergy
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.molecule.system import System


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--out", default="ramachandran.png")
    arguments = parser.parse_args()

    system = System.load("alanine_dipeptide")  # topology, OpenMM System, reference positions
    energy = ForceFieldEnergy(
        system, temperature=300.0
    )  # batched torch, compiled from the OpenMM System; u(x) in kT
    generator = BoltzmannGenerator.load(system.folder, system)  # internal coordinates + resampled base + flow
    samples = generator.sample(arguments.n, energy, seed=0)  # x, u, log_q, log_w

    log_z, error = samples.log_z
    print(
        f"{len(samples)} draws, {samples.effective_sample_size:.0f} effective "
        f"({100 * samples.sampling_efficiency:.1f} %)"
    )
    print(f"log Z = {log_z:.4f} +- {error:.4f}")
    for basin in samples.populations():
        print(
            f"{basin.name:6s} {100 * basin.population:7.3f} %  [{100 * basin.low:.3f}, "
            f"{100 * basin.high:.3f}]"
        )
    difference = samples.free_energy_difference("C7eq", "C7ax").times(units.kt(300.0))
    print(
        f"F(C7ax) - F(C7eq) = {difference.delta_f:.2f} kJ/mol, 95 % interval [{difference.low:.2f}, "
        f"{difference.high:.2f}]"
    )
    plot_ramachandran(samples).figure.savefig(arguments.out)


if __name__ == "__main__":
    main()
