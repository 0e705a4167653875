"""Weights of the prioritised buffer while the flow moves: exact, against quadrature."""

import math

import pytest
import torch
from torch import Tensor

from boltzgen.flow.flow import Flow
from boltzgen.training.buffer import PrioritisedBuffer
from boltzgen.training.objectives import alpha_2
from tests.helpers.toys import ToyTarget, by_quadrature, check_gradients, plane, toy_flow


def log_g(flow: Flow, y: Tensor) -> Tensor:
    with torch.no_grad():
        return -2 * ToyTarget()(y) - flow.log_prob(y)


def moved_flow() -> Flow:
    flow = toy_flow()
    with torch.no_grad():
        for parameter, change in zip(
            flow.parameters(), (torch.tensor([0.3, 0.4, -0.2]), 0.15, -0.2), strict=True
        ):
            parameter += change
    return flow


def filled(flow: Flow) -> PrioritisedBuffer:
    """Every point of a grid, weighted to p^2 / q: what an endless annealed sampling would leave."""
    grid, _ = plane(100, 600, reach=6.0)
    buffer = PrioritisedBuffer(len(grid))
    with torch.no_grad():
        buffer.add(grid, log_g(flow, grid), flow.log_prob(grid))
    return buffer


def test_batches_are_exact_for_the_flow_as_it_is_now() -> None:
    """Weighted for the old flow, drawn for the new one: the gradient of alpha_2 is the new one's, before and
    after weights were put back.
    """
    buffer, flow = filled(toy_flow()), moved_flow()
    _, exact = by_quadrature(
        flow, lambda grid, log_q, cell: torch.logsumexp(-2 * ToyTarget()(grid) - log_q, 0)
    )
    generator = torch.Generator().manual_seed(0)
    corrections = []

    def loss() -> Tensor:
        index = buffer.draw(20_000, generator=generator)
        log_q = flow.log_prob(buffer.y[index])
        corrections.append(buffer.correct(index, log_q))
        return alpha_2(log_q, corrections[-1])

    check_gradients(flow, loss, exact, batches=40)
    assert corrections[0].std() > 0.1
    # What was drawn before needs no correction when it is drawn again.
    assert (corrections[-1] == 0).double().mean() > 0.5


def test_corrected_weights_are_those_of_a_fresh_sampling() -> None:
    buffer, flow = filled(toy_flow()), moved_flow()
    with torch.no_grad():
        log_q = flow.log_prob(buffer.y)
    everything = torch.arange(len(buffer))
    correction = buffer.correct(everything, log_q)
    torch.testing.assert_close(buffer.log_w, log_g(flow, buffer.y), atol=1e-10, rtol=0)
    assert correction.abs().max() > 1
    assert (buffer.correct(everything, log_q) == 0).all()
    assert (
        torch.equal(buffer.log_w, log_g(flow, buffer.y))
        or (buffer.log_w - log_g(flow, buffer.y)).abs().max() < 1e-10
    )


def test_a_sample_drawn_twice_is_corrected_once() -> None:
    buffer = PrioritisedBuffer(3)
    buffer.add(torch.zeros(3, 2), torch.zeros(3), torch.tensor([1.0, 2.0, 3.0]))
    correction = buffer.correct(torch.tensor([1, 1, 2]), torch.tensor([0.5, 0.5, 4.0]))
    assert correction.tolist() == [1.5, 1.5, -1.0]
    assert buffer.log_w.tolist() == [0.0, 1.5, -1.0]
    assert buffer.log_q.tolist() == [1.0, 0.5, 4.0]


def test_draws_follow_the_weights_and_spare_the_weightless() -> None:
    buffer = PrioritisedBuffer(10)
    buffer.add(
        torch.arange(3.0).unsqueeze(-1),
        torch.tensor([700.0, -math.inf, 700.0 + math.log(3.0)]),
        torch.zeros(3),
    )
    counts = torch.bincount(buffer.draw(40_000, generator=torch.Generator().manual_seed(1)), minlength=3)
    assert counts[1] == 0
    assert float(counts[2] / counts.sum()) == pytest.approx(0.75, abs=0.01)


def test_the_oldest_give_way() -> None:
    buffer = PrioritisedBuffer(5)
    for k in range(4):
        buffer.add(torch.full((2, 1), float(k)), torch.tensor([k, k + 0.5]), torch.zeros(2))
    assert len(buffer) == 5
    assert buffer.y[:, 0].tolist() == [1.0, 2.0, 2.0, 3.0, 3.0]
    assert buffer.log_w.tolist() == [1.5, 2.0, 2.5, 3.0, 3.5]
    buffer.add(torch.zeros(9, 1), torch.zeros(9), torch.zeros(9))
    assert len(buffer) == 5


def test_nothing_to_draw_is_an_error() -> None:
    with pytest.raises(ValueError, match="capacity"):
        PrioritisedBuffer(0)
    with pytest.raises(ValueError, match="none of the buffer's 0 samples"):
        PrioritisedBuffer(1).draw(1)
    buffer = PrioritisedBuffer(4)
    buffer.add(torch.zeros(2, 1), torch.full((2,), -math.inf), torch.zeros(2))
    with pytest.raises(ValueError, match="none of the buffer's 2 samples"):
        buffer.draw(1)
