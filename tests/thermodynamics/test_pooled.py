"""Draws of two generators of one molecule are draws of their mixture."""

import math

import pytest
import torch

from boltzgen.molecule.system import System
from boltzgen.thermodynamics.pooled import log_density, pooled_samples
from tests.helpers.standin import Thinned, shipped


def test_two_halves_of_a_generator_are_pooled_to_the_whole() -> None:
    """Each draws less where phi is on one side; the mixture's weights know of both."""
    _, generator, energy = shipped()
    plain = generator.sample(2000, energy, seed=5)
    share = float((plain.torsion("psi") > 0).double().mean())

    class Half(Thinned):
        """Keeps half of the draws with psi on one side."""

        def sample(self, n, energy, *, seed=0):
            drawn = type(plain).concatenate(self.sample_chunks(2 * n, energy, seed=seed))
            return drawn[slice(0, n)]

        @property
        def device(self):
            return generator.device

    system = plain.system
    assert isinstance(system, System)
    psi = system.torsions["psi"]

    def positive(x: torch.Tensor) -> torch.Tensor:
        from boltzgen.geometry import dihedrals

        return dihedrals(x, psi) > 0

    halves = [
        Half(generator, lambda x: torch.where(positive(x), 1.0, 0.5), share + (1 - share) / 2),
        Half(generator, lambda x: torch.where(positive(x), 0.5, 1.0), (1 - share) + share / 2),
    ]
    pooled = pooled_samples(halves, energy, 700, seed=1)  # type: ignore[arg-type]
    assert len(pooled) == 1400
    assert pooled.log_z.value == pytest.approx(float(plain.log_z.value), abs=0.1)
    assert pooled.sampling_efficiency > 0.9
    found = pooled.expectation(lambda s: s.torsion("psi") > 0)
    assert found.low - 0.03 < share < found.high + 0.03


def test_one_generator_twice_is_itself() -> None:
    _, generator, energy = shipped()
    pooled = pooled_samples([generator, generator], energy, [300, 200], seed=0)
    alone = generator.sample(300, energy, seed=0)
    assert torch.equal(pooled.x[:300], alone.x)
    assert not torch.equal(pooled.x[300:], alone.x[:200])
    assert torch.allclose(pooled.log_q[:300], alone.log_q, atol=2e-3)
    assert log_density(generator, alone) == pytest.approx(alone.log_q, abs=2e-3)
    outside = type(alone)(alone.x, torch.full_like(alone.u, math.inf), alone.log_q, alone.log_w, alone.system)
    assert (log_density(generator, outside) == -math.inf).all()


def test_refusals() -> None:
    _, generator, energy = shipped()
    with pytest.raises(ValueError, match="at least one generator"):
        pooled_samples([], energy, 10)
    with pytest.raises(ValueError, match="draws of each of 1"):
        pooled_samples([generator], energy, [10, 10])
