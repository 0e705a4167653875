"""FAB's objective against integrals of p^2 / q by quadrature."""

import math

import pytest
import torch
from torch import Tensor

from benchmarks.fab import (
    AnnealedDraws,
    PrioritisedBuffer,
    adapted_steps,
    alpha_2,
    annealed_importance_sampling,
)
from boltzgen.flow.distribution import Distribution
from boltzgen.flow.flow import Flow
from tests.helpers.toys import ToyTarget, by_quadrature, check_gradients, plane, toy_flow

#: So long that a third of the trajectories and more is rejected: a wrong acceptance would show.
STEPS = torch.tensor([0.7, 0.6, 0.5])


def draw(
    flow: Distribution, target: ToyTarget, n: int, generator: torch.Generator, steps: Tensor = STEPS
) -> AnnealedDraws:
    return annealed_importance_sampling(flow, target, n, steps, n_periodic=1, leapfrog=3, generator=generator)


# The walls lie on edges of the grid's cells.
@pytest.mark.parametrize("limit", [math.inf, 64 * 28 / 1500])
def test_mean_weight_is_the_integral(limit: float) -> None:
    """The integral of exp(-2u)/q, on the line and between walls, within 4.5 standard errors of 1 %; and
    moments of g with it.
    """
    flow, target = toy_flow(), ToyTarget(limit)
    grid, cell = plane()
    with torch.no_grad():
        log_g = -2 * target(grid) - flow.log_prob(grid)
        draws = draw(flow, target, 120_000, torch.Generator().manual_seed(0))
        torch.testing.assert_close(draws.log_q, flow.log_prob(draws.y))
    exact = float(torch.logsumexp(log_g, 0).exp()) * cell
    w = draws.log_w.exp()
    error = float(w.std()) / math.sqrt(len(w))
    assert error < 0.011 * exact
    assert abs(float(w.mean()) - exact) < 4.5 * error
    assert ((draws.acceptance > 0.2) & (draws.acceptance < 0.95)).all()
    weights = w / w.sum()
    inside = w > 0
    for moment in (
        lambda y: torch.cos(y[:, 0]),
        lambda y: torch.sin(2 * y[:, 0]),
        lambda y: y[:, 1].square(),
    ):
        expected = float((torch.softmax(log_g, 0) * moment(grid)).sum())
        values = moment(draws.y)
        spread = float((weights.square() * (values - expected).square())[inside].sum().sqrt())
        assert abs(float((weights * values)[inside].sum()) - expected) < 4.5 * spread
    assert (draws.y[:, 0].abs() <= math.pi).all()
    assert (w == 0).any() == math.isfinite(limit)
    assert (draws.y[inside, 1].abs() < limit).all()


def test_annealing_evens_the_weights_out() -> None:
    """Against the weights (p/q)^2 of q's own draws, and more so with more levels."""
    flow, target = toy_flow(), ToyTarget()
    generator = torch.Generator().manual_seed(1)
    spreads = []
    for n_levels in (0, 3, 12):
        if n_levels:
            log_w = draw(flow, target, 4000, generator, torch.full((n_levels,), 0.4)).log_w
        else:
            y, log_q = flow.sample_and_log_prob((4000,), generator=generator)
            log_w = (-2 * (target(y) + log_q)).detach()
        spreads.append(float(log_w.exp().std() / log_w.exp().mean()))
    assert spreads[0] > 1.5 * spreads[1] > 2 * spreads[2]


def test_alpha_2_from_annealed_draws_matches_quadrature() -> None:
    """The surrogate's gradient is that of log integral p^2 / q."""
    flow, target = toy_flow(), ToyTarget()
    _, exact = by_quadrature(flow, lambda grid, log_q, cell: torch.logsumexp(-2 * target(grid) - log_q, 0))
    generator = torch.Generator().manual_seed(2)

    def loss() -> Tensor:
        draws = draw(flow, target, 5000, generator)
        return alpha_2(flow.log_prob(draws.y), draws.log_w)

    check_gradients(flow, loss, exact, batches=80)


def test_no_parameter_learns_from_the_sampling_itself() -> None:
    flow = toy_flow()
    draws = draw(flow, ToyTarget(), 10, torch.Generator().manual_seed(3))
    assert not any(t.requires_grad for t in (draws.y, draws.log_w, draws.log_q, draws.acceptance))
    assert all(p.grad is None for p in flow.parameters())


def test_angles_are_wrapped_before_anything_sees_them() -> None:
    """A target that is infinite off [-pi, pi), as the domain of methyl rotors is: no trajectory is lost
    across the seam.
    """

    class Seam(ToyTarget):
        seen = 0.0

        def __call__(self, y: Tensor) -> Tensor:
            self.seen = max(self.seen, float(y[:, 0].detach().abs().max()))
            return super().__call__(y)

    target = Seam()
    draw(toy_flow(), target, 2000, torch.Generator().manual_seed(4))
    assert 3.1 < target.seen <= math.pi


def test_steps_find_the_wanted_acceptance() -> None:
    flow, target = toy_flow(), ToyTarget()
    generator = torch.Generator().manual_seed(5)
    for start in (0.02, 4.0):
        steps = torch.full((3,), start)
        for _ in range(25):
            steps = adapted_steps(steps, draw(flow, target, 500, generator, steps).acceptance, wanted=0.7)
        assert (draw(flow, target, 5000, generator, steps).acceptance - 0.7).abs().max() < 0.07


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


def test_alpha_2_is_the_gradient_of_the_renyi_divergence() -> None:
    """Weighted draws of p^2 / q: of q itself, with weights (p / q)^2; up to scale, and whatever has no
    weight.
    """
    flow, target = toy_flow(), ToyTarget()
    _, exact = by_quadrature(flow, lambda grid, log_q, cell: torch.logsumexp(-2 * target(grid) - log_q, 0))
    assert exact.abs().min() > 0.01
    generator = torch.Generator().manual_seed(13)

    def loss() -> Tensor:
        with torch.no_grad():
            y, log_q, _ = flow.draw((20_000,), generator=generator)
        log_w = 1e4 - 2 * (target(y) + log_q)
        outside = torch.tensor([math.nan, -math.inf], dtype=torch.float64)
        found = alpha_2(
            torch.cat((flow.log_prob(y), outside)),
            torch.cat((log_w, torch.full((2,), -math.inf, dtype=torch.float64))),
        )
        assert torch.isfinite(found)
        return found

    check_gradients(flow, loss, exact, batches=60)
