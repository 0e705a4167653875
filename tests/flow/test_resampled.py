"""The resampled base: its sampler on discrete proposals, its density, and its acceptances."""

import math

import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from boltzgen.flow.accept_reject import accept_reject
from boltzgen.flow.acceptance import Acceptance
from boltzgen.flow.conditional_resampled import ConditionalResampled
from boltzgen.flow.elementary import StandardNormal
from boltzgen.flow.factorized_resampled import FactorizedResampled
from boltzgen.flow.resampled import Resampled
from tests.helpers.resampled import Bell, moved_normal, small_acceptance

CHANCE = torch.tensor([0.02, 0.5, 0.1, 0.9, 0.0], dtype=torch.float64)


WEIGHT = torch.tensor([0.5, 0.1, 0.25, 0.05, 0.1], dtype=torch.float64)


def discrete_density(truncation: int) -> Tensor:
    z = float((CHANCE * WEIGHT).sum())
    alpha = (1 - z) ** (truncation - 1)
    return WEIGHT * ((1 - alpha) * CHANCE / z + alpha)


@pytest.mark.parametrize(
    ("truncation", "block"),
    [
        # Many small blocks take their time; shorter runs, and longer blocks, go through the same lines.
        pytest.param(truncation, block, marks=pytest.mark.slow if (truncation, block) == (1000, 7) else ())
        for truncation in (1, 2, 3, 17, 1000)
        for block in (1, 7, 4096)
    ],
)
def test_sampler_of_a_discrete_proposal(truncation: int, block: int) -> None:
    """Frequencies, independence of consecutive draws, and the number of proposals, whatever the blocks: runs
    go on from one to the next.
    """
    generator = torch.Generator().manual_seed(3)
    n = {1: 4000, 7: 12_000}.get(block, 60_000)
    z, log_a, used = accept_reject(
        lambda m: torch.multinomial(WEIGHT, m, replacement=True, generator=generator).double(),
        lambda z: CHANCE[z.long()].log(),
        n,
        truncation=truncation,
        generator=generator,
        block=block,
    )
    assert z.shape == (n,)
    assert torch.equal(log_a, CHANCE[z.long()].log())
    density = discrete_density(truncation)
    counts = torch.bincount(z.long(), minlength=5).double()
    seen = density > 0
    assert not counts[~seen].any()
    assert stats.chisquare(counts[seen], n * density[seen]).pvalue > 1e-4
    pairs = torch.bincount(5 * z[:-1:2].long() + z[1::2].long(), minlength=25).double()
    expected = torch.outer(density, density).flatten() * (n // 2)
    kept = expected > 5
    assert (
        stats.chisquare(pairs[kept], expected[kept] * pairs[kept].sum() / expected[kept].sum()).pvalue > 1e-4
    )
    acceptance_rate = float((CHANCE * WEIGHT).sum())
    proposals = n * (1 - (1 - acceptance_rate) ** truncation) / acceptance_rate
    # The last block's surplus: two standard deviations, and the first block where one is enough.
    assert proposals * 0.95 - 10 < used < proposals * 1.05 + 4096


def test_certain_acceptance_changes_nothing() -> None:
    """Z = 1 to the last bit: the proposal's density, with finite gradients."""

    class Certain(Bell):
        def forward(self, z: Tensor) -> Tensor:
            return 0 * super().forward(z)

    base = Resampled(StandardNormal(1), Certain()).double()
    z = torch.randn(9, 1, dtype=torch.float64)
    log_p = base.log_prob(z)
    torch.testing.assert_close(log_p, StandardNormal(1).log_prob(z))
    log_p.sum().backward()
    assert base.acceptance.k.grad.isfinite()  # type: ignore[union-attr]
    assert float(base.expected_proposals().detach()) == pytest.approx(1)


@pytest.mark.parametrize("form", ["given", "factorized"])
def test_classes_and_factors_have_their_own_acceptance(form: str) -> None:
    """Against one `Resampled` for each class."""
    torch.manual_seed(0)
    net = Acceptance(1, hidden=(8,), n_out=3).double()
    with torch.no_grad():
        net.net.last.weight.mul_(200)
        net.net.last.bias.copy_(torch.tensor([1.0, -1.0, -2.0]))

    class Alone(nn.Module):
        def __init__(self, c: int) -> None:
            super().__init__()
            self.c = c

        def forward(self, z: Tensor) -> Tensor:
            return net(z)[..., self.c]  # type: ignore[no-any-return]

    alone = [Resampled(StandardNormal(1).double(), Alone(c), truncation=9) for c in range(3)]
    z = torch.randn(50, 3, 1, dtype=torch.float64)
    by_class = torch.stack([alone[c].log_prob(z[:, c]) for c in range(3)], dim=1)
    generator = torch.Generator().manual_seed(1)
    n = 20_000
    if form == "given":
        conditional = ConditionalResampled(StandardNormal(1).double(), net, 3, truncation=9)
        label = torch.arange(3).expand(50, 3)
        torch.testing.assert_close(conditional.given(label).log_prob(z), by_class)
        drawn, _, _ = conditional.given(torch.arange(3).expand(n, 3)).draw((n, 3), generator=generator)
        rate = torch.stack([each.log_acceptance_rate() for each in alone])
        torch.testing.assert_close(conditional.log_acceptance_rate(), rate)
        torch.testing.assert_close(
            conditional.expected_proposals(), torch.stack([each.expected_proposals() for each in alone])
        )
        assert conditional.draw(torch.empty(0, dtype=torch.long))[0].shape == (0, 1)
        with pytest.raises(ValueError, match="shape"):
            conditional.given(label).draw((4,))
    else:
        factorized = FactorizedResampled(StandardNormal(1).double(), net, 3, truncation=9)
        torch.testing.assert_close(factorized.log_prob(z.squeeze(-1)), by_class.sum(1))
        drawn = factorized.sample((n,), generator=generator).unsqueeze(-1)
    for c in range(3):
        direct = alone[c].sample((n,), generator=generator)
        assert stats.ks_2samp(drawn[:, c, 0], direct[:, 0]).pvalue > 1e-3


def test_acceptance_starts_where_it_is_told() -> None:
    z = StandardNormal(3).sample((50,))
    assert (Acceptance(3, start=0.9)(z).exp() - 0.9).abs().max() < 0.02
    assert Acceptance(3, start=0.2, n_out=4)(z).shape == (50, 4)
    with pytest.raises(ValueError, match="between 0 and 1"):
        Acceptance(3, start=1.0)
    with pytest.raises(ValueError, match="indices of the 3 coordinates"):
        Acceptance(3, periodic=[3])
    turn = torch.tensor([2 * math.pi, 0.0, 0.0])
    partly = Acceptance(3, periodic=[0])
    torch.testing.assert_close(partly(z), partly(z + turn), atol=1e-5, rtol=0)


def test_chance_of_an_unforced_draw() -> None:
    """By counting, and as a bound: log p >= log pi + log a - log Z + log(1 - alpha)."""
    base = Resampled(moved_normal(1), Bell(30.0), truncation=6)
    generator = torch.Generator().manual_seed(3)
    tries = base.proposal.sample((100_000, 5), generator=generator)
    accepted = torch.rand(100_000, 5, generator=generator, dtype=torch.float64).log() < base.acceptance(tries)
    counted = float(accepted.any(1).double().mean())
    chance = float(base.log_unforced().detach().exp())
    assert 0.2 < chance < 0.8
    assert counted == pytest.approx(chance, abs=4.5 * math.sqrt(chance * (1 - chance) / 100_000))
    z = tries[:100, 0]
    bound = base.proposal.log_prob(z) + base.acceptance(z) - base.log_acceptance_rate() + base.log_unforced()
    assert (base.log_prob(z) > bound).all()


@pytest.mark.parametrize("truncation", [1, 3, 50])
def test_in_one_dimension(truncation: int) -> None:
    """The density integrates to one, and draws follow it."""
    base = Resampled(moved_normal(1), small_acceptance(1), truncation=truncation)
    edges = torch.linspace(-7, 7, 2801, dtype=torch.float64)
    middle = (edges[1:] + edges[:-1]) / 2
    with torch.no_grad():
        masses = (base.log_prob(middle.unsqueeze(-1)).exp() * 0.005).reshape(40, 70).sum(1)
    assert float(masses.sum()) == pytest.approx(1, abs=1e-5)
    n = 50_000
    z = base.sample((n,), generator=torch.Generator().manual_seed(6)).flatten()
    counts = torch.histc(z, 40, -7, 7)
    kept = masses * n > 8
    expected = masses[kept] * n
    assert stats.chisquare(counts[kept], expected * counts[kept].sum() / expected.sum()).pvalue > 1e-4


def test_classes_with_factors_against_one_resampled_for_each() -> None:
    """Acceptances of a class follow each other: those of class c begin at c times the number of factors."""
    torch.manual_seed(1)
    net = Acceptance(2, hidden=(8,), n_out=6).double()
    with torch.no_grad():
        net.net.last.weight.mul_(100)
        net.net.last.bias.copy_(torch.linspace(-2, 1, 6))

    class Alone(nn.Module):
        def __init__(self, k: int) -> None:
            super().__init__()
            self.k = k

        def forward(self, z: Tensor) -> Tensor:
            return net(z)[..., self.k]  # type: ignore[no-any-return]

    both = ConditionalResampled(StandardNormal(2).double(), net, 2, n_factors=3, truncation=9)
    alone = [Resampled(StandardNormal(2).double(), Alone(k), truncation=9) for k in range(6)]
    z = torch.randn(40, 6, dtype=torch.float64)
    for c in range(2):
        parts = [alone[3 * c + j].log_prob(z[:, 2 * j : 2 * j + 2]) for j in range(3)]
        torch.testing.assert_close(both.log_prob(z, torch.full((40,), c)), torch.stack(parts).sum(0))
    proposals = both.of_draws(both.expected_proposals())
    expected = torch.stack([each.expected_proposals() for each in alone])
    torch.testing.assert_close(proposals, torch.stack((expected[:3].sum(), expected[3:].sum())))
    label = torch.tensor([1, 0]).repeat(10_000)
    drawn, log_prob, _ = both.draw(label, generator=torch.Generator().manual_seed(2))
    torch.testing.assert_close(log_prob, both.log_prob(drawn, label).detach())
    for c, j in ((0, 0), (1, 0), (1, 2)):
        direct = alone[3 * c + j].sample((10_000,), generator=torch.Generator().manual_seed(3))
        found = drawn[label == c, 2 * j : 2 * j + 2]
        assert stats.ks_2samp(found.square().sum(1), direct.square().sum(1)).pvalue > 1e-3
        assert stats.ks_2samp(found[:, 0], direct[:, 0]).pvalue > 1e-3
    with pytest.raises(ValueError, match="`n_factors` = 0"):
        ConditionalResampled(StandardNormal(2), net, 2, n_factors=0)
