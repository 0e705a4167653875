"""Other shares of broad components, from draws of a generator: `benchmarks/broad_shares.py`."""

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.seeding import random_stream
from boltzgen.weights import clip_log_weights, sampling_efficiency
from tests.helpers.scripts import loaded

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "broad_shares.py"


@torch.no_grad()
def test_components_of_a_generator() -> None:
    """With the shares that it has, the two components make its density; without them it is refused."""
    script = loaded(SCRIPT)
    generator = BoltzmannGenerator.load("alanine_tetrapeptide")
    y, log_q, _ = generator.flow.draw((500,), generator=random_stream("cpu", 0))
    of_torsions, of_rest = script.components(generator, y)
    shares = generator.flow.leading.share, generator.flow.conditional.base.share
    found = script.mixed(of_torsions, shares[0]) + script.mixed(of_rest, shares[1])
    torch.testing.assert_close(found, log_q.double(), atol=2e-3, rtol=0)
    with pytest.raises(ValueError, match="broad components"):
        script.components(BoltzmannGenerator.load("alanine_dipeptide"), y)


def test_efficiencies_of_other_shares_are_those_of_draws_from_them() -> None:
    """p = N(0, 1), components N(0.3, 0.8) and N(0, 2): draws of one share tell the efficiency of another."""
    script, stream = loaded(SCRIPT), torch.Generator().manual_seed(0)
    normals = [torch.distributions.Normal(*each) for each in ((0.3, 0.8), (0.0, 2.0), (0.0, 1.0))]

    def drawn(share: float) -> torch.Tensor:
        z = torch.randn(200_000, generator=stream, dtype=torch.float64)
        broad = torch.rand(len(z), generator=stream) < share
        return torch.where(broad, 2 * z, 0.3 + 0.8 * z)

    def log_w(z: torch.Tensor, share: float) -> torch.Tensor:
        return normals[2].log_prob(z) - script.mixed(
            torch.stack([n.log_prob(z) for n in normals[:2]], 1), share
        )

    z = drawn(0.3)
    # A draw outside the domain, which has no weight.
    own = torch.where(torch.arange(len(z)) == 7, -math.inf, log_w(z, 0.3))
    for share in (0.1, 0.3, 0.6):
        there = log_w(drawn(share), share)
        plain, clipped = script.efficiencies(own, own + log_w(z, share) - log_w(z, 0.3))
        assert plain == pytest.approx(float(sampling_efficiency(there)), abs=0.004)
        assert clipped == pytest.approx(float(sampling_efficiency(clip_log_weights(there))), abs=0.004)
    assert abs(plain - script.efficiencies(own, own)[0]) > 0.05
    # One draw of e^5 times all the others' weight, with the same share.
    spike = torch.zeros(20_000, dtype=torch.float64)
    spike[3] = 5.0
    assert script.efficiencies(spike, spike) == pytest.approx((0.483, 1.0), abs=1e-3)


@pytest.mark.slow
def test_broad_shares_benchmark() -> None:
    """The shares that it has give its efficiency, a far larger one less."""
    shipped = Path(__file__).parents[2] / "systems" / "alanine_tetrapeptide"
    options = ["-n", "8192", "--seeds", "2", "--torsions", "0.05", "0.5", "--rest", "0.02"]
    command = [sys.executable, SCRIPT, "alanine_tetrapeptide", shipped, *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    own, other = (float(line.split()[5]) for line in done.stdout.splitlines())
    assert 80 < own < 91 and other < own - 20
