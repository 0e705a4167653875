"""The forward test: a crack that k-hat does not see, a good generator, and what it counts."""

import copy
import math

import pytest
import torch
from torch import Tensor

from boltzgen.energy.choose import energy_for
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.geometry import dihedrals, wrap
from boltzgen.molecule.system import System
from boltzgen.simulation.forward import THIN, ForwardTest, forward_test
from boltzgen.weights import psis_k_hat

#: A hole in an ordinary place, a few degrees wide: two percent of the target.
CENTRE, WIDTH, DEPTH = (math.radians(-75.0), math.radians(150.0)), 0.12, 14.0


def hole(x: Tensor, system: System) -> Tensor:
    """What is missing from log q at positions x (..., n_atoms, 3): a hole in (phi, psi)."""
    angles = torch.stack([dihedrals(x, system.torsions[name]) for name in ("phi", "psi")], -1)
    gap = wrap(angles - angles.new_tensor(CENTRE)).square().sum(-1)
    return torch.where(gap < WIDTH**2, -DEPTH, 0.0)


class Cracked(BoltzmannGenerator):
    """q with a hole: log q is lower there, and hardly any draw falls in."""

    def log_prob(self, x: Tensor) -> Tensor:
        return super().log_prob(x) + hole(x, self.system)

    def _block(self, flow, energy, seed, block):  # type: ignore[no-untyped-def]
        x, u, log_q = super()._block(flow, energy, seed, block)
        missing = hole(x, self.system)
        kept = torch.rand(len(x), generator=torch.Generator().manual_seed(block)) < missing.exp()
        # Others take the places of those that are not made.
        source = torch.where(kept, torch.arange(len(x)), int(kept.nonzero()[0]))
        spare = kept.nonzero().squeeze(-1)
        source[~kept] = spare[: int((~kept).sum())]
        return x[source], u[source], (log_q + missing)[source]


@pytest.fixture(scope="module")
def good() -> BoltzmannGenerator:
    return BoltzmannGenerator.load("alanine_dipeptide")


def cracked(good: BoltzmannGenerator) -> BoltzmannGenerator:
    generator = copy.copy(good)
    generator.__class__ = Cracked
    return generator


def test_a_crack_is_flagged_and_k_hat_does_not_see_it(good: BoltzmannGenerator) -> None:
    generator, energy = cracked(good), energy_for(good.system)
    samples = generator.sample(40_000, energy, seed=1)
    assert psis_k_hat(samples.log_w.numpy()) < 0.5
    assert samples.sampling_efficiency > 0.99
    test = forward_test(generator, energy, n_walkers=256, n_starts=0, n_moves=20, seed=1)
    assert test.flagged and test.largest == pytest.approx(DEPTH, abs=1.0)
    assert test.forward_ess < 0.1
    assert 0 < test.share_above(7.0) < 0.1
    worst = test.summary()["worst"][0]
    assert worst["log_w"] == pytest.approx(test.largest)
    assert math.hypot(worst["torsions"]["phi"] + 75, worst["torsions"]["psi"] - 150) < 15
    assert "times too rarely (log w 1" in test.sentence
    assert test.at_stake > 0.001 and test.verdict == "failed"
    states = {(row["of"], row["state"]): row for row in test.summary()["states"]}
    # The hole is in one basin, at phi = -75, psi = 150, and in what else is counted there.
    row = states["basin", "C5"] if ("basin", "C5") in states else states["basin", "C7eq"]
    assert 0 < row["n_at_stake"] <= row["n_snapshots"] <= test.log_w.numel()
    assert sum(row["n_at_stake"] for (of, _), row in states.items() if of == "basin") == int(
        (test.log_w > 4).sum()
    )


def test_few_thin_places_are_no_failure_and_many_or_deep_ones_are() -> None:
    def found(*log_w: float) -> ForwardTest:
        """Of 2,048 simulations with 12 snapshots, all of log w 0 but for one snapshot each."""
        met = torch.zeros(12, 2048, dtype=torch.float64)
        met[0, : len(log_w)] = torch.tensor(log_w, dtype=torch.float64)
        none = torch.zeros(0)
        return ForwardTest(met, none, none, none, 0.8, 1, None)  # type: ignore[arg-type]

    assert found(5.9, 5.0).verdict == "passed"
    few = found(6.1, 4.5, 4.5, 4.5)
    assert few.verdict == "thin places" and not few.flagged
    assert few.at_stake == pytest.approx(4 / 24576)
    assert few.at_stake_error == pytest.approx(2 / 24576, rel=0.01)
    assert "drawn 450 times too rarely (log w 6.1), but only 0.016 ± 0.008 % of the target" in few.sentence
    assert "more than 55 times too rarely" in few.sentence
    assert few.reason == ""
    assert found(8.1).verdict == "failed" and found(8.1).reason == "a log w above 8"
    many = found(6.1, *[4.5] * 20)
    assert many.verdict == "failed"
    assert many.reason.startswith("55 times too rare: 0.085 % of the target, with two standard errors 0.12 %")
    assert found(5.9, *[4.5] * 20).verdict == "passed"


@pytest.mark.slow
def test_a_good_one_is_not_flagged_over_20_seeds(good: BoltzmannGenerator) -> None:
    energy = energy_for(good.system)
    found = [
        forward_test(good, energy, n_walkers=64, n_starts=0, n_moves=10, seed=seed) for seed in range(20)
    ]
    assert not any(test.flagged for test in found)
    assert max(test.largest for test in found) < THIN
    pooled = torch.cat([test.log_w.flatten() for test in found])
    # E_p[1/w] is one, and E_p[w] the inverse of the efficiency.
    assert float((-pooled).exp().mean()) == pytest.approx(1.0, abs=0.02)
    assert float(pooled.exp().mean()) == pytest.approx(1 / 0.997, abs=0.02)


def test_what_it_returns(system: System, good: BoltzmannGenerator) -> None:
    moves: list[int] = []
    energy = energy_for(system)
    test = forward_test(
        good,
        energy,
        n_walkers=32,
        n_starts=0,
        n_moves=6,
        n_steps=3,
        interval=2,
        seed=3,
        progress=moves.append,
    )
    assert moves == [1] * 6
    assert test.log_w.shape == (3, 32) and test.log_w.dtype == torch.float64
    assert test.n_energy_evaluations == 2048 + 32 + 32 * 6 * 3
    assert test.x.shape == (8, system.n_atoms, 3)
    assert test.log_w_worst.tolist() == sorted(test.log_w.amax(0).tolist(), reverse=True)[:8]
    x = good.coordinates.canonical(test.x.double())
    again = -energy(x).double() - good.log_prob(x).double() - good.sample(512, energy, seed=3).log_z.value
    assert torch.allclose(again, test.log_w_worst, atol=1e-3)
    summary = test.summary()
    phi = torch.rad2deg(dihedrals(test.x, system.torsions["phi"]))
    assert [row["torsions"]["phi"] for row in summary["worst"]] == pytest.approx(phi.tolist(), abs=0.06)
    assert 0.3 < summary["acceptance"] <= 1
    assert summary["forward_efficiency"] == pytest.approx(1 / float(test.log_w.exp().mean()))
    same = forward_test(good, energy, n_walkers=32, n_starts=0, n_moves=6, n_steps=3, interval=2, seed=3)
    other = forward_test(good, energy, n_walkers=32, n_starts=0, n_moves=6, n_steps=3, interval=2, seed=4)
    assert torch.equal(same.log_w, test.log_w)
    assert not torch.equal(other.log_w, test.log_w)
