"""What `flow.py` times of a molecule's flow, and the shares of its parts in the time, by torch's profiler."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from unittest.mock import patch

from flow_models import Way
from torch import Tensor
from torch.autograd.profiler_util import FunctionEvent
from torch.profiler import ProfilerActivity, profile, record_function

from boltzgen.flow.flow import HierarchicalFlow
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.generator.target import PullbackEnergy
from boltzgen.kernels import runtime, splines, triangular
from boltzgen.training.losses import clipped_log_z, hierarchical_kl, importance_kl

SPLINES, TRIANGLES, TARGET, WHOLE = "spline kernels", "triangular kernels", "energy and coordinates", "whole"
#: Parts of the time by the names of the profiler's ranges; everything else is the rest.
PARTS = {name: name for name in (SPLINES, TRIANGLES, TARGET)}
PARTS |= dict.fromkeys(("aten::addmm", "aten::mm", "aten::bmm"), "matrix products")
PARTS |= dict.fromkeys(("aten::silu", "aten::silu_backward"), "SiLU")
REST = "rest"


def molecule_tasks(
    generator: BoltzmannGenerator, target: PullbackEnergy, batch: int
) -> dict[str, Callable[[], object]]:
    flow = generator.flow
    way = Way(flow, flow.log_prob, lambda n: flow.sample_and_log_prob((n,)))
    y = flow.sample((batch,))
    return {
        "draws": partial(way.sampling, y),
        "log q": partial(way.density, y),
        "log q and gradient": partial(way.training, y),
        "training step": partial(training_step, flow, target, batch),
    }


def training_step(flow: HierarchicalFlow, target: PullbackEnergy, batch: int) -> None:
    flow.zero_grad()
    loss, log_leading, rest, _ = hierarchical_kl(flow, target, flow.leading.sample((batch,)))
    log_q, u = log_leading[rest.isfinite()], rest[rest.isfinite()]
    fixed = log_q.detach()
    (loss + importance_kl(log_q, u, clipped_log_z(-(fixed + u)))).backward()


class LabelledTarget(PullbackEnergy):
    """A target that the profiler shows as one range."""

    def value_and_gradient(self, y: Tensor) -> tuple[Tensor, Tensor]:
        with record_function(TARGET):
            return super().value_and_gradient(y)


@contextmanager
def labelled_kernels() -> Iterator[None]:
    """Compiled kernels of flows as ranges of the profiler."""

    def labelled(label: str) -> Callable[..., None]:
        def run(work: Callable[[int, int], object], **sizes: int) -> None:
            with record_function(label):
                runtime.run(work, **sizes)

        return run

    with (
        patch.object(splines, "run", labelled(SPLINES)),
        patch.object(triangular, "run", labelled(TRIANGLES)),
    ):
        yield


def shares(task: Callable[[], object], repeats: int) -> dict[str, float]:
    """Share of each part in the time of a task."""
    task()
    with labelled_kernels(), profile(activities=[ProfilerActivity.CPU]) as found, record_function(WHOLE):
        for _ in range(repeats):
            task()
    spent = dict.fromkeys((*PARTS.values(), REST), 0.0)
    for event in found.events() or ():
        spent[part(event)] += event.self_cpu_time_total
    total = sum(spent.values())
    return {name: time / total for name, time in spent.items()}


def part(event: FunctionEvent) -> str:
    """The part of the outermost range around an event that belongs to any."""
    found, around = REST, event
    while around is not None:
        found, around = PARTS.get(around.name, found), around.cpu_parent
    return found
