"""Throughput of flows: spline couplings beside zuko's and normflows', the machine's arithmetic limit,
bfloat16, and the whole flow of a molecule.

    pip install normflows zuko    # or '.[benchmarks]'; whichever cannot be imported is left out
    python benchmarks/flow.py [--threads N] [--batch 2048] [--repeats 9] [--json FILE] [--quick]

Six unconditional couplings of 55 coordinates, float32: layer k moves those whose index is k mod 2, by
rational-quadratic splines of 4 bins on [-5, 5] with identity tails, whose parameters come from a network of
two hidden layers of 256 SiLU units. All rows have such networks; "normflows, ResNet" is its
`CoupledRationalQuadraticSpline` as it comes, with residual networks of about as many weights, and
unconditional splines on the other half. The ways take turns, repeat after repeat, so that a machine that
drifts slows all of them. Measured are

* training: log q of a batch and the gradient of its mean by all parameters,
* density: log q, without gradients,
* sampling: draws and their log q, without gradients,

with the rates of large matrix products in the same turns. The limit is what the float32 rate allows if
nothing but the products of the networks took time: 2 operations for each weight and sample, 6 with the
gradient. Ratios are boltzgen's samples per second over those of the row, of the best and of the median
repeats. The error of bfloat16 is that of log q against float64 when only the networks' products,
factors and results, are rounded to it: independent noise of standard deviation s in the log-weights
multiplies the sampling efficiency by exp(-s^2).

The molecule is alanine dipeptide by its shipped generator. Its training step draws torsions, and takes
`hierarchical_kl` and `importance_kl` with their gradients, energies included, without the optimizer. Shares
of its time are by torch's profiler, Python's own in the rest.
"""

import argparse
import copy
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from flow_models import OURS, Bfloat16Products, N, all_ways, our_flow, without_kernels
from flow_molecule import LabelledTarget, molecule_tasks, shares
from torch import Tensor, nn

from boltzgen.energy import ForceFieldEnergy
from boltzgen.flow.distribution import Distribution
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.molecule.system import System
from boltzgen.weights import sampling_efficiency

#: What is measured, with the operations for each weight and sample.
OPERATIONS = {"training": 6, "density": 2, "sampling": 2}
#: Side of the square matrices whose products give the machine's limit, and products in each turn: short ones,
#: some of which nothing interrupts.
SIDE, QUICK_SIDE, PRODUCTS = 1024, 256, 8
#: log q of a draw and log q found again from the draw differ by rounding alone: root mean square in nats.
ROUND_TRIP = 1e-3

K = TypeVar("K")


def turns(tasks: Mapping[K, Callable[[], object]], repeats: int) -> dict[K, list[float]]:
    """Seconds that each task took, repeat after repeat."""
    times: dict[K, list[float]] = {name: [] for name in tasks}
    for repeat in range(repeats + 1):
        for name, task in tasks.items():
            start = time.perf_counter()
            task()
            # The first one compiles kernels and warms caches.
            if repeat:
                times[name].append(time.perf_counter() - start)
    return times


def products(side: int) -> dict[tuple[str, int], Callable[[], object]]:
    """Products of square matrices in float32 and in bfloat16, several of each."""
    tasks: dict[tuple[str, int], Callable[[], object]] = {}
    for dtype in (torch.float32, torch.bfloat16):
        a, b, product = (torch.randn(side, side).to(dtype) for _ in range(3))
        tasks |= {
            (str(dtype).removeprefix("torch."), k): partial(torch.mm, a, b, out=product)
            for k in range(PRODUCTS)
        }
    return tasks


def compare(batch: int, side: int, repeats: int) -> tuple[list[dict], dict[str, float]]:
    """Samples per second of every way, and operations per second of large products."""
    ways, x = all_ways(), torch.randn(batch, N)
    tasks = {
        (name, what): partial(getattr(way, what), x) for what in OPERATIONS for name, way in ways.items()
    }
    times = turns(tasks | products(side), repeats)
    rates = {
        dtype: 2 * side**3 / min(min(times[dtype, k]) for k in range(PRODUCTS))
        for dtype in ("float32", "bfloat16")
    }
    rows = []
    for name, what in tasks:
        best, middle = min(times[name, what]), statistics.median(times[name, what])
        weights = n_weights(ways[name].model)
        rows.append(
            {
                "what": what,
                "way": name,
                "parameters": sum(p.numel() for p in ways[name].model.parameters()),
                "operations_a_sample": OPERATIONS[what] * weights,
                "best_per_s": batch / best,
                "median_per_s": batch / middle,
                "ratio_of_best": best / min(times[OURS, what]),
                "ratio_of_medians": middle / statistics.median(times[OURS, what]),
                "share_of_limit": OPERATIONS[what] * weights * batch / best / rates["float32"],
            }
        )
    return rows, rates


def n_weights(model: nn.Module) -> int:
    """Weights that each sample is multiplied with once."""
    return sum(p.numel() for name, p in model.named_parameters() if name.endswith("weight"))


@torch.no_grad()
def check_round_trip(batch: int) -> float:
    """The root mean square difference between log q of draws and log q found again from the draws; ends the
    script where it is too large.
    """
    flow, differences = our_flow(), []
    for circumstances in (nullcontext, without_kernels):
        with circumstances():
            x, log_q = flow.sample_and_log_prob((batch,))
            differences.append(rms(flow.log_prob(x) - log_q))
    worst = max(differences)
    if not worst < ROUND_TRIP:
        sys.exit(
            f"log q of draws and log_prob of the same draws differ by {worst:.2g} nats (root mean square); "
            f"expected below {ROUND_TRIP}"
        )
    return worst


def rms(x: Tensor) -> float:
    return float(x.double().square().mean().sqrt())


@torch.no_grad()
def rounding(name: str, flow: Distribution, n: int) -> dict:
    """Errors of log q in nats against float64 on the flow's own draws, in float32 and with products in
    bfloat16, and what the latter costs.
    """
    exact = copy.deepcopy(flow).double()
    x = flow.sample((n,))
    reference = exact.log_prob(x.double())
    single = flow.log_prob(x) - reference
    with Bfloat16Products():
        half = flow.log_prob(x) - reference
        y, log_q = flow.sample_and_log_prob((n,))
        again = flow.log_prob(y) - log_q
    return {
        "flow": name,
        "float32_rms": rms(single),
        "bfloat16_rms": rms(half),
        "bfloat16_efficiency": sampling_efficiency(half),
        "bfloat16_round_trip_rms": rms(again),
        "bfloat16_round_trip_efficiency": sampling_efficiency(again),
    }


def measure_molecule(batch: int, repeats: int) -> tuple[list[dict], dict]:
    """Microseconds a sample of the whole flow of alanine dipeptide with the shares of its parts, and its
    errors in bfloat16.
    """
    system = System.load("alanine_dipeptide")
    generator = BoltzmannGenerator.load(system.folder, system)
    tasks = molecule_tasks(generator, LabelledTarget(ForceFieldEnergy(system), generator.coordinates), batch)
    times = turns(tasks, repeats)
    rows = []
    for name, task in tasks.items():
        spent = [1e6 * t / batch for t in times[name]]
        rows.append(
            {
                "what": name,
                "minimum_us": min(spent),
                "median_us": statistics.median(spent),
                "shares": shares(task, min(repeats, 5)),
            }
        )
    return rows, rounding("alanine dipeptide, trained", generator.flow, batch)


def table(rows: list[dict]) -> str:
    lines = [
        f"{'':10}{'way':20}{'parameters':>11}{'best /s':>10}{'median /s':>10}"
        f"{'ratio (best)':>14}{'ratio (median)':>15}{'limit /s':>10}{'share':>7}",
        *(
            f"{row['what']:10}{row['way']:20}{row['parameters']:11d}{row['best_per_s']:10.0f}{row['median_per_s']:10.0f}{row['ratio_of_best']:14.2f}"
            f"{row['ratio_of_medians']:15.2f}{row['best_per_s'] / row['share_of_limit']:10.0f}"
            f"{row['share_of_limit']:7.0%}"
            for row in rows
        ),
    ]
    return "\n".join(lines)


def molecule_table(rows: list[dict]) -> str:
    names = list(rows[0]["shares"])
    lines = [
        f"{'alanine dipeptide':20}{'minimum us':>11}{'median us':>11}"
        + "".join(f"{name:>{len(name) + 2}}" for name in names)
    ]
    for row in rows:
        parts = "".join(f"{row['shares'][name]:>{len(name) + 2}.0%}" for name in names)
        lines.append(f"{row['what']:20}{row['minimum_us']:11.2f}{row['median_us']:11.2f}{parts}")
    return "\n".join(lines)


def rounding_line(row: dict) -> str:
    return (
        f"{row['flow']}: rms error of log q {row['float32_rms']:.1e} in float32, {row['bfloat16_rms']:.1e} "
        "with products in bfloat16 (efficiency x "
        f"{row['bfloat16_efficiency']:.4f}); of draws in bfloat16 found again in bfloat16 "
        f"{row['bfloat16_round_trip_rms']:.1e} "
        f"(x {row['bfloat16_round_trip_efficiency']:.4f})"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--batch", type=int, default=2048)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument(
        "--quick", action="store_true", help="one turn of a small batch: shows that it runs, measures nothing"
    )
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    batch, side, repeats = (
        (128, QUICK_SIDE, 1) if arguments.quick else (arguments.batch, SIDE, arguments.repeats)
    )
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    setting = {
        "torch": torch.__version__,
        "threads": arguments.threads,
        "cores": os.cpu_count(),
        "batch": batch,
        "repeats": repeats,
    }
    print(setting)
    round_trip = check_round_trip(batch)
    print(
        f"log q of draws and log_prob of the same draws agree within {round_trip:.1e} nats (root mean square)"
    )
    rows, rates = compare(batch, side, repeats)
    print(table(rows))
    print(
        "large products: "
        + ", ".join(f"{rate / 1e9:.1f} GFLOP/s in {dtype}" for dtype, rate in rates.items())
    )
    molecule, trained = measure_molecule(batch, repeats)
    errors = [rounding("spline couplings, initial", our_flow(), batch), trained]
    for row in errors:
        print(rounding_line(row))
    print(molecule_table(molecule))
    if arguments.json:
        result = {
            "setting": setting,
            "round_trip_rms": round_trip,
            "couplings": rows,
            "rates": rates,
            "rounding": errors,
            "molecule": molecule,
        }
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
