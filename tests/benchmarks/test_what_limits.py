"""What limits a generator: the two factors of 1/efficiency on numbers that are known, and the script."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from torch import Tensor

from boltzgen.flow.elementary import UniformTorus
from boltzgen.flow.flow import Flow
from boltzgen.flow.mixture import DefensiveMixture
from boltzgen.flow.transform import Chain, Transform
from tests.helpers.scripts import loaded

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "what_limits.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return loaded(SCRIPT)


def test_torsions_and_rest_apart(script: ModuleType) -> None:
    """Log-normal weights of both, of variances 0.1 and 0.3 and of means 1: E[w^2] is exp(0.1 + 0.3)."""
    rng, n, m = np.random.default_rng(0), 20_000, 4
    of_torsions = rng.lognormal(-0.05, 0.1**0.5, (n, 1))
    w = of_torsions * rng.lognormal(-0.15, 0.3**0.5, (n, m))
    found = script.efficiencies(*script.moments(w))
    np.testing.assert_allclose(found, np.exp([-0.4, -0.1, -0.3]), rtol=0.02)


def test_deviations_of_couplings(script: ModuleType) -> None:
    """Layers that double two angles; their log-determinants are a multiple of the sum, or 3 everywhere."""

    class Scale(Transform):
        def __init__(self, by: float) -> None:
            super().__init__()
            self.by = by

        def forward(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
            log_det = self.by * z.sum(-1) if self.by else torch.full(z.shape[:-1], 3.0)
            return 2 * z, log_det

        def inverse(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
            raise AssertionError("no part of this")

    uniform = UniformTorus(2)
    flow = Flow(uniform, Chain([Scale(0.5), Scale(0.0), Scale(0.5)]))
    a = 2 * np.pi / 12**0.5  # the deviation of an angle
    for torsions in (flow, DefensiveMixture(flow, uniform, 0.5)):
        found = script.coupling_deviations(torsions, 20_000, 0)
        assert found == pytest.approx([a / 2**0.5, 0.0, 4 * a / 2**0.5], rel=0.02, abs=1e-6)
    with pytest.raises(TypeError, match="expected a flow"):
        script.coupling_deviations(uniform, 10, 0)


@pytest.mark.slow
def test_the_script() -> None:
    """The shipped dipeptide, which little limits: shares of each division add up, coordinates have names."""
    command = [sys.executable, SCRIPT, "alanine_dipeptide", "--torsions", "200"]
    done = subprocess.run(
        [*command, "--rest", "8", "--top", "3"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    summary, states, forces, deviations = done.stdout.split("\n\n")
    for line, label in zip(summary.splitlines(), ("all", "torsions alone", "rest given them"), strict=True):
        assert line.startswith(label) and float(line[len(label) :].split()[0]) > 98
    rows = [line.split() for line in states.splitlines()[1:] if line.startswith("basin ")]
    for column in (2, 3, 4):
        assert sum(float(row[column]) for row in rows) == pytest.approx(100, abs=0.1)
    assert len(forces.splitlines()) == 4 and " " in forces.splitlines()[1].strip()
    assert all(0 < float(found) < 2 for found in deviations.split(":")[1].split())
