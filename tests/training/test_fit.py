"""The training loop: on a quadratic whose minimum is known, with torch's optimizers and ours."""

import math
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD

from boltzgen.training.fit import AdaptiveClipping, ParameterAverage, fit, using
from boltzgen.training.objective import FunctionObjective
from boltzgen.training.optimizer import MatrixOptimizer


class Point(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.tensor([3.0, -2.0]))
        self.register_buffer("count", torch.tensor(0))


def test_any_optimizer_reaches_the_minimum() -> None:
    target = torch.tensor([1.0, 5.0])
    for make in (lambda m: SGD(m.parameters(), lr=0.2), lambda m: MatrixOptimizer(m, learning_rate=0.2)):
        point = Point()
        objective = FunctionObjective(lambda _, p=point: (p.x - target).square().sum())
        found = fit(objective, make(point), lambda step: 1 - step / 200, range(200))
        assert torch.allclose(point.x, target, atol=0.05)
        assert found["skipped_steps"] == 0
        assert objective.n_steps == 200


def test_the_schedule_is_a_factor_of_each_learning_rate() -> None:
    """Of plain gradient descent on x: the sum of the steps; a second call goes on with the same rate."""
    point = Point()
    optimizer = SGD(point.parameters(), lr=0.1)
    for steps in (range(3), range(3, 6)):
        fit(FunctionObjective(lambda _: point.x.sum()), optimizer, lambda step: 1 / (1 + step), steps)
    moved = 0.1 * sum(1 / (1 + step) for step in range(6))
    assert torch.allclose(point.x, torch.tensor([3.0, -2.0]) - moved)


def test_a_step_without_a_number_is_left_out_and_seen() -> None:
    point, seen = Point(), []
    average = ParameterAverage(point, 0.5)

    def loss(step: int) -> Tensor:
        return point.x.sum() * (math.nan if step == 1 else 1.0)

    found = fit(
        FunctionObjective(loss),
        SGD(point.parameters(), lr=1.0),
        lambda _: 1.0,
        range(3),
        clipping=AdaptiveClipping({"all": point}, 2.0),
        average=average,
        on_step=lambda step, value, metrics: seen.append((step, value, metrics)),
    )
    assert found["skipped_steps"] == 1 and math.isnan(found["loss"])
    assert point.x.tolist() == [1.0, -4.0]
    assert [step for step, _, _ in seen] == [0, 1, 2]
    # After the steps x is 2, 2 and 1: the average begins as a copy.
    assert average.state["x"].tolist() == pytest.approx([1.5, -3.5])


class Replayed(FunctionObjective):
    """Moves both layers in a step, and then twice the first one alone."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        super().__init__(lambda _: self.of(first) + self.of(second))
        self.first = first

    @staticmethod
    def of(layer: nn.Module) -> Tensor:
        return sum((p.sum() for p in layer.parameters()), torch.zeros(()))

    def replays(self) -> Iterator[Tensor]:
        for _ in range(2):
            yield self.of(self.first)


def test_replays_are_updates_of_their_own() -> None:
    """What they do not concern stays, and so does the running norm of its gradients."""
    first, second = nn.Linear(2, 1, bias=False), nn.Linear(2, 1, bias=False)
    before = first.weight.detach().clone(), second.weight.detach().clone()
    parts = {"first": first, "second": second}
    clipping = AdaptiveClipping(parts, 2.0)
    optimizer = SGD([*first.parameters(), *second.parameters()], lr=1.0)
    found = fit(Replayed(first, second), optimizer, lambda _: 1.0, range(2), clipping=clipping)
    assert torch.allclose(first.weight, before[0] - 2 * 3) and torch.allclose(second.weight, before[1] - 2)
    assert clipping.norms == pytest.approx({"first": 2**0.5, "second": 2**0.5})
    assert found["skipped_steps"] == 0


def test_a_steep_gradient_is_scaled_down_in_its_part_alone() -> None:
    """To twice the running average of its norm, which such a one hardly moves; NaN leaves no trace."""
    parts = {"first": nn.Linear(1, 1, bias=False), "second": nn.Linear(1, 1, bias=False)}
    clipping = AdaptiveClipping(parts, 2.0)

    def step(steep: float) -> bool:
        for part in parts.values():
            part.zero_grad()
        (steep * parts["first"].weight + 3 * parts["second"].weight).sum().backward()
        return clipping()

    def norms() -> dict[str, float]:
        return {name: abs(float(part.weight.grad)) for name, part in parts.items()}  # type: ignore[arg-type]

    assert step(4.0)
    assert norms() == pytest.approx({"first": 4.0, "second": 3.0})
    assert step(1000.0)
    assert norms() == pytest.approx({"first": 8.0, "second": 3.0}, rel=1e-4)
    assert clipping.norms == pytest.approx({"first": 0.95 * 4 + 0.05 * 8, "second": 3.0})
    before = dict(clipping.norms)
    assert not step(math.nan)
    assert clipping.norms == before


def test_another_state_for_as_long_as_the_block_lasts() -> None:
    point = Point()
    with using(point, {"x": torch.zeros(2), "count": torch.tensor(7)}):
        assert point.x.tolist() == [0.0, 0.0] and int(point.count) == 7
    assert point.x.tolist() == [3.0, -2.0] and int(point.count) == 0
    with using(point, {}):
        assert point.x.tolist() == [3.0, -2.0]


def test_weight_decay_shrinks_matrices_alone() -> None:
    """By the learning rate times the decay in each step, without a gradient; biases stay."""
    layer = nn.Linear(3, 2)
    before = {k: v.detach().clone() for k, v in layer.named_parameters()}
    optimizer = MatrixOptimizer(layer, learning_rate=0.1, weight_decay=2.0)
    fit(FunctionObjective(lambda _: 0.0 * layer(torch.ones(3)).sum()), optimizer, lambda _: 1.0, range(2))
    assert torch.allclose(layer.weight, 0.8**2 * before["weight"])
    assert torch.allclose(layer.bias, before["bias"])


def test_a_restart_has_other_rates() -> None:
    """Learning rate and weight decay are those of the next stage, whatever a schedule made of the last."""
    layer = nn.Linear(3, 2)
    optimizer = MatrixOptimizer(layer, learning_rate=1.0)
    nothing = FunctionObjective(lambda _: 0.0 * layer(torch.ones(3)).sum())
    fit(nothing, optimizer, lambda step: 0.5**step, range(3))
    before = layer.weight.detach().clone()
    optimizer.restart(0.1, 2.0)
    fit(nothing, optimizer, lambda _: 1.0, range(2))
    assert torch.allclose(layer.weight, 0.8**2 * before)


def test_a_weight_decay_for_each_module() -> None:
    layers = [nn.Linear(3, 2) for _ in range(2)]
    before = [layer.weight.detach().clone() for layer in layers]
    optimizer = MatrixOptimizer(*layers, learning_rate=1.0)
    optimizer.restart(0.1, 2.0, 0.0)
    loss = FunctionObjective(lambda _: sum(0.0 * layer(torch.ones(3)).sum() for layer in layers))
    fit(loss, optimizer, lambda _: 1.0, range(2))
    assert torch.allclose(layers[0].weight, 0.8**2 * before[0])
    assert torch.equal(layers[1].weight, before[1])
    with pytest.raises(ValueError, match="shorter"):
        optimizer.restart(0.1, 2.0)


def test_momenta_go_along() -> None:
    """An optimizer that takes over another's state makes the same next step."""
    layers = [nn.Linear(3, 2) for _ in range(2)]
    layers[1].load_state_dict(layers[0].state_dict())
    optimizers = [MatrixOptimizer(layer, learning_rate=0.1) for layer in layers]

    def step(k: int) -> None:
        loss = FunctionObjective(lambda _: layers[k](torch.ones(3)).square().sum())
        fit(loss, optimizers[k], lambda _: 1.0, range(1))

    step(0)
    layers[1].load_state_dict(layers[0].state_dict())
    optimizers[1].load_state_dict({k: v.clone() for k, v in optimizers[0].state_dict().items()})
    step(0)
    step(1)
    assert torch.equal(layers[0].weight, layers[1].weight) and torch.equal(layers[0].bias, layers[1].bias)
