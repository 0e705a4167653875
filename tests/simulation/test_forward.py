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
from boltzgen.simulation.forward import THIN, forward_test
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
    test = forward_test(generator, energy, n_walkers=256, n_moves=20, seed=1)
    assert test.flagged and test.largest == pytest.approx(DEPTH, abs=1.0)
    assert test.forward_ess < 0.1
    assert 0 < test.share_above(7.0) < 0.1
    worst = test.summary()["worst"][0]
    assert worst["log_w"] == pytest.approx(test.largest)
    assert math.hypot(worst["torsions"]["phi"] + 75, worst["torsions"]["psi"] - 150) < 15
    assert "next to no density there" in test.sentence


@pytest.mark.slow
def test_a_good_one_is_not_flagged_over_20_seeds(good: BoltzmannGenerator) -> None:
    energy = energy_for(good.system)
    found = [forward_test(good, energy, n_walkers=64, n_moves=10, seed=seed) for seed in range(20)]
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
        good, energy, n_walkers=32, n_moves=6, n_steps=3, interval=2, seed=3, progress=moves.append
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
    same = forward_test(good, energy, n_walkers=32, n_moves=6, n_steps=3, interval=2, seed=3)
    other = forward_test(good, energy, n_walkers=32, n_moves=6, n_steps=3, interval=2, seed=4)
    assert torch.equal(same.log_w, test.log_w)
    assert not torch.equal(other.log_w, test.log_w)
