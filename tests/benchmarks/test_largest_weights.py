"""The largest weights of a generator, beside a simulation of the same molecule."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.geometry import dihedrals
from boltzgen.molecule.system import System
from boltzgen.seeding import random_stream
from boltzgen.simulation.ensemble import Ensemble
from boltzgen.simulation.estimates import mbar
from tests.helpers.scripts import loaded

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@torch.no_grad()
def test_parts_of_the_broad_components() -> None:
    """(1 - part) q is the main component's, of the torsions and of the rest; on average it is the share."""
    script = loaded(BENCHMARKS / "largest_weights.py")
    flow = BoltzmannGenerator.load("alanine_tetrapeptide").flow
    y, *_ = flow.draw((300,), generator=random_stream("cpu", 0))
    found = np.array([script.broad_parts(flow, row) for row in y.split(1)])
    t, r = y[:, : flow.n_leading], y[:, flow.n_leading :]
    context, rest = flow.features(t), flow.conditional
    z = rest.transform.inverse(r, context)[0]
    for part, mixture, at in ((found[:, 0], flow.leading, (t,)), (found[:, 1], rest.base, (z, context))):
        main = (1 - mixture.share) * (mixture.main.log_prob(*at) - mixture.log_prob(*at)).exp()
        assert part == pytest.approx(1 - main.numpy(), abs=1e-3)
        assert part.mean() == pytest.approx(mixture.share, abs=0.02) and part.min() < 0.01
    assert math.isnan(script.broad_part(rest.base.broad, z[:1]))


@pytest.mark.slow
def test_largest_weights_benchmark(tmp_path: Path) -> None:
    """Shares by the sign of phi, also of a simulation; then a line for each draw in order of weight, whose
    parts add up to it, with its torsions.
    """
    quick = ["--walkers", "8", "--interval", "1", "-n", "10", "-o", tmp_path / "sim"]
    subprocess.run(
        [sys.executable, "-m", "boltzgen", "simulate", "alanine_dipeptide", *quick],
        capture_output=True,
        check=True,
    )
    command = [
        sys.executable,
        BENCHMARKS / "largest_weights.py",
        "alanine_dipeptide",
        "-n",
        "5000",
        "--top",
        "3",
        "--simulation",
        tmp_path / "sim",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    first, second, *lines = done.stdout.splitlines()
    shares, rows = lines[:-3], lines[-3:]
    assert first.startswith("efficiency 99.") and "without the largest weights" in first
    assert second.endswith("of 3 have a phi > 0")
    assert [row.split()[0] for row in shares] == ["none", "phi"]
    draws, weight, squared, simulated = ([float(row.split()[k]) for row in shares] for k in (3, 5, 7, 9))
    assert sum(simulated) == pytest.approx(1, abs=1e-5)
    system = System.load("alanine_dipeptide")
    ensemble = Ensemble.load(tmp_path / "sim", system)
    later = ensemble.potential[ensemble.n_frames // 2 :].numpy()
    share = np.exp(mbar(later, ensemble.temperatures.numpy(), system.temperature)[1])
    left = dihedrals(ensemble.x[ensemble.n_frames // 2 :], system.torsions["phi"]).numpy() > 0
    assert simulated[1] == pytest.approx(float(share[left].sum()), abs=0.002) and 0.01 < simulated[1] < 0.99
    assert float(shares[0].split()[-1]) > 0
    assert int(shares[0].split()[1]) + int(shares[1].split()[1]) == 5000
    assert sum(draws) == pytest.approx(1, abs=1e-5) == sum(weight)
    assert 0.9 < 1 / sum(squared) == pytest.approx(float(first.split()[1]) / 100, abs=2e-3)
    assert 0.0005 < weight[1] < 0.004  # C7ax, 0.19 %
    weights, parts = [], []
    for row in rows:
        weight, torsions, rest, fits, percent, *broad, phi, _, psi, _ = row.replace(",", "").split()
        weights.append(float(weight))
        parts.append(float(torsions) + float(rest))
        assert (percent, broad, phi, psi) == ("%", ["nan", "nan"], "phi", "psi")
        assert 50 < float(fits) <= 100
    assert len(weights) == 3 and weights == sorted(weights, reverse=True)
    # Up to a constant, the mean weight over the median one: close to zero for a generator this good.
    assert [math.log(w) for w in weights] == pytest.approx(parts, abs=0.05)
