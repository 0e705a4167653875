"""The shipped checkpoints, of alanine dipeptide above all, through the command line: what its README claims,
on few draws.
"""

import json
import math
from pathlib import Path
from typing import Any

import mdtraj
import pytest
import torch

from boltzgen.cli import main
from boltzgen.evaluation.reference import REFERENCE
from boltzgen.flow.elementary import Product
from boltzgen.flow.resampled import Resampled
from boltzgen.generator.checkpoint import CHECKPOINT
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.molecule.shipped import shipped_systems
from boltzgen.molecule.system import System
from boltzgen.storage import read_tensors

SEEDS = (11, 12, 13)
N = 8192


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(arguments) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def test_efficiency_and_log_z(capsys: pytest.CaptureFixture[str]) -> None:
    runs = [
        printed(capsys, "sample", "alanine_dipeptide", "-n", str(N), "--seed", str(seed), "--json")
        for seed in SEEDS
    ]
    for run in runs:
        assert run["sampling_efficiency"] >= 0.98
        assert run["n_energy_evaluations"] == N
        assert run["fraction_outside_domain"] < 1e-3
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert abs(runs[a]["log_z"] - runs[b]["log_z"]) < 4 * math.hypot(
            runs[a]["log_z_error"], runs[b]["log_z_error"]
        )


def test_sample_analyze_export(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "samples.h5"
    printed(capsys, "sample", "alanine_dipeptide", "-n", "20000", "-o", str(file), "--seed", "1", "--json")
    assert mdtraj.load(str(file)).n_frames == 20000
    report = printed(capsys, "analyze", str(file), "-o", str(tmp_path / "report"), "--json")
    basins = {b["name"]: b for b in report["basins"]}
    assert (
        basins["C7ax"]["n_raw"] + basins["alphaL"]["n_raw"] >= 20
    )  # at least 1e-3 of all draws are at phi > 0
    assert sum(b["population"] for b in report["basins"]) == pytest.approx(1.0)
    assert (tmp_path / "report" / "ramachandran.png").stat().st_size > 10_000
    assert main(["export", str(file), str(tmp_path / "out.xtc"), "--resample", "50"]) == 0
    assert mdtraj.load(str(tmp_path / "out.xtc"), top=str(file)).n_frames == 50


def test_acceptance_rate_is_exact() -> None:
    """log Z of the resampled base, which is in every weight: its quadrature has converged."""
    system = System.load("alanine_dipeptide")
    base = BoltzmannGenerator.load(system.folder, system).flow.leading.base
    assert isinstance(base, Product)
    (resampled,) = (f for f in base.factors if isinstance(f, Resampled))
    assert resampled.acceptance_rate_error() < 1e-5
    assert resampled.double().acceptance_rate_error() < 1e-7


@torch.no_grad()
@pytest.mark.slow
def test_float32_densities_are_good_to_a_ten_thousandth() -> None:
    """Drawing and evaluating agree, and both with float64: a steep spline would lose digits in its
    inverse.
    """
    system = System.load("alanine_dipeptide")
    flow = BoltzmannGenerator.load(system.folder, system).flow
    y, drawn, _ = flow.draw((20_000,), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(flow.log_prob(y), drawn, atol=2e-4, rtol=0)
    torch.testing.assert_close(flow.double().log_prob(y.double()), drawn.double(), atol=2e-4, rtol=0)


SHIPPED = shipped_systems()["alanine_dipeptide"]


def test_the_generator_agrees_with_the_shipped_reference(capsys: pytest.CaptureFixture[str]) -> None:
    """Reweighted populations and marginals within the combined errors, and nothing missing."""
    assert (SHIPPED / REFERENCE).stat().st_size <= 5_000_000
    result = printed(capsys, "evaluate", "alanine_dipeptide", "-n", "30000", "--json")
    assert result["missing_modes"] == []
    assert max(abs(b["z"]) for b in result["basins"]) < 4
    assert abs(result["marginals"][0]["z"]) < 5
    assert abs(result["eubo"] - result["log_z"]) < 0.1


def test_tetrapeptide(capsys: pytest.CaptureFixture[str]) -> None:
    """What docs/results/alanine_tetrapeptide.md says of it."""
    folder = shipped_systems()["alanine_tetrapeptide"]
    assert (folder / CHECKPOINT).stat().st_size <= 10_000_000
    run = printed(capsys, "sample", "alanine_tetrapeptide", "-n", str(N), "--seed", "11", "--json")
    assert run["sampling_efficiency"] >= 0.82
    assert run["sampling_efficiency_clipped"] >= 0.87
    assert run["log_z"] == pytest.approx(-343.3627, abs=4 * run["log_z_error"])


def test_checkpoint_says_what_it_is() -> None:
    folder = System.load("alanine_dipeptide").folder
    assert folder is not None
    assert (folder / CHECKPOINT).stat().st_size <= 5 * 2**20
    metadata, _ = read_tensors(folder / CHECKPOINT)
    assert metadata["temperature"] == 300.0
