"""The flows that `flow.py` times: this package's, zuko's and normflows', each with how to compute with it."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from boltzgen.flow.coupling import SplineCoupling
from boltzgen.flow.elementary import StandardNormal
from boltzgen.flow.flow import Flow
from boltzgen.flow.transform import Chain
from boltzgen.kernels import runtime

N, LAYERS, HIDDEN, BINS, BOUND = 55, 6, (256, 256), 4, 5.0
#: Units of normflows' residual networks, which have one more layer: as many weights as the others, to 3 %.
RESIDUAL_HIDDEN = 200
#: Every ratio is this row's rate to another's.
OURS = "boltzgen"


@dataclass(frozen=True)
class Way:
    """A flow, how to compute with it, and under which circumstances."""

    model: nn.Module
    log_prob: Callable[[Tensor], Tensor]
    draw: Callable[[int], tuple[Tensor, Tensor]]
    circumstances: Callable[[], AbstractContextManager] = nullcontext

    def training(self, x: Tensor) -> None:
        self.model.zero_grad()
        with self.circumstances():
            (-self.log_prob(x).mean()).backward()

    def density(self, x: Tensor) -> None:
        with self.circumstances(), torch.no_grad():
            self.log_prob(x)

    def sampling(self, x: Tensor) -> None:
        with self.circumstances(), torch.no_grad():
            self.draw(len(x))


class Bfloat16Products(TorchFunctionMode):
    """Matrix products of linear layers in bfloat16, factors and results; biases, activations and all that
    follows stay in float32.
    """

    def __torch_function__(
        self, func: Callable, types: Any, args: tuple = (), kwargs: dict | None = None
    ) -> Any:
        if func is functional.linear:
            x, weight, bias = args
            return functional.linear(x.bfloat16(), weight.bfloat16()).float() + bias
        if func is torch.addmm:
            bias, left, right = args
            return torch.mm(left.bfloat16(), right.bfloat16()).float() + bias
        return func(*args, **(kwargs or {}))


def without_kernels() -> AbstractContextManager:
    """Splines operation by operation, as on a machine without compiled kernels."""
    return patch.object(runtime, "available", return_value=False)


class Conditioner(nn.Sequential):
    """The networks of all rows, as normflows calls them."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__(
            nn.Linear(n_in, HIDDEN[0]),
            nn.SiLU(),
            nn.Linear(HIDDEN[0], HIDDEN[1]),
            nn.SiLU(),
            nn.Linear(HIDDEN[1], n_out),
        )
        self.hidden_features = HIDDEN[1]

    def forward(self, x: Tensor, context: None) -> Tensor:
        return super().forward(x)


def our_flow() -> Flow:
    layers = [
        SplineCoupling(N, range(k % 2, N, 2), bins=BINS, hidden=HIDDEN, bound=BOUND) for k in range(LAYERS)
    ]
    for layer in layers:
        # Torch's own initial weights, as the others have: splines that bend.
        layer.net.nets[0].last.reset_parameters()
    return Flow(StandardNormal(N), Chain(layers))


def our_ways() -> dict[str, Way]:
    flow = our_flow()
    way = partial(Way, flow, flow.log_prob, lambda n: flow.sample_and_log_prob((n,)))
    return {
        OURS: way(),
        "boltzgen, no kernels": way(without_kernels),
        "boltzgen, bfloat16": way(Bfloat16Products),
    }


def zuko_ways() -> dict[str, Way]:
    from zuko.distributions import DiagNormal
    from zuko.flows import GeneralCouplingTransform
    from zuko.lazy import Flow as ZukoFlow
    from zuko.lazy import UnconditionalDistribution
    from zuko.transforms import MonotonicRQSTransform

    layers = [
        GeneralCouplingTransform(
            features=N,
            mask=torch.arange(N) % 2 != k % 2,
            univariate=partial(MonotonicRQSTransform, bound=BOUND),
            shapes=[(BINS,), (BINS,), (BINS - 1,)],
            hidden_features=HIDDEN,
            activation=nn.SiLU,
        )
        for k in range(LAYERS)
    ]
    flow = ZukoFlow(layers, UnconditionalDistribution(DiagNormal, torch.zeros(N), torch.ones(N), buffer=True))
    return {"zuko": Way(flow, lambda x: flow().log_prob(x), lambda n: flow().rsample_and_log_prob((n,)))}


def normflows_ways() -> dict[str, Way]:
    from normflows import NormalizingFlow
    from normflows.distributions import DiagGaussian
    from normflows.flows import CoupledRationalQuadraticSpline
    from normflows.flows.neural_spline.coupling import PiecewiseRationalQuadraticCoupling

    def as_it_comes(k: int) -> nn.Module:
        return CoupledRationalQuadraticSpline(
            N,
            1,
            RESIDUAL_HIDDEN,
            num_bins=BINS,
            tail_bound=BOUND,
            activation=nn.SiLU,
            reverse_mask=k % 2 == 0,
        )

    def alike(k: int) -> nn.Module:
        layer, moves = as_it_comes(k), torch.arange(N) % 2 == k % 2
        layer.prqct = PiecewiseRationalQuadraticCoupling(
            moves, Conditioner, num_bins=BINS, tails="linear", tail_bound=BOUND
        )
        return layer

    ways = {}
    for name, layer in (("normflows", alike), ("normflows, ResNet", as_it_comes)):
        flow = NormalizingFlow(DiagGaussian(N, trainable=False), [layer(k) for k in range(LAYERS)])
        ways[name] = Way(flow, flow.log_prob, flow.sample)
    return ways


def all_ways() -> dict[str, Way]:
    """Ours, and those of every library that can be imported."""
    ways = our_ways()
    for name, others in (("zuko", zuko_ways), ("normflows", normflows_ways)):
        try:
            ways |= others()
        except ImportError as error:
            print(f"{name} is left out, as it cannot be imported (pip install {name}): {error}")
    return ways
