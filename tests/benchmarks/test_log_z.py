"""log Z by simulation alone: `benchmarks/log_z.py` on a density whose integral is known."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from boltzgen.evaluation.metrics import grouped_mean

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
WIDTH = math.pi / 10


@pytest.fixture
def log_z(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import log_z

    return log_z


class Independent:
    """A full torsion, a rotor and two stiff coordinates that know nothing of each other; the torsion has two
    basins, and the first stiff coordinate is no harmonic oscillator.
    """

    def terms(self, y: Tensor) -> Tensor:
        t, r, a, b = y.unbind(-1)
        torsion = -4 * torch.cos(2 * (t - 3.0)) + 0.5 * torch.cos(t)
        return torch.stack((torsion, 1 - torch.cos(r), a**4 / 4 + a**2 / 2 - a, (b - 0.5) ** 2), dim=-1)

    def value_and_gradient(self, y: Tensor) -> tuple[Tensor, Tensor]:
        leaf = y.detach().requires_grad_()
        u = self.terms(leaf).sum(-1)
        return u.detach(), torch.autograd.grad(u.sum(), leaf)[0]

    def weights(self) -> tuple[Tensor, Tensor]:
        """Points of a grid for each coordinate, (n, 4), and exp(-u) there; the integral is the mean times the
        grid's length.
        """
        ends = torch.tensor([math.pi, math.pi, 6.0, 6.0], dtype=torch.float64)
        grid = torch.linspace(-1, 1, 20_001, dtype=torch.float64)[:, None] * ends
        return grid, torch.exp(-self.terms(grid))


def frames(target: Independent, stream: torch.Generator) -> Tensor:
    """4000 independent frames (n, 4) of the target."""
    grid, weights = target.weights()
    picks = (torch.multinomial(w, 4000, replacement=True, generator=stream) for w in weights.T)
    return torch.stack([grid[pick, k] for k, pick in enumerate(picks)], dim=-1)


def test_walkers_of_the_last_state_sample_the_target(log_z: Any) -> None:
    target, stream = Independent(), torch.Generator().manual_seed(1)
    window, inside = log_z.window_of(frames(target, stream), 1, 1, WIDTH)
    path = log_z.Path(window, target, inside[:64], stream)
    for _ in range(30):
        path.move(tune=True)
    drawn = []
    for _ in range(120):
        path.move(tune=False)
        drawn.append(window.wrapped(path.z[-64:]))
    b = torch.cat(drawn)[:, 3]
    assert float(b.mean()) == pytest.approx(0.5, abs=0.03)
    assert float(b.var()) == pytest.approx(0.5, rel=0.07)  # of exp(-(b - 0.5)^2)


def test_the_integral_over_a_basin_and_its_share_make_log_z(log_z: Any) -> None:
    target, stream = Independent(), torch.Generator().manual_seed(0)
    grid, weights = target.weights()
    lengths = torch.tensor([2 * math.pi, 2 * math.pi, 12.0, 12.0], dtype=torch.float64)
    exact = float((weights.mean(0) * lengths).log().sum())
    y = frames(target, stream)
    window, inside = log_z.window_of(y, 1, 1, WIDTH)
    here = log_z.near(y, window.centre, WIDTH)
    share, error = grouped_mean(here.numpy(), np.arange(4000) % 40)
    near = log_z.near(grid[:, :1], window.centre, WIDTH)
    assert share == pytest.approx(float(weights[near, 0].sum() / weights[:, 0].sum()), abs=4 * error)
    found = log_z.integral(window, target, inside[:64], 30, stream, replicates=12)
    spread = math.hypot(found.path_error, found.normal_error, error / share)
    assert spread < 0.06
    assert found.log - math.log(share) == pytest.approx(exact, abs=3 * spread)
    assert all(taken > 0.3 for taken in found.acceptance)
    assert all(overlap > 0.1 for overlap in found.overlap)
    assert found.halves == pytest.approx((found.log, found.log), abs=6 * spread)
