"""Alanine dipeptide: the profile of phi beside the shipped simulation, state functions at other temperatures.

    python benchmarks/free_energy_dipeptide.py [-n 100000] [--seed 0]

Draws of the shipped generator at 300 K, and the histogram of phi in its reference (replica exchange).
Differences are in the combined standard errors; the reference's is that of its effective number of
configurations.
"""

import argparse
import math

import numpy as np

from boltzgen import BoltzmannGenerator, ForceFieldEnergy, System
from boltzgen.evaluation.reference import Reference
from boltzgen.free_energy.means import expectation
from boltzgen.free_energy.pmf import Pmf
from boltzgen.free_energy.temperature import trusted_range

TEMPERATURES = [240.0, 260.0, 280.0, 300.0, 320.0, 340.0, 360.0, 380.0, 400.0]
#: Bins that hold more than this share count as well populated.
_LARGE = 0.01


def compare(name: str, found: Pmf, p: np.ndarray, n_effective: float) -> None:
    """Print how a profile differs from shares p (n_bins,) of the reference."""
    n = len(p)
    q, error = (np.ravel(v) * 2 * math.pi / n for v in (found.density, found.error))
    used = (p > 0) & (q > 0) & (np.ravel(found.low) > 0)
    difference = np.log(p[used] / q[used])
    z = difference / np.sqrt((error[used] / q[used]) ** 2 + (1 - p[used]) / p[used] / n_effective)
    large = np.abs(difference[p[used] > _LARGE]).max()
    print(
        f"{name}: {used.sum()} of {n} bins, mean square {np.square(z).mean():.2f}, "
        f"largest {np.abs(z).max():.1f} errors, at most {large:.3f} kT where p > {_LARGE}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("-n", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    system = System.load("alanine_dipeptide")
    energy = ForceFieldEnergy(system, temperature=300.0)
    samples = BoltzmannGenerator.load("alanine_dipeptide").sample(options.n, energy, seed=options.seed)
    reference = Reference.load(system.folder / "reference.h5", system)
    surface = min(reference.surfaces, key=lambda s: len(s.probability))
    p = surface.probability.sum(1)
    compare("histogram", samples.pmf("phi", n_bins=len(p)), p, surface.n_effective)
    compare("kernel", samples.kernel_pmf("phi", n_points=len(p)), p, surface.n_effective)
    simulated = expectation(reference.u, np.zeros(len(reference.u)))
    print(f"U: {samples.energy()}; of the simulation's frames, as if independent, {simulated}")
    points = samples.at_temperatures(300.0, TEMPERATURES)
    print("| T (K) | effective draws | k-hat | F (kJ/mol) | U (kJ/mol) | heat capacity / k | trusted |")
    for point in points:
        found = [point.free_energy.to("kJ/mol"), point.energy.to("kJ/mol"), point.heat_capacity]
        cells = [str(result).split("\n")[0] for result in found]
        known = [name for name, result in zip(("F", "U", "C"), found, strict=True) if not result.warnings]
        trusted = "yes" if point.is_trusted else ", ".join(known) or "no"
        print(
            f"| {point.temperature:g} | {point.n_effective:,.0f} | {point.k_hat:.2f} | {' | '.join(cells)} | "
            f"{trusted} |"
        )
    print("trusted:", trusted_range(points, 300.0))


if __name__ == "__main__":
    main()
