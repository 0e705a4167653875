"""Temperatures, mixtures and replayed batches: what must stay exact whatever the settings."""

import copy
import math

import pytest
import torch

from boltzgen.coordinates.pullback import PullbackEnergy
from boltzgen.energy import CountedEnergy, ForceFieldEnergy
from boltzgen.generator import BoltzmannGenerator
from boltzgen.system import System
from boltzgen.train.annealing import draw_round, next_temperature, trust_region_temperature
from boltzgen.train.replay import Replay, Round
from boltzgen.train.settings import Settings
from boltzgen.train.trainer import Trainer
from boltzgen.units import kt


def harmonic_round(n: int = 200_000, seed: int = 0) -> Round:
    """Exact draws at 1000 K of U = 20 kJ/mol * (y1^2 + y2^2)."""
    generator = torch.Generator().manual_seed(seed)
    sigma = math.sqrt(kt(1000.0) / 40)
    y = sigma * torch.randn(n, 2, generator=generator, dtype=torch.float64)
    log_q = (-0.5 * (y / sigma).square() - math.log(sigma * math.sqrt(2 * math.pi))).sum(-1)
    return Round(y, 20 * y.square().sum(-1), torch.zeros(n, dtype=torch.float64), log_q, log_q)


@pytest.mark.parametrize(("keep", "at_most"), [(0.6, 1.0), (0.9, 1.0), (0.9, 0.5)])
def test_next_temperature_keeps_the_wanted_efficiency(keep: float, at_most: float) -> None:
    """Known answer: reweighting a 2-D Gaussian from beta to b beta has efficiency (2 b - 1) / b^2."""
    found = next_temperature(harmonic_round(), 1000.0, 100.0, keep=keep, at_most=at_most)
    b = 1000.0 / found
    assert (2 * b - 1) / b**2 == pytest.approx(min(keep, at_most), abs=0.01)


def test_next_temperature_stops_at_the_target() -> None:
    assert next_temperature(harmonic_round(), 1000.0, 990.0, keep=0.5, at_most=0.5) == 990.0


@pytest.mark.parametrize("present", [1000.0, 850.0])
@pytest.mark.parametrize(("trust", "entropy"), [(0.02, 10.0), (0.1, 10.0), (10.0, 0.15), (10.0, 0.4)])
def test_trust_region_meets_its_bounds(present: float, trust: float, entropy: float) -> None:
    """Known answer for a Gaussian in 2 dimensions from beta to b beta: KL(p' || p) = 1/b - 1 + log b, the entropy falls by log b.

    At 850 K the draws, made at 1000 K, are weighted for the present temperature too. Where energies are counted from does not matter.
    """
    drawn = harmonic_round()
    drawn = Round(drawn.y, drawn.potential - 80, drawn.log_det, drawn.log_proposal, drawn.log_leading)
    b = present / trust_region_temperature(drawn, present, 100.0, trust=trust, entropy=entropy)
    kl, fall = 1 / b - 1 + math.log(b), math.log(b)
    assert (kl, fall)[trust > entropy] == pytest.approx(min(trust, entropy), rel=0.02)
    assert kl < 1.02 * trust and fall < 1.02 * entropy


def test_trust_region_measures_entropy_in_positions() -> None:
    """The same draws in other coordinates y, whose volume elements their log_det makes up for, give the same temperature."""
    drawn = harmonic_round()
    twist = torch.sin(3 * drawn.y[:, 0] / drawn.y.std())
    other = Round(drawn.y, drawn.potential, drawn.log_det + twist, drawn.log_proposal + twist, drawn.log_leading)
    found = [trust_region_temperature(r, 1000.0, 100.0, trust=0.1, entropy=0.3) for r in (drawn, other)]
    assert found[0] == pytest.approx(found[1], rel=1e-9)


def test_trust_region_stops_at_the_target_and_wants_positive_bounds() -> None:
    assert trust_region_temperature(harmonic_round(), 1000.0, 990.0, trust=0.1, entropy=0.1) == 990.0
    outside = harmonic_round(1000)
    outside.potential[:500] = math.inf
    assert 100.0 < trust_region_temperature(outside, 1000.0, 100.0, trust=0.1, entropy=0.1) < 1000.0
    with pytest.raises(ValueError, match="positive bounds"):
        trust_region_temperature(harmonic_round(10), 1000.0, 990.0, trust=0.0, entropy=0.1)


def test_the_rule_is_a_setting() -> None:
    """Each rule with its own numbers; anything else is refused by name before any work."""
    drawn, energy = harmonic_round(20_000), None
    by_name = {
        "ess": next_temperature(drawn, 1000.0, 300.0, keep=0.9, at_most=0.95),
        "trust_region": trust_region_temperature(drawn, 1000.0, 300.0, trust=0.2, entropy=0.3),
    }
    for name, expected in by_name.items():
        settings = Settings(annealing=name, keep=0.9, at_most=0.95, trust=0.2, entropy=0.3)
        assert Trainer(energy, 300.0, settings, seed=0)._next_temperature(drawn, 1000.0) == expected  # type: ignore[arg-type]
    assert by_name["ess"] != by_name["trust_region"]
    with pytest.raises(ValueError, match="unknown rule 'cooling'.*ess, trust_region"):
        Settings(annealing="cooling")
    with pytest.raises(ValueError, match="positive bounds"):
        Settings(entropy=-1.0)


def test_replay_averages_stay_those_of_the_target() -> None:
    """Oversampling of rare torsions and the mixing of rounds cancel in weighted averages: <U> = kT at 500 K."""
    replay = Replay(3)
    for seed in range(4):
        replay.rounds.append(harmonic_round(50_000, seed))
    assert len(replay.rounds) == 3
    batches = replay.draw_batches(100, 2000, 500.0, spread=0.5, boost=30.0, generator=torch.Generator().manual_seed(1))
    assert batches.y.shape == (100, 2000, 2)
    assert batches.weight.std() > 0.1
    mean_u = (batches.weight * batches.u).sum() / batches.weight.sum()
    assert float(mean_u) == pytest.approx(1.0, abs=0.02)
    assert float(batches.u.mean()) > 1.1  # unweighted, the rarely visited are over-represented


def test_replay_never_draws_outside_the_domain() -> None:
    drawn = harmonic_round(1000)
    potential = torch.where(drawn.y[:, 0] > 0, math.inf, drawn.potential)
    replay = Replay(1)
    replay.rounds.append(Round(drawn.y, potential, drawn.log_det, drawn.log_proposal, drawn.log_leading))
    batches = replay.draw_batches(10, 100, 800.0, spread=0.5, boost=30.0, generator=torch.Generator().manual_seed(1))
    assert torch.isfinite(batches.u).all()
    assert (batches.y[..., 0] <= 0).all()


def test_mixture_rounds_are_exactly_weighted() -> None:
    """Own draws come first, energies are counted, and the density is that of the draws: E[p / mixture] = 1 for both of its components p."""
    system = System.load("alanine_dipeptide")
    energy = CountedEnergy(ForceFieldEnergy(system, 1200.0))
    generator = BoltzmannGenerator.for_system(system, energy, seed=3)
    flow = generator.flow.double()
    hot = copy.deepcopy(flow.leading)
    with torch.no_grad():
        for p in flow.leading.parameters():
            p += 0.15 * torch.randn(p.shape, generator=torch.Generator().manual_seed(4))
    target = PullbackEnergy(energy, generator.coordinates)
    before, n, share = energy.n_evaluations, 16384, 0.3
    stream = torch.Generator().manual_seed(5)
    plain, n_own = draw_round(flow, target, n, hot=None, share=share, batch=5000, generator=stream)
    assert n_own == n
    assert energy.n_evaluations - before == n
    torch.testing.assert_close(flow.log_prob(plain.y), plain.log_proposal, atol=1e-6, rtol=0)
    mixed, n_own = draw_round(flow, target, n, hot=hot, share=share, batch=5000, generator=stream)
    assert n_own == n - int(share * n)
    with torch.no_grad():
        t = mixed.y[:, : flow.n_leading]
        own = flow.log_prob(mixed.y)
        from_hot = own - flow.leading.log_prob(t) + hot.log_prob(t)
    torch.testing.assert_close(mixed.log_leading, flow.leading.log_prob(t), atol=1e-6, rtol=0)
    for component, weight in ((own, 1 - share), (from_hot, share)):
        ratio = torch.exp(component.double() - mixed.log_proposal.double())
        assert ratio.max() < 1.01 / weight  # a component is at most the mixture over its share
        assert ratio.std() > 0.1  # the components differ, so that the next line says something
        assert abs(float(ratio.mean()) - 1) < 4 * float(ratio.std()) / math.sqrt(n)
