"""What the torsions learn from their own draws and from others."""

import math

import pytest
import torch

from boltzgen.training.energy_objective import torsion_loss


def test_what_the_torsions_learn_from() -> None:
    """Own draws by forward KL, others by log-variance about the same log Z; without an energy by nothing."""
    log_q = torch.tensor([-1.0, -2.0, -3.0, -4.0, -9.0, -5.0]).double().requires_grad_()
    u = torch.tensor([1.0, 1.5, math.inf, 4.5, 2.0, math.inf]).double()
    loss, log_z = torsion_loss(log_q, u, 4)
    w = torch.exp(-(log_q.detach() + u)[:4])
    assert float(log_z) == pytest.approx(math.log(float(w.mean())))
    (gradient,) = torch.autograd.grad(loss, log_q)
    a = float(-9 + 2 + log_z)
    own = 4 / 3 * (1 - w / w.mean())
    expected = [*own.tolist()[:2], 0.0, float(own[3]), 2 * a / math.sqrt(1 + a * a), 0.0]
    assert gradient.tolist() == pytest.approx(expected)
    alone, _ = torsion_loss(log_q[:4], u[:4], 4)
    assert torch.autograd.grad(alone, log_q)[0].tolist() == pytest.approx([*expected[:4], 0.0, 0.0])
