"""What a trained generator's efficiency would be with other shares of its broad components.

    python benchmarks/broad_shares.py SYSTEM RUN [-n 40960] [--seeds 5] [--torsions S ...] [--rest S ...]

No draws are made with these shares: for q with them and draws of the generator itself, w' = p/q', the
efficiency is (mean w)^2 / mean(w w'), and clipped the same with the largest 1e-4 of w' at the least of them.
Neither counts what training with another share would change. Printed for each two shares: the efficiency of
all sampling seeds together, clipped, of single seeds, and the largest w' in units of the mean weight.
"""

import argparse
import itertools
import math

import torch
from torch import Tensor

from boltzgen.energy.choose import energy_for
from boltzgen.flow.flow import Flow
from boltzgen.flow.mixture import DefensiveMixture
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.generator.target import PullbackEnergy
from boltzgen.molecule.system import System
from boltzgen.seeding import random_stream

_BATCH = 8192


def components(generator: BoltzmannGenerator, y: Tensor) -> tuple[Tensor, Tensor]:
    """Log-densities (n, 2) of the main and the broad component at y: of torsions, of the rest given them.

    Raises:
        ValueError: the generator has no broad components.
    """
    flow, rest = generator.flow, generator.flow.conditional
    leading, mixture = flow.leading, rest.base if isinstance(rest, Flow) else None
    if not (isinstance(leading, DefensiveMixture) and isinstance(mixture, DefensiveMixture)):
        raise ValueError("expected a generator with broad components, of three full torsions or more")
    t, r = y[:, : flow.n_leading], y[:, flow.n_leading :]
    context = flow.features(t)
    z, log_det = rest.transform.inverse(r, context)
    of_rest = (mixture.main.log_prob(z, context), mixture.broad.log_prob(z))
    return (
        torch.stack((leading.main.log_prob(t), leading.broad.log_prob(t)), 1).double(),
        (torch.stack(of_rest, 1) + log_det[:, None]).double(),
    )


def mixed(of: Tensor, share: float) -> Tensor:
    """Log-density of a mixture, of components' log-densities (n, 2)."""
    return torch.logaddexp(math.log1p(-share) + of[:, 0], math.log(share) + of[:, 1])


def efficiencies(log_w: Tensor, others: Tensor) -> tuple[float, float]:
    """Of log w' (n,) at draws of q, with log p/q there `log_w`: the efficiency, and clipped."""
    most = others.topk(max(1, len(others) // 10_000)).values[-1]
    clipped = others.clamp(max=most)
    # In a draw of q' there are q'/q = w/w' of those of q.
    times = (log_w - others).nan_to_num(-math.inf)
    plain = 2 * torch.logsumexp(log_w, 0) - torch.logsumexp(log_w + others, 0) - math.log(len(log_w))
    first, second = (torch.logsumexp(times + k * clipped, 0) for k in (1, 2))
    bounded = 2 * first - second - torch.logsumexp(times, 0)
    return float(plain.exp()), float(bounded.exp())


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("system")
    parser.add_argument("run")
    parser.add_argument("-n", type=int, default=40_960, help="draws for each sampling seed")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--torsions", type=float, nargs="+", default=[0.05, 0.1, 0.2])
    parser.add_argument("--rest", type=float, nargs="+", default=[0.02, 0.05, 0.1])
    options = parser.parse_args()
    system = System.load(options.system)
    generator = BoltzmannGenerator.load(options.run, system)
    target = PullbackEnergy(energy_for(system), generator.coordinates)
    drawn = []
    for seed in range(options.seeds):
        stream = random_stream("cpu", seed)
        for start in range(0, options.n, _BATCH):
            y, log_q, _ = generator.flow.draw((min(_BATCH, options.n - start),), generator=stream)
            log_w = -(log_q + target(y)).double()
            drawn.append((log_w, log_q.double(), *components(generator, y)))
    log_w, log_q, of_torsions, of_rest = (torch.cat(part) for part in zip(*drawn, strict=True))
    mean = float(torch.logsumexp(log_w, 0)) - math.log(len(log_w))
    for share, of_stiff in itertools.product(options.torsions, options.rest):
        others = log_w + log_q - mixed(of_torsions, share) - mixed(of_rest, of_stiff)
        all_together, clipped = efficiencies(log_w, others)
        pairs = zip(log_w.split(options.n), others.split(options.n), strict=True)
        single = [efficiencies(*pair)[0] for pair in pairs]
        print(
            f"torsions {share:.3f}  rest {of_stiff:.3f}  efficiency {100 * all_together:6.2f} %  clipped "
            f"{100 * clipped:6.2f} %  single seeds {100 * min(single):.1f} to {100 * max(single):.1f} %  "
            f"largest weight {math.exp(float(others.max()) - mean):8.1f} x mean"
        )


if __name__ == "__main__":
    main()
