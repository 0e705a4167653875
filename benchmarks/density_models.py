"""What `densities.py` trains: flows of this package, the authors' own, and the tempered target of both."""

import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from boltzgen.flow.acceptance import Acceptance
from boltzgen.flow.acceptance_rate import Quadrature
from boltzgen.flow.coupling import real_nvp
from boltzgen.flow.distribution import Distribution
from boltzgen.flow.elementary import StandardNormal
from boltzgen.flow.flow import Flow
from boltzgen.flow.gaussian import GaussianMixture
from boltzgen.flow.resampled import Resampled
from boltzgen.flow.toy import PlaneDensity
from boltzgen.training.losses import forward_kl, reverse_kl

BATCH = 1024


@dataclass(frozen=True)
class Tempered:
    """The target's u times beta."""

    target: PlaneDensity
    beta: float

    def value_and_gradient(self, x: Tensor) -> tuple[Tensor, Tensor]:
        u, gradient = self.target.value_and_gradient(x)
        return self.beta * u, self.beta * gradient


def build(base: str) -> Flow:
    flow: dict[str, Callable[[], Distribution]] = {
        "normal": lambda: StandardNormal(2),
        "mixture": lambda: GaussianMixture(2, 10),
        "resampled": lambda: Resampled(
            StandardNormal(2), Acceptance(2, hidden=(64, 64), start=0.9), rate=Quadrature(64)
        ),
    }
    return Flow(flow[base](), real_nvp(2))


class Ours:
    """A flow of this package."""

    def __init__(self, base: str) -> None:
        self.flow = build(base)

    def loss(self, objective: str, target: Tempered) -> Tensor:
        forced: Tensor | float = 0.0
        if isinstance(self.flow.base, Resampled):
            self.flow.base.update_rate()
            forced = -self.flow.base.log_unforced()
        if objective == "forward":
            return forward_kl(self.flow.log_prob(target.target.sample(BATCH))) + forced
        return reverse_kl(self.flow, target, BATCH)[0] + forced

    def finish(self) -> None:
        """Z on a finer grid than in training."""
        if isinstance(self.flow.base, Resampled):
            self.flow.base.rate = Quadrature(200)

    def log_prob(self, x: Tensor) -> Tensor:
        return self.flow.log_prob(x)

    def draw(self, n: int) -> tuple[Tensor, Tensor]:
        return self.flow.sample_and_log_prob((n,))

    def rate(self) -> float | None:
        return (
            float(self.flow.base.log_acceptance_rate().exp())
            if isinstance(self.flow.base, Resampled)
            else None
        )


class Authors:
    """Their base and flow, put together as in their notebooks. Their files are read where they lie; nothing
    of them is copied.
    """

    def __init__(self, checkout: Path, target: PlaneDensity) -> None:
        self.beta = 1.0
        sys.path.insert(0, str(checkout))
        normflows = importlib.import_module("normflows")
        larsflow = importlib.import_module("larsflow")

        class Target:
            def log_prob(_, x: Tensor) -> Tensor:  # noqa: N805
                return self.beta * target.log_prob(x)

        layers = []
        for _ in range(8):
            layers += [
                normflows.flows.AffineCouplingBlock(normflows.nets.MLP([1, 32, 32, 2], init_zeros=True))
            ]
            layers += [normflows.flows.Permute(2, mode="swap"), normflows.flows.ActNorm(2)]
        acceptance = normflows.nets.MLP([2, 256, 256, 1], output_fn="sigmoid")
        self.base = larsflow.distributions.ResampledGaussian(2, acceptance, 100, 0.1, trainable=False)
        self.flow = larsflow.NormalizingFlow(q0=self.base, flows=layers, p=Target())

    def loss(self, objective: str, target: Tempered) -> Tensor:
        if objective == "forward":
            return self.flow.forward_kld(target.target.sample(BATCH))  # type: ignore[no-any-return]
        self.beta = target.beta
        return self.flow.reverse_kld_cov(BATCH)  # type: ignore[no-any-return]

    def finish(self) -> None:
        self.flow.eval()
        self.base.estimate_Z(50_000, 10)

    def log_prob(self, x: Tensor) -> Tensor:
        return self.flow.log_prob(x)  # type: ignore[no-any-return]

    def draw(self, n: int) -> tuple[Tensor, Tensor]:
        return self.flow.sample(n)  # type: ignore[no-any-return]

    def rate(self) -> float | None:
        return float(self.base.Z)
