"""The density of a table, by maximum likelihood: a spline flow over a Gaussian and over a resampled base.

    python examples/09_table.py [FILE.csv] [--quick]

FILE.csv has a header and numbers alone; columns that were rounded need noise of their step first, see
`dequantised` in benchmarks/density_tables.py. Without a file a table with a hole is made. Training ends when
the likelihood of the validation rows has stopped rising. `--quick` only shows the mechanics.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from boltzgen.flow.acceptance import Acceptance
from boltzgen.flow.acceptance_rate import MonteCarlo
from boltzgen.flow.coupling import SplineCoupling
from boltzgen.flow.elementary import StandardNormal
from boltzgen.flow.flow import Flow
from boltzgen.flow.likelihood import Likelihood
from boltzgen.flow.masks import coupling_masks
from boltzgen.flow.resampled import Resampled
from boltzgen.flow.resampling import update_rates
from boltzgen.flow.transform import Chain
from boltzgen.training.early_stopping import EarlyStopping
from boltzgen.training.fit import fit
from boltzgen.training.likelihood_objective import LikelihoodObjective
from boltzgen.training.optimizer import MatrixOptimizer
from boltzgen.training.schedule import cosine


def made() -> np.ndarray:
    """A ring in two columns, and a third that depends on them."""
    rng = np.random.default_rng(0)
    angle, radius = 2 * np.pi * rng.random(10_000), 2 + 0.1 * rng.standard_normal(10_000)
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    return np.column_stack((x, y, np.sign(x) + 0.2 * rng.standard_normal(10_000)))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("file", type=Path, nargs="?")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    steps, every = (6, 3) if options.quick else (2000, 100)

    torch.manual_seed(0)
    table = np.loadtxt(options.file, delimiter=",", skiprows=1) if options.file else made()
    rows = torch.tensor(np.random.default_rng(0).permutation(table), dtype=torch.float32)
    rows = (rows - rows.mean(0)) / rows.std(0)
    validation, test, train = rows.split(
        [len(rows) // 10, len(rows) // 10, len(rows) - 2 * (len(rows) // 10)]
    )
    n = rows.shape[1]
    # One acceptance for all columns: Z is a running average over proposals, see docs/resampled_base.md.
    resampled = Resampled(StandardNormal(n), Acceptance(n, start=0.9), rate=MonteCarlo(1024))
    for name, base in {"normal": StandardNormal(n), "resampled": resampled}.items():
        layers = [SplineCoupling(n, active, bins=8, hidden=(32, 32)) for active in coupling_masks(n, 6)]
        flow = Flow(base, Chain(layers))

        def batch(flow: Flow = flow) -> Tensor:
            return flow.log_prob(train[torch.randint(len(train), (512,))])

        @torch.no_grad()
        def held_out(flow: Flow = flow) -> float:
            update_rates(flow, 50_000)
            return -float(flow.log_prob(validation).mean())

        stopping = EarlyStopping(flow, held_out, every=every, patience=5)
        optimizer = MatrixOptimizer(flow, learning_rate=5e-3)
        fit(LikelihoodObjective(flow, batch), optimizer, cosine(steps), stopping.steps(steps))
        flow.load_state_dict(stopping.state)
        # A fresh estimate of Z, of the parameters as they are now, before a likelihood is reported.
        update_rates(flow, 1_000_000)
        with torch.no_grad():
            print(f"{name}: log-likelihood of the test rows {Likelihood.of(flow.log_prob(test), flow)}")
    with torch.no_grad():
        print(
            f"resampled: log Z = {float(resampled.log_acceptance_rate()):.3f}, "
            f"{float(resampled.expected_proposals()):.1f} proposals per draw"
        )


if __name__ == "__main__":
    main()
