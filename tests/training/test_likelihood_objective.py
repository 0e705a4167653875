"""Maximum likelihood with early stopping, through `fit`."""

import math
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from boltzgen.flow.acceptance import Acceptance
from boltzgen.flow.acceptance_rate import MonteCarlo
from boltzgen.flow.conditional_resampled import ConditionalResampled
from boltzgen.flow.elementary import StandardNormal
from boltzgen.flow.resampling import log_unforced_draws, update_rates
from boltzgen.training.early_stopping import EarlyStopping
from boltzgen.training.fit import fit
from boltzgen.training.likelihood_objective import LikelihoodObjective
from boltzgen.training.optimizer import MatrixOptimizer


def test_classes_learn_what_is_theirs() -> None:
    """Half a normal for each of two classes: no proposal can, and the ideal acceptance is a step, Z = 1/2.

    The best log-likelihood is that of the half normal, log 2 above the proposal's.
    """
    torch.manual_seed(0)
    base = ConditionalResampled(
        StandardNormal(1), Acceptance(1, hidden=(32,), n_out=2), 2, rate=MonteCarlo(1024, n_out=2)
    )

    def batch() -> torch.Tensor:
        z, label = torch.randn(512, 1).abs(), torch.randint(2, (512,))
        return base.log_prob(torch.where(label.bool(), z.T, -z.T).T, label)

    objective = LikelihoodObjective(base, batch)
    found = fit(objective, MatrixOptimizer(base, learning_rate=2e-2), lambda step: 1 - step / 250, range(250))
    assert found["skipped_steps"] == 0
    update_rates(base, 200_000)
    with torch.no_grad():
        gain = float(torch.cat([batch() for _ in range(40)]).mean()) + 0.5 * math.log(2 * math.pi * math.e)
    assert math.log(2) - 0.12 < gain < math.log(2) + 0.02
    labels = torch.arange(2).repeat(500)
    drawn = base.given(labels).sample((1000,))[:, 0]
    assert ((drawn > 0) == labels.bool()).double().mean() > 0.93


def test_the_loss_is_a_bound_and_rates_are_updated_once() -> None:
    """-mean log p - log(1 - alpha); the metric is the first part alone."""
    base = ConditionalResampled(
        StandardNormal(2), Acceptance(2, n_out=2, start=0.1), 2, truncation=5, rate=MonteCarlo(n_out=2)
    )
    z, label = torch.randn(20, 2), torch.randint(2, (20,))
    objective = LikelihoodObjective(base, lambda: base.log_prob(z, label))
    loss, metrics = objective.step()
    assert int(base.rate.seed) == 1  # type: ignore[arg-type]
    nll = -float(base.log_prob(z, label).mean().detach())
    assert metrics == {"nll": pytest.approx(nll)}
    forced = float(log_unforced_draws(base).detach())
    assert forced < -0.5
    assert float(loss.detach()) == pytest.approx(nll - forced)


class Counter(nn.Module):
    """Its buffer says how many steps it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(()))


def run(losses: Iterator[float], n: int, patience: int) -> tuple[list[int], EarlyStopping]:
    module = Counter()
    stopping = EarlyStopping(module, lambda: next(losses), every=10, patience=patience)
    seen = []
    for step in stopping.steps(n):
        seen.append(step)
        module.count += 1
    return seen, stopping


def test_training_stops_when_the_loss_no_longer_falls() -> None:
    """After `patience` measurements that are no better; what is not a number is no better."""
    seen, stopping = run(iter([5.0, 3.0, math.nan, 3.0, 4.0, 1.0]), 1000, 3)
    assert seen == list(range(50))
    assert (stopping.best_loss, stopping.best_step, int(stopping.state["count"])) == (3.0, 20, 20)


def test_the_last_step_is_measured() -> None:
    seen, stopping = run(iter([5.0, 4.0, 3.0]), 25, 3)
    assert seen == list(range(25))
    assert (stopping.best_step, stopping.losses) == (25, [5.0, 4.0, 3.0])
    with pytest.raises(ValueError, match="`patience`"):
        EarlyStopping(Counter(), lambda: 0.0, patience=0)
