"""Could the rest be fitted, if its torsions stood still? The rest trained further at one torsion at a time.

    python benchmarks/fixed_torsions.py SYSTEM [RUN] [--torsions 8] [--steps 300] [--batch 256]
                                        [--learning-rate 0.003] [--draws 2048] [--seed 0]

So many torsions t are chosen with probabilities p(t), by the weights of a generator's draws, the largest
clipped. At each, a copy of q(r | t), whose torsions never change, is trained on by the path gradient, with a
learning rate that falls by a cosine. Printed is the efficiency of fresh draws of r given t before and after.
Where it is high after and low before, the family of densities is rich enough at each t, and what is missing
is what networks make of t: more training, or networks that learn it from less.
"""

import argparse
import copy
import statistics

import torch
from torch import Tensor

from boltzgen.energy.choose import energy_for
from boltzgen.flow.flow import HierarchicalFlow
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.generator.target import PullbackEnergy
from boltzgen.molecule.system import System
from boltzgen.seeding import random_stream
from boltzgen.training.fit import AdaptiveClipping, ParameterAverage, fit
from boltzgen.training.losses import hierarchical_kl
from boltzgen.training.objective import FunctionObjective
from boltzgen.training.optimizer import MatrixOptimizer
from boltzgen.training.schedule import warmup_hold_cosine
from boltzgen.training.settings import Settings
from boltzgen.weights import clip_log_weights, normalized_weights, sampling_efficiency

_CANDIDATES = 4096


def log_weights(flow: HierarchicalFlow, target: PullbackEnergy, t: Tensor, seed: int) -> Tensor:
    """log p(t, r)/q(r | t) of one draw r for each t (n, n_leading), without a constant."""
    stream = random_stream("cpu", seed)
    r, log_q, *_ = flow.conditional.draw_with_score((len(t),), generator=stream, context=flow.features(t))
    return -(log_q.detach() + target.value_and_gradient(torch.cat((t, r.detach()), -1))[0]).double()


def chosen(flow: HierarchicalFlow, target: PullbackEnergy, n: int, seed: int) -> Tensor:
    """n torsions, with probabilities p(t)."""
    stream = random_stream("cpu", seed)
    with torch.no_grad():
        t, log_q, _ = flow.leading.draw((_CANDIDATES,), generator=stream)
    weights = normalized_weights(clip_log_weights(log_weights(flow, target, t, seed + 1) - log_q, 0.01))
    return t[torch.multinomial(weights, n, generator=stream)]


def trained(flow: HierarchicalFlow, target: PullbackEnergy, t: Tensor, options: argparse.Namespace) -> None:
    """Train the rest at one torsion (n_leading,)."""
    average = ParameterAverage(flow, Settings().average_decay)
    many, stream = t.expand(options.batch, -1), random_stream("cpu", options.seed + 2)
    fit(
        FunctionObjective(lambda _: hierarchical_kl(flow, target, many, generator=stream)[0]),
        MatrixOptimizer(flow.conditional, learning_rate=options.learning_rate),
        warmup_hold_cosine(options.steps, Settings().warmup, 0.0),
        range(options.steps),
        clipping=AdaptiveClipping({"rest": flow.conditional}, Settings().max_norm),
        average=average,
    )
    flow.load_state_dict(average.state)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("system")
    parser.add_argument("run", nargs="?")
    parser.add_argument("--torsions", type=int, default=8)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--learning-rate", type=float, default=3e-3)
    parser.add_argument("--draws", type=int, default=2048)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    system = System.load(options.system)
    generator = BoltzmannGenerator.load(options.run or system.folder, system)
    target = PullbackEnergy(energy_for(system), generator.coordinates)
    before: list[float] = []
    after: list[float] = []
    for t in chosen(generator.flow, target, options.torsions, options.seed):
        flow = copy.deepcopy(generator.flow)
        many = t.expand(options.draws, -1)
        before.append(sampling_efficiency(log_weights(flow, target, many, options.seed + 3)))
        trained(flow, target, t, options)
        after.append(sampling_efficiency(log_weights(flow, target, many, options.seed + 4)))
        print(
            f"rest given one t: {100 * before[-1]:5.1f} % before, {100 * after[-1]:5.1f} % after", flush=True
        )
    for label, found in (("before", before), ("after", after)):
        print(f"{label:>6}  median {100 * statistics.median(found):.1f} %, least {100 * min(found):.1f} %")


if __name__ == "__main__":
    main()
