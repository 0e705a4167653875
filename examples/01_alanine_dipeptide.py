"""Sample alanine dipeptide from the shipped generator: weights, free energies, a Ramachandran plot.

python examples/01_alanine_dipeptide.py [--n 20000] [--out ramachandran.png]
"""

import argparse

from boltzgen import BoltzmannGenerator, ForceFieldEnergy, System, plot_ramachandran, radius_of_gyration
from boltzgen.units import kt


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=20_000)
    parser.add_argument("--out", default="ramachandran.png")
    arguments = parser.parse_args()

    system = System.load("alanine_dipeptide")  # topology, OpenMM System, reference positions
    energy = ForceFieldEnergy(system, temperature=300.0)  # batched torch, from the OpenMM System; u(x) in kT
    generator = BoltzmannGenerator.load("alanine_dipeptide")  # internal coordinates + resampled base + flow
    samples = generator.sample(arguments.n, energy, seed=0)  # x, u, log_q, log_w

    efficiency = 100 * samples.sampling_efficiency
    print(f"{len(samples)} draws, {samples.effective_sample_size:.0f} effective ({efficiency:.1f} %)")
    print(f"log Z = {samples.log_z}")
    print(f"radius of gyration = {samples.expectation(radius_of_gyration, unit='nm')}")
    print(f"probability of phi > 0 = {samples.expectation(lambda s: s.torsion('phi') > 0)}")
    for basin in samples.populations():
        print(basin)
    difference = samples.free_energy_difference("C7eq", "C7ax").times(kt(300.0))
    interval = f"95 % interval [{difference.low:.2f}, {difference.high:.2f}]"
    print(f"F(C7ax) - F(C7eq) = {difference.delta_f:.2f} kJ/mol, {interval}")
    plot_ramachandran(samples).figure.savefig(arguments.out)


if __name__ == "__main__":
    main()
