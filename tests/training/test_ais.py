"""Annealed importance sampling against integrals of p^2 / q by quadrature."""

import math

import pytest
import torch
from torch import Tensor

from boltzgen.flow.distribution import Distribution
from boltzgen.training.ais import AnnealedDraws, adapted_steps, annealed_importance_sampling
from boltzgen.training.objectives import alpha_2
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
