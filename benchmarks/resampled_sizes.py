"""Drawing from the resampled bases of tables and images, beside the authors' sampler.

    python benchmarks/resampled_sizes.py [-n 50000] [--threads N] [--authors CHECKOUT] [--json FILE] [--quick]

CHECKOUT is the authors' resampled-base-flows, with normflows, pandas and pyyaml installed; without it only
this package is timed. Standard normals of as many coordinates as the models of `tabular.py` and `images.py`
have: one acceptance for a whole row of a table, one for each channel of a latent image. Networks are those of
the scripts with random weights of some contrast, T = 100, float32, each Z set to 0.1 by a bias. Both have the
same network and the same Z, draw without gradients and give log-densities. They take turns, repeat after
repeat; printed are the best and the median, and the time of the bare network on as many proposals as are
needed, in blocks of the same size.
"""

import argparse
import importlib
import json
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from boltzgen.flow.accept_reject import BLOCK
from boltzgen.flow.acceptance import Acceptance
from boltzgen.flow.acceptance_rate import FixedRate
from boltzgen.flow.elementary import StandardNormal
from boltzgen.flow.factorized_resampled import FactorizedResampled

RATE, TRUNCATION = 0.1, 100


@dataclass(frozen=True)
class Case:
    """`factors` blocks of `size` coordinates."""

    name: str
    size: int
    factors: int
    hidden: tuple[int, int]
    waves: int


CASES = [
    Case("POWER", 6, 1, (64, 64), 2),
    Case("diamonds", 7, 1, (64, 64), 2),
    Case("MINIBOONE", 43, 1, (64, 64), 2),
    Case("digits, a level of 2 x (4 x 4)", 16, 2, (32, 32), 1),
    Case("MNIST, a level of 8 x (7 x 7)", 49, 8, (32, 32), 1),
    Case("CIFAR-10, a level of 24 x (8 x 8)", 64, 24, (32, 32), 1),
]


@torch.no_grad()
def acceptance_of(case: Case) -> Acceptance:
    """With logits of a standard deviation of 2, and biases such that each Z is `RATE`."""
    torch.manual_seed(0)
    found = Acceptance(case.size, hidden=case.hidden, waves=case.waves, n_out=case.factors)
    z, last = torch.randn(8192, case.size), found.net.last

    def logits() -> Tensor:
        a = found(z).exp().double()
        return a.log() - torch.log1p(-a)

    last.bias.zero_()
    last.weight *= (2 / logits().std(0)).float().unsqueeze(1)
    without = logits()
    low, high = torch.full((case.factors,), -40.0), torch.full((case.factors,), 40.0)
    for _ in range(40):
        middle = (low + high) / 2
        above = torch.sigmoid(without + middle).mean(0) > RATE
        low, high = torch.where(above, low, middle), torch.where(above, middle, high)
    last.bias.copy_((low + high) / 2)
    return found


def authors_base(case: Case, acceptance: Acceptance, checkout: Path) -> Any:
    """Their base around our network; their files are read where they lie."""
    vars(np).setdefault("int", int)  # which they use, and numpy no longer has
    sys.path.insert(0, str(checkout))
    theirs = importlib.import_module("larsflow").distributions

    def chance(z: Tensor) -> Tensor:
        return acceptance(z.flatten(1)).exp()

    if case.factors == 1:
        found = theirs.ResampledGaussian(case.size, chance, TRUNCATION, 0.1, trainable=False)
        found.Z = torch.tensor(RATE)
    else:
        found = theirs.FactorizedResampledGaussian(
            (case.factors, case.size), chance, TRUNCATION, 0.1, group_dim=1, same_dist=False
        )
        found.Z = torch.full((case.factors,), RATE)
    return found.eval()


@torch.no_grad()
def measure(case: Case, blocks: int, repeats: int, checkout: Path | None) -> dict[str, Any]:
    """Seconds of every repeat for so many blocks, and what they need."""
    acceptance = acceptance_of(case)
    proposal, n = StandardNormal(case.size), max(1, blocks // case.factors)
    rate = FixedRate(torch.full((case.factors,), RATE).log())
    ours = FactorizedResampled(proposal, acceptance, case.factors, truncation=TRUNCATION, rate=rate)
    needed = round(n * case.factors * float(ours.resampled.expected_proposals()[0]))
    z = proposal.sample((min(BLOCK, needed),))

    def bare() -> None:
        for left in range(needed, 0, -len(z)):
            acceptance(z[: min(left, len(z))])

    ways: dict[str, Callable[[], Any]] = {
        "bare network": bare,
        "boltzgen": lambda: ours.sample_and_log_prob((n,)),
    }
    if checkout is not None:
        theirs = authors_base(case, acceptance, checkout)
        ways["authors'"] = lambda: theirs(n)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            begin = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - begin)
    return {"case": case.name, "n": n, "needed": needed, "seconds": seconds}


def table(results: list[dict[str, Any]]) -> str:
    lines = [
        "| base | draws | way | s, best | median | ratio to boltzgen, best | median |",
        "|---|---|---|---|---|---|---|",
    ]
    for r in results:
        ours = r["seconds"]["boltzgen"]
        for name, values in r["seconds"].items():
            best, median = min(values), statistics.median(values)
            lines.append(
                f"| {r['case']} | {r['n']} | {name} | {best:.3f} | {median:.3f} | {best / min(ours):.2f} | "
                f"{median / statistics.median(ours):.2f} |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-n", type=int, default=50_000, help="blocks to draw, of all factors together")
    parser.add_argument("--threads", type=int, help="of torch")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--authors", type=Path, help="a checkout of the authors' code, to run beside ours")
    parser.add_argument("--json", type=Path, help="where to write every figure")
    parser.add_argument("--quick", action="store_true", help="a few draws: does it run?")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    n, repeats = (200, 1) if options.quick else (options.n, options.repeats)
    results = [measure(case, n, repeats, options.authors) for case in CASES]
    print(table(results))
    if options.json:
        options.json.write_text(json.dumps(results))


if __name__ == "__main__":
    main()
