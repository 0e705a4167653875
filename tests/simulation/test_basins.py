"""The search for basins without draws: finds those that a generator is blind to, and none of a good one's."""

import copy
import math

import pytest
import torch
from torch import Tensor

from boltzgen.energy.base import CountedEnergy
from boltzgen.energy.choose import energy_for
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.generator.target import PullbackEnergy
from boltzgen.geometry import dihedrals, wrap
from boltzgen.molecule.system import System
from boltzgen.simulation.basins import (
    _FLATTEST,
    Basin,
    _apart,
    _shares,
    _Target,
    _turned,
    as_rows,
    from_rows,
    unseen_basins,
)
from boltzgen.simulation.forward import AT_STAKE, ForwardTest, forward_test
from boltzgen.simulation.integrator import integrator_for

#: What the blind one's log q lacks.
DEPTH = 12.0


@pytest.fixture(scope="module")
def good() -> BoltzmannGenerator:
    return BoltzmannGenerator.load("alanine_dipeptide")


class Blind(BoltzmannGenerator):
    """q with next to no density in the helical basins."""

    def log_prob(self, x: Tensor) -> Tensor:
        return super().log_prob(x) - DEPTH * is_helical(x, self.system)


def is_helical(x: Tensor, system: System) -> Tensor:
    psi = torch.rad2deg(dihedrals(x, system.torsions["psi"]))
    return (psi > -120) & (psi < 15)


def test_a_basin_without_draws_is_found_with_its_share(
    good: BoltzmannGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    energy, integrator = CountedEnergy(energy_for(good.system)), integrator_for(good.system, "cpu")
    samples = good.sample(8192, energy, seed=1)
    weight = torch.softmax(samples.log_w, 0)
    is_seen = ~is_helical(samples.x, good.system)
    missing = float(weight[~is_seen].sum())
    assert 0.08 < missing < 0.14
    seen = samples[is_seen]
    blind = copy.copy(good)
    blind.__class__ = Blind

    def found(generator: BoltzmannGenerator, seed: int = 0) -> list[Basin]:
        return unseen_basins(generator, energy, integrator, seen, n_starts=128, threshold=AT_STAKE, seed=seed)

    before = energy.n_evaluations
    basins = found(blind)
    assert energy.n_evaluations > before + 128 * 300
    assert all(-120 < basin.torsions["psi"] < 15 for basin in basins if basin.share > 1e-4)
    assert basins[0].log_w == pytest.approx(DEPTH, abs=2)
    assert [basin.share for basin in basins] == sorted((basin.share for basin in basins), reverse=True)
    share, error = sum(b.share for b in basins), math.hypot(*(b.error for b in basins))
    # Wells that are not normal distributions are counted in part.
    assert 0.6 * missing < share < 1.1 * missing + 3 * error
    assert error < 0.2 * share
    assert found(blind) == basins and found(blind, seed=1) != basins
    assert sum(basin.share for basin in found(good)) < 1e-5
    # Newton's method makes up for a short descent.
    monkeypatch.setattr("boltzgen.simulation.basins._DESCENT", 5)
    assert sum(basin.share for basin in found(blind)) > 0.6 * missing
    test = forward_test(blind, energy, n_walkers=32, n_starts=64, n_moves=5)
    assert test.unseen > 0.01 and test.verdict == "failed"
    assert test.summary()["basins"][0]["share"] == test.basins[0].share


def test_without_starts_or_free_torsions_nothing_is_done(good: BoltzmannGenerator) -> None:
    energy = CountedEnergy(energy_for(good.system))
    samples = good.sample(512, energy, seed=1)
    before = energy.n_evaluations
    integrator = integrator_for(good.system, "cpu")
    assert unseen_basins(good, energy, integrator, samples, n_starts=0, threshold=4.0, seed=0) == []
    assert energy.n_evaluations == before


def test_between_one_and_all_torsions_are_drawn_anew(good: BoltzmannGenerator) -> None:
    y = torch.zeros(600, good.coordinates.n_full + 3, dtype=torch.float64)
    turned = _turned(good.coordinates, y, torch.Generator().manual_seed(0))
    n = (turned != 0).sum(-1)
    assert n.min() == 1 and n.max() == good.coordinates.n_full
    assert float(turned.abs().max()) < math.pi
    assert not bool(turned[:, good.coordinates.n_full :].any())


class Box:
    """One periodic coordinate of three."""

    n_full = n_periodic = 1


class Reduced(PullbackEnergy):
    """Of a standard normal distribution where the second coordinate is below 1, or of one on a circle."""

    def __init__(self, *, free: bool, centre: float) -> None:
        torch.nn.Module.__init__(self)
        self.free, self.centre = free, centre

    def forward(self, y: Tensor) -> Tensor:
        u = 0.5 * y[:, 1:].square().sum(-1) + 1.5 * math.log(2 * math.pi)
        u = u + (0.5 * math.log(2 * math.pi) if self.free else 0.5 * wrap(y[:, 0] - self.centre).square())
        return torch.where(y[:, 1] < 1, u, math.inf)


class Normal(_Target):
    """The same; q lacks what is at z > 0."""

    def __init__(self, *, free: bool = False, centre: float = 0.0) -> None:
        self.log_z, self.coordinates = 0.0, Box()  # type: ignore[assignment]
        self.reduced = Reduced(free=free, centre=centre)

    def log_w(self, y: Tensor) -> Tensor:
        return torch.where(y[:, 2] > 0, 9.0, 0.0).to(y)


def test_shares_are_those_of_a_normal_distribution_and_are_not_counted_twice() -> None:
    target = Normal()
    assert _FLATTEST < 1
    values, _ = target.curvature(torch.zeros(1, 3, dtype=torch.float64))
    assert torch.allclose(values, torch.ones(1, 3, dtype=torch.float64), atol=1e-6)
    climbed = target.climb(torch.tensor([[0.4, -1.0, 2.0]], dtype=torch.float64))
    assert float(climbed.abs().max()) < 1e-6
    centres = torch.tensor([[0.0, 0.0, 0.0], [0.3, -0.2, 0.1]], dtype=torch.float64)
    share, error = _shares(target, centres, 4.0, torch.Generator().manual_seed(0))
    # Half of the domain is lacking; the partition function of the draws has none of it.
    missing = 0.5 * 0.841345
    assert float(share.sum()) == pytest.approx(missing / (1 + missing), abs=4 * float(error.norm()))
    assert float(error.norm()) < 0.02


def test_a_torsion_that_turns_freely_is_counted_once() -> None:
    """A normal distribution that is wider than the circle would meet itself."""
    target = Normal(free=True)
    centres = torch.tensor([[2.5, 0.0, 0.0]], dtype=torch.float64)
    shares = [_shares(target, centres, 4.0, torch.Generator().manual_seed(seed)) for seed in range(20)]
    share, error = torch.cat([s for s, _ in shares]).mean(), torch.cat([e for _, e in shares]).norm() / 20
    missing = 0.5 * 0.841345
    assert float(share) == pytest.approx(missing / (1 + missing), abs=4 * float(error))
    assert float(error) < 0.01


def test_what_processes_find_is_put_together() -> None:
    names = ("phi", "psi")

    def basin(share: float, *angles: float) -> Basin:
        return Basin(share, 0.1 * share, 5.0, dict(zip(names, angles, strict=True)))

    one = [basin(0.2, 179.0, 60.0), basin(0.01, -60.0, -40.0)]
    other = [basin(0.3, -175.0, 70.0), basin(0.02, -175.0, 120.0)]
    rows = torch.cat([as_rows(one, names), as_rows([], names), as_rows(other, names)])
    assert from_rows(rows, names) == [other[0], other[1], one[1]]
    assert from_rows(as_rows([], names), names) == []


def test_what_numbers_cannot_hold_is_all_of_the_target() -> None:
    target = Normal()
    target.log_z = -2000.0  # of draws that are 2000 kT too high
    centre = torch.zeros(1, 3, dtype=torch.float64)
    share, error = _shares(target, centre, 4.0, torch.Generator().manual_seed(0))
    assert float(share) == pytest.approx(1.0) and 0 < float(error) < 0.1


def test_climbing_goes_around_the_circle() -> None:
    start = torch.tensor([[3.0, -1.0, 2.0]], dtype=torch.float64)
    climbed = Normal(centre=-3.0).climb(start)
    assert torch.allclose(climbed, torch.tensor([[-3.0, 0.0, 0.0]], dtype=torch.float64), atol=1e-6)


def test_of_near_minima_that_of_the_highest_density_is_kept() -> None:
    y = torch.tensor(
        [[0.3, 0.0, 0.0], [0.1, 0.0, 0.0], [2.0, 0.0, 0.0], [0.0, 0.9, 0.0]], dtype=torch.float64
    )
    assert _apart(Normal(), y)[:, 0].tolist() == [0.1, 2.0]


def test_basins_that_draws_hardly_reach_fail_the_forward_test() -> None:
    def test_of(*shares: float, log_w: float = 0.0, relative: float = 0.1) -> ForwardTest:
        basins = [Basin(share, relative * share, 9.0, {"phi": 60.0}) for share in shares]
        met = torch.zeros(12, 64, dtype=torch.float64)
        met[0, 0] = log_w
        none = torch.zeros(0)
        return ForwardTest(met, none, none, none, 0.8, 1, None, basins)  # type: ignore[arg-type]

    assert test_of(5e-4, 4e-4).verdict == "passed"
    assert test_of(0.3, relative=0.999).verdict == "passed"  # one draw of large weight is no evidence
    failed = test_of(8e-4, 6e-4)
    assert failed.verdict == "failed" and failed.flagged
    assert (failed.unseen, failed.unseen_error) == (pytest.approx(1.4e-3), pytest.approx(1e-4))
    assert failed.reason == failed.sentence
    assert failed.reason == "basins that draws hardly reach hold 0.14 ± 0.01 % of the target"
    both = test_of(0.02, log_w=9.0)
    assert both.reason == "basins that draws hardly reach hold 2 ± 0.2 % of the target; a log w above 8"
    assert both.sentence.startswith("basins that draws") and "(log w 9.0)" in both.sentence
    assert "hold 100 ± 10 % of" in test_of(0.6, 0.9, relative=0.09).reason  # of two processes
    assert test_of(log_w=6.5).verdict == "failed"  # as many as one of 768 snapshots
    assert test_of(log_w=5.5).verdict == "passed"
