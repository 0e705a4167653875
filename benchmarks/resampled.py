"""Drawing from a resampled base, beside the bare time of its acceptances and glasflow's `ResampledGaussian`.

    pip install glasflow    # or '.[benchmarks]'; left out where it cannot be imported
    python benchmarks/resampled.py [-n 100000] [--threads N] [--widths 64 256] [--repeats 5] [--json FILE]
        [--quick]

glasflow has the sampler of the base's authors.

A standard normal in two dimensions, an acceptance network 2-WIDTH-WIDTH-1 whose rate is set to Z = 0.1 by its
last bias, T = 100, float32. The bare time is that of the same network on as many proposals as the sampler
expects to judge, n (1 - (1 - Z)^T) / Z, in blocks of the same size, and nothing else. glasflow's has the same
weights, and draws without gradients, its rate known (in training mode it also adds up Z). The three take
turns, repeat after repeat. Printed are the best and the median of the repeats and the ratios.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from boltzgen.flow.accept_reject import BLOCK, accept_reject
from boltzgen.flow.acceptance import Acceptance
from boltzgen.flow.acceptance_rate import Quadrature
from boltzgen.flow.elementary import StandardNormal
from boltzgen.flow.resampled import Resampled

RATE, TRUNCATION = 0.1, 100


def base(width: int) -> Resampled:
    """With a random network of some contrast, and its last bias such that Z is `RATE`."""
    torch.manual_seed(0)
    acceptance = Acceptance(2, hidden=(width, width), waves=0)
    last = acceptance.net.last
    with torch.no_grad():
        last.weight.mul_(2 / (acceptance.net(StandardNormal(2).sample((1000,))).std()))
        found = Resampled(StandardNormal(2), acceptance, truncation=TRUNCATION, rate=Quadrature(128))
        low, high = -20.0, 20.0
        for _ in range(40):
            last.bias.fill_((low + high) / 2)
            low, high = (
                (low, (low + high) / 2)
                if float(found.log_acceptance_rate().exp()) > RATE
                else ((low + high) / 2, high)
            )
    return found


def glasflow_base(ours: Resampled) -> Any:
    """Their class around our network; None if it cannot be imported."""
    try:
        from glasflow.distributions.resampled import ResampledGaussian
    except ImportError:
        return None

    def acceptance(z: Tensor) -> Tensor:
        return ours.acceptance(z).exp().unsqueeze(-1)  # type: ignore[no-any-return]

    theirs = ResampledGaussian(2, acceptance, truncation=TRUNCATION)
    theirs.eval()
    theirs.norm = ours.log_acceptance_rate().detach().exp()
    return theirs


@torch.no_grad()
def measure(width: int, n: int, repeats: int) -> dict[str, Any]:
    """Seconds of every repeat, and what was counted."""
    ours = base(width)
    theirs = glasflow_base(ours)
    needed = round(n * float(ours.expected_proposals()))
    z = StandardNormal(2).sample((BLOCK,))
    *_, judged = accept_reject(
        lambda m: ours.proposal.sample((m,)), ours.acceptance, n, truncation=TRUNCATION
    )

    def bare() -> None:
        for left in range(needed, 0, -BLOCK):
            ours.acceptance(z[: min(left, BLOCK)])

    ways: dict[str, Callable[[], Any]] = {"bare evaluations": bare, "boltzgen": lambda: ours.sample((n,))}
    if theirs is not None:
        ways["glasflow"] = lambda: theirs.sample(n)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(repeats):
        for name, way in ways.items():
            begin = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - begin)
    rate = float(ours.log_acceptance_rate().exp())
    return {
        "width": width,
        "n": n,
        "acceptance_rate": rate,
        "needed": needed,
        "judged": judged,
        "seconds": seconds,
    }


def table(results: list[dict[str, Any]]) -> str:
    lines = [
        "| network | way | s for the draws, best | median | ratio to bare, best | median |",
        "|---|---|---|---|---|---|",
    ]
    for r in results:
        bare = r["seconds"]["bare evaluations"]
        for name, values in r["seconds"].items():
            best, median = min(values), statistics.median(values)
            ratios = (best / min(bare), median / statistics.median(bare))
            lines.append(
                f"| 2-{r['width']}-{r['width']}-1 | {name} | {best:.3f} | {median:.3f} | {ratios[0]:.2f} | "
                f"{ratios[1]:.2f} |"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("-n", type=int, default=100_000, help="draws")
    parser.add_argument("--threads", type=int, help="of torch")
    parser.add_argument("--widths", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--json", type=Path, help="where to write every figure")
    parser.add_argument("--quick", action="store_true", help="a few draws: does it run?")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    n, repeats = (2000, 1) if options.quick else (options.n, options.repeats)
    results = [measure(width, n, repeats) for width in options.widths]
    for r in results:
        print(
            f"width {r['width']}: Z = {r['acceptance_rate']:.4f}, {r['needed']} proposals needed, "
            f"{r['judged']} judged"
        )
    print(table(results))
    if options.json:
        options.json.write_text(json.dumps(results))


if __name__ == "__main__":
    main()
