"""What makes a generator thin where the forward test finds it so: the torsions, the rest, or its couplings.

    python benchmarks/thin_places.py SYSTEM RUN [--seed 0] [--inner 3000]

The forward test of `boltzgen evaluate --forward` is run. For each of its worst conformations, one a
simulation: log p/q in units of the mean weight; its part from the torsions t, log p(t)/q(t), and from the
rest, log p(r|t)/q(r|t), with p(t) from draws of the rest given t; the log of the density of the triangular
layer's Gaussian, without couplings, over q(r|t); the largest of its coordinates there, in standard
deviations; and named torsions in degrees.
"""

import argparse
import math

import torch

from boltzgen.energy.choose import energy_for
from boltzgen.flow.mixture import DefensiveMixture
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.generator.target import PullbackEnergy
from boltzgen.molecule.system import System
from boltzgen.seeding import random_stream
from boltzgen.simulation.forward import forward_test


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("system")
    parser.add_argument("run")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--inner", type=int, default=3000)
    options = parser.parse_args()
    system = System.load(options.system)
    generator, energy = BoltzmannGenerator.load(options.run, system), energy_for(system)
    test = forward_test(generator, energy, seed=options.seed)
    summary = test.summary()
    print({k: v for k, v in summary.items() if k != "worst"})
    flow, coordinates = generator.flow, generator.coordinates
    target, stream = PullbackEnergy(energy, coordinates), random_stream("cpu", options.seed)
    transform = flow.conditional.transform
    affine = transform if isinstance(flow.conditional.base, DefensiveMixture) else transform.transforms[-1]
    y = coordinates.inverse(coordinates.canonical(test.x.double()))[0].float()
    for row, here in zip(summary["worst"], y, strict=True):
        t, r = here[: flow.n_leading], here[flow.n_leading :]
        many = t.expand(options.inner, -1)
        rest, log_rest, _ = flow.conditional.draw(
            (options.inner,), generator=stream, context=flow.features(many)
        )
        inner = -(log_rest + target(torch.cat((many, rest), -1))).double()
        log_p = -target(here).double() - torch.logsumexp(inner, 0) + math.log(options.inner)  # of r given t
        context = flow.features(t)
        log_q = flow.conditional.log_prob(r, context)
        of_rest = float(log_p - log_q)
        z, log_det = affine.inverse(r, context)
        gaussian = -0.5 * z.square().sum() - 0.5 * len(z) * math.log(2 * math.pi) + log_det
        print(
            f"log w {row['log_w']:6.2f}  torsions {row['log_w'] - of_rest:6.2f}  rest {of_rest:6.2f}  "
            f"Gaussian {float(gaussian - log_q):6.2f}  largest {float(z.abs().max()):4.1f}  {row['torsions']}"
        )


if __name__ == "__main__":
    main()
