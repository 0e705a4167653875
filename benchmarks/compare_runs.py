"""Sample several trained generators of alanine dipeptide and compare them: efficiency, log Z, basins, what
the base does, and draws a second.

    python benchmarks/compare_runs.py alanine_dipeptide RUN ... [-n 100000] [--seeds 0 1 2]

Each argument is a shipped system's name or a run folder. Prints for each generator and seed the efficiency,
log Z and the (phi, psi) of the largest weights; for each generator (seeds pooled) the basin populations with
95 % intervals and, where its base is resampled, the acceptance rate Z, the proposals per draw and the
standard deviation of log a under the model; then log Z and basins against those of the first one. At the
end all draw in turn, nine times 20,480 draws with their energies: draws a second, and ratios to the first
one's.
"""

import argparse
import itertools
from functools import partial
from pathlib import Path
from statistics import median

import torch
from flow import turns

from boltzgen.energy import CountedEnergy, ForceFieldEnergy
from boltzgen.flow.elementary import Product
from boltzgen.flow.resampled import Resampled
from boltzgen.free_energy.result import Result, difference
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.molecule.system import System
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.weights import clip_log_weights, largest_weight_share, sampling_efficiency, with_error

#: Draws of each turn when they are timed.
TIMED = 20_480


def load(system: System, source: str) -> BoltzmannGenerator:
    folder = Path(source) if Path(source).is_dir() else system.folder
    assert folder is not None
    return BoltzmannGenerator.load(folder, system)


@torch.no_grad()
def describe_base(generator: BoltzmannGenerator) -> str:
    base = generator.flow.leading.base
    resampled = [f for f in base.factors if isinstance(f, Resampled)] if isinstance(base, Product) else []
    if not resampled:
        return "uniform base"
    (factor,) = resampled
    z = factor.sample((100_000,), generator=torch.Generator().manual_seed(0))
    log_a = factor.acceptance(z)
    rate, proposals = float(factor.log_acceptance_rate().exp()), float(factor.expected_proposals())
    return (
        f"resampled base: Z = {rate:.4f}, {proposals:.2f} proposals per draw, std of log a under the model "
        f"{float(log_a.std()):.3f}"
    )


def largest_weights(samples: WeightedSamples) -> str:
    """Shares of the five largest weights and the torsions, in degrees, of their configurations."""
    share = torch.softmax(samples.log_w.double(), 0)
    top = share.topk(5).indices
    phi, psi = (torch.rad2deg(torch.as_tensor(samples.torsion(name)))[top] for name in ("phi", "psi"))
    return "largest weights: " + ", ".join(
        f"{100 * share[i]:.4f} % at ({a:.0f}, {b:.0f})" for i, a, b in zip(top, phi, psi, strict=True)
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sources", nargs="+")
    parser.add_argument("-n", type=int, default=100_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    arguments = parser.parse_args()
    system = System.load("alanine_dipeptide")
    energy = CountedEnergy(ForceFieldEnergy(system))
    pooled, generators = {}, {}
    for source in arguments.sources:
        generator = generators[source] = load(system, source)
        print(f"\n{source} (training seed {generator.seed}): {describe_base(generator)}")
        runs = [generator.sample(arguments.n, energy, seed=seed) for seed in arguments.seeds]
        for seed, samples in zip(arguments.seeds, runs, strict=True):
            clipped = sampling_efficiency(clip_log_weights(samples.log_w))
            print(
                f"  seed {seed}, n = {arguments.n}: efficiency {100 * samples.sampling_efficiency:.2f} %, "
                f"clipped {100 * clipped:.2f} %, "
                f"largest weight {100 * largest_weight_share(samples.log_w):.3f} %, log Z "
                f"{with_error(samples.log_z.value, samples.log_z.error)}, "
                f"{int((samples.torsion('phi') > 0).sum())} draws at phi > 0"
            )
            print(f"    {largest_weights(samples)}")
        for (a, first), (b, second) in itertools.combinations(zip(arguments.seeds, runs, strict=True), 2):
            print(f"  log Z of seeds {a}, {b}: z = {z_score(first.log_z, second.log_z):+.2f}")
        pooled[source] = WeightedSamples.concatenate(runs)
        print(f"  all seeds: efficiency {100 * pooled[source].sampling_efficiency:.2f} %")
        for basin in pooled[source].populations():
            print(f"    {basin}  {basin.n_raw} draws")
    first, *others = arguments.sources
    for other in others:
        print(
            f"\n{first} against {other}: log Z z = {z_score(pooled[first].log_z, pooled[other].log_z):+.2f}"
        )
        for a, b in zip(pooled[first].populations(), pooled[other].populations(), strict=True):
            if None in (a.low, b.low):
                verdict = "are not estimated"
            else:
                verdict = "overlap" if max(a.low, b.low) <= min(a.high, b.high) else "DO NOT OVERLAP"
            print(f"    {a.name:6s} intervals {verdict}")
    times = turns({source: partial(g.sample, TIMED, energy) for source, g in generators.items()}, 9)
    print(f"\nin turn, {TIMED} draws with their energies, 9 times:")
    for source, seconds in times.items():
        print(
            f"  {source}: {TIMED / median(seconds):.0f} draws a second; ratio to {first}'s by medians "
            f"{median(times[first]) / median(seconds):.3f}, by minima {min(times[first]) / min(seconds):.3f}"
        )
    print(f"\n{energy.n_evaluations} energies, {torch.get_num_threads()} threads, float32")


def z_score(a: Result, b: Result) -> float:
    found = difference(a, b)
    return found.value / found.error


if __name__ == "__main__":
    main()
