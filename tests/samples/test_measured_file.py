"""Samples files of constrained molecules, weighted for what constrained dynamics samples."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from boltzgen.analysis.pmf_report import pmf_report
from boltzgen.analysis.report import analyze
from boltzgen.analysis.source import open_source
from boltzgen.analysis.states import state_energies
from boltzgen.analysis.temperature_report import temperature_report
from boltzgen.molecule.shipped import shipped_systems
from boltzgen.molecule.system import System
from boltzgen.samples.measure import mass_metric_log_det
from boltzgen.samples.measured_file import MeasuredFile
from boltzgen.samples.weighted_samples import WeightedSamples
from tests.helpers.peroxide import peroxide
from tests.helpers.rattled import rattled_samples

CONSTRAINED = "constrained-dynamics"
UP = "up: phi2 > -60"


@pytest.fixture(scope="module")
def system() -> System:
    return System.load("alanine_tripeptide")


@pytest.fixture(scope="module")
def samples(system: System) -> WeightedSamples:
    return rattled_samples(system, 3000)


@pytest.fixture(scope="module")
def file(samples: WeightedSamples, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("measured") / "s.h5"
    samples.save(path, temperature=300.0)
    return path


@pytest.fixture(scope="module")
def log_w(samples: WeightedSamples, system: System) -> torch.Tensor:
    """What the weights have to be: larger by |Z|^(1/2)."""
    return samples.log_w + 0.5 * mass_metric_log_det(system, samples.x)


def test_weights_of_the_measure(file: Path, samples: WeightedSamples, log_w: torch.Tensor) -> None:
    found = MeasuredFile(file, CONSTRAINED)
    read = WeightedSamples.concatenate(found)
    torch.testing.assert_close(read.log_w, log_w)
    torch.testing.assert_close(found.log_weights(), log_w)
    assert float((log_w - samples.log_w).std()) > 1e-3
    assert torch.equal(read.u, samples.u)
    for own in (MeasuredFile(file), MeasuredFile(file, system="alanine_tripeptide")):
        assert torch.equal(own.log_weights(), samples.log_w)
        assert torch.equal(WeightedSamples.concatenate(own).log_w, samples.log_w)


def test_states(file: Path, samples: WeightedSamples, log_w: torch.Tensor) -> None:
    up = (samples.torsion("phi2").rad2deg() > -60).numpy()
    w = np.exp(log_w.numpy() - float(log_w.max()))
    found = state_energies(file, states=[UP], measure=CONSTRAINED)
    assert found.rows[0].population.value == pytest.approx(w[up].sum() / w.sum(), rel=1e-9)
    plain = state_energies(file, states=[UP])
    assert abs(found.rows[0].population.value - plain.rows[0].population.value) > 1e-7
    with pytest.raises(ValueError, match="weight samples in memory by `weighted_for`"):
        state_energies(samples, states=[UP], temperature=300.0, measure=CONSTRAINED)


def test_pmf(file: Path, samples: WeightedSamples, log_w: torch.Tensor) -> None:
    found = pmf_report(file, ["phi2"], bins=12, measure=CONSTRAINED)
    angles = samples.torsion("phi2").rad2deg().double().numpy()
    w = np.exp(log_w.numpy() - float(log_w.max()))
    expected, _ = np.histogram(angles, 12, (-180, 180), weights=w / w.sum(), density=False)
    np.testing.assert_allclose(found.pmf.density * 30, expected, rtol=1e-9, atol=1e-12)


def test_other_temperatures_keep_the_factor(
    file: Path, samples: WeightedSamples, log_w: torch.Tensor
) -> None:
    """It does not depend on the temperature, unlike a term of the energy."""
    found = temperature_report(file, [300.0, 310.0], states=[UP], measure=CONSTRAINED)
    u = samples.u.numpy()
    here = log_w.numpy() + u * (1 - 300 / 310)
    expected = -(np.logaddexp.reduce(here) - math.log(len(u)))
    assert found.points[1].free_energy.value == pytest.approx(expected, rel=1e-9)
    w = np.exp(here - here.max())
    assert found.points[1].energy.value == pytest.approx((w * u).sum() / w.sum() * 300 / 310, rel=1e-9)


def test_analysis(file: Path, samples: WeightedSamples, log_w: torch.Tensor, tmp_path: Path) -> None:
    found = analyze(file, tmp_path, measure=CONSTRAINED)
    weighted = WeightedSamples(samples.x, samples.u, samples.log_q, log_w, samples.system)
    assert found["measure"] == CONSTRAINED
    assert found["log_z"] == pytest.approx(weighted.log_z.value, rel=1e-9)
    for name, rows in weighted.region_populations().items():
        shares = [row.population for row in rows]
        assert [row["population"] for row in found["regions"][name]] == pytest.approx(shares, rel=1e-9)
    assert analyze(file, tmp_path)["measure"] == "flexible-limit"


def test_frames_have_their_own_measure() -> None:
    reference = shipped_systems()["alanine_dipeptide"] / "reference.h5"
    assert open_source(reference).about["measure"] is None
    with pytest.raises(ValueError, match="is a reference: its frames have the measure of"):
        open_source(reference, measure=CONSTRAINED)


def test_masses_of_ones_own_molecule(tmp_path: Path) -> None:
    own = peroxide(constraints=True)
    samples = rattled_samples(own, 50)
    path = tmp_path / "s.h5"
    samples.save(path, temperature=300.0)
    with pytest.raises(ValueError, match="masses and constraints of 'peroxide', which is none of"):
        MeasuredFile(path, CONSTRAINED)
    with pytest.raises(ValueError, match="are for another target"):
        MeasuredFile(path, CONSTRAINED, peroxide())
    with pytest.raises(ValueError, match="`measure` to be one of flexible-limit, constrained-dynamics"):
        MeasuredFile(path, "rigid")  # type: ignore[arg-type]
    found = MeasuredFile(path, CONSTRAINED, own).log_weights()
    torch.testing.assert_close(found, samples.log_w + 0.5 * mass_metric_log_det(own, samples.x))
