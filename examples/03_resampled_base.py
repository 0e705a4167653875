"""Two rings, by maximum likelihood: RealNVP over a Gaussian and over a resampled base.

No bijection of a Gaussian can be two rings.

    python examples/03_resampled_base.py [--quick]

Writes rings.png. `--quick` only shows the mechanics: a few steps of training give poor densities.
"""

import argparse

import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from boltzgen.flow.acceptance import Acceptance
from boltzgen.flow.coupling import real_nvp
from boltzgen.flow.elementary import StandardNormal
from boltzgen.flow.flow import Flow
from boltzgen.flow.resampled import Resampled
from boltzgen.flow.toy import TwoRings
from boltzgen.training.fit import fit
from boltzgen.training.likelihood_objective import LikelihoodObjective
from boltzgen.training.optimizer import MatrixOptimizer


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    steps = 5 if parser.parse_args().quick else 1000

    torch.manual_seed(0)
    target = TwoRings()
    grid, cell = target.grid(200)
    pictures = {"target": target.log_prob(grid).exp()}
    bases = {"normal": StandardNormal(2), "resampled": Resampled(StandardNormal(2), Acceptance(2, start=0.9))}
    for name, base in bases.items():
        flow = Flow(base, real_nvp(2))

        # Z is estimated anew before each step, and the loss is that of a bound: forced draws do not help it.
        objective = LikelihoodObjective(flow, lambda flow=flow: flow.log_prob(target.sample(1024)))  # type: ignore[misc]
        optimizer = MatrixOptimizer(flow, learning_rate=1e-2)
        fit(objective, optimizer, lambda step: 1 - step / steps, range(steps))
        with torch.no_grad():
            log_q = flow.log_prob(grid.float())
            kl = float((target.log_prob(grid).exp() * (target.log_prob(grid) - log_q)).sum() * cell)
            print(f"{name}: KL(p || q) = {kl:.3f}")
            if isinstance(base, Resampled):
                print(
                    f"log Z = {float(base.log_acceptance_rate()):.3f}, "
                    f"{float(base.expected_proposals()):.1f} proposals per draw"
                )
        pictures[name] = log_q.exp()

    figure = Figure(figsize=(9, 3), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (name, density) in zip(figure.subplots(1, len(pictures)), pictures.items(), strict=True):
        axes.imshow(
            density.reshape(200, 200).T.numpy(), origin="lower", vmin=0, vmax=float(pictures["target"].max())
        )
        axes.set(title=name, xticks=[], yticks=[])
    figure.savefig("rings.png", dpi=150)


if __name__ == "__main__":
    main()
