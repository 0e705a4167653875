"""What is saved of samples in memory, and what they say of themselves."""

import os
import sys
from dataclasses import fields, replace
from pathlib import Path

import mdtraj
import numpy as np
import pytest
import torch

from boltzgen.analysis.report import analyze
from boltzgen.energy.forcefield import ForceFieldEnergy
from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.molecule.system import System
from boltzgen.samples.file import read_header
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.samples.writer import SamplesWriter
from tests.helpers.posing import made_up_samples


@pytest.fixture(scope="module")
def samples(system: System) -> WeightedSamples:
    return replace(made_up_samples(system, 300), temperature=310.0)


def assert_equal(a: WeightedSamples, b: WeightedSamples) -> None:
    for name in ("x", "u", "log_q", "log_w"):
        torch.testing.assert_close(getattr(a, name), getattr(b, name), rtol=0, atol=0)


def test_saved_samples_are_loaded_as_they_were(
    samples: WeightedSamples, system: System, tmp_path: Path
) -> None:
    path = tmp_path / "s.h5"
    samples.save(path)
    again = WeightedSamples.load(path)
    assert_equal(again, samples)
    assert again.temperature == 310.0
    assert again.populations() == samples.populations()
    header = read_header(path)
    assert (header.fingerprint, header.name) == (system.fingerprint, "alanine_dipeptide")
    assert (header.seed, header.n_energy_evaluations, header.generator) == (None, None, "")
    np.testing.assert_array_equal(mdtraj.load(str(path)).xyz, samples.x)
    again[:100].save(tmp_path / "again.h5")
    part = WeightedSamples.load(tmp_path / "again.h5")
    assert_equal(part, samples[:100])
    first, second = (read_header(tmp_path / name) for name in ("s.h5", "again.h5"))
    for field in fields(first):
        if field.name != "n_samples":
            assert getattr(first, field.name) == getattr(second, field.name)
    report = analyze(path, tmp_path / "report")
    assert (report["temperature"], report["seed"], report["n_samples"]) == (310.0, None, 300)


def test_a_saved_file_is_not_gone_on_with(samples: WeightedSamples, system: System, tmp_path: Path) -> None:
    """Nobody knows which draws of which seed it holds."""
    samples.save(tmp_path / "s.h5")
    writer = SamplesWriter(tmp_path / "s.h5", system, 310.0, seed=0, generator="some", resume=True)
    with pytest.raises(ValueError, match="are of another generator than these"), writer:
        pass


def test_a_file_that_exists_is_replaced_only_by_force(samples: WeightedSamples, tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    samples[:7].save(path)
    with pytest.raises(FileExistsError, match=r"s\.h5 exists already; add `force=True`"):
        samples.save(path)
    assert len(WeightedSamples.load(path)) == 7
    samples.save(path, force=True)
    assert len(WeightedSamples.load(path)) == 300
    assert os.listdir(tmp_path) == ["s.h5"]


def test_what_cannot_be_saved_says_why(samples: WeightedSamples, system: System, tmp_path: Path) -> None:
    path = tmp_path / "s.h5"
    with pytest.raises(ValueError, match="weighted; give `temperature` in K"):
        replace(samples, temperature=None).save(path)
    with pytest.raises(ValueError, match="weighted at 310 K, but `temperature` is 300 K"):
        samples.save(path, temperature=300.0)
    with pytest.raises(ValueError, match=r"of resampled conformations save the draws before that"):
        samples.resample(10).save(path)
    with pytest.raises(ValueError, match="set `system` to a `System`"):
        replace(samples, system=None).save(path)
    with pytest.raises(ValueError, match=r"ends in \.h5 or \.hdf5"):
        samples.save(tmp_path / "s.xtc")
    with pytest.raises(FileNotFoundError, match="create it first"):
        samples.save(tmp_path / "no" / "s.h5")
    assert os.listdir(tmp_path) == []
    replace(samples, temperature=None).save(path, temperature=310.0)
    assert WeightedSamples.load(path).temperature == 310.0


def test_draws_of_a_generator_know_their_temperature(system: System, tmp_path: Path) -> None:
    generator = BoltzmannGenerator.load("alanine_dipeptide")
    drawn = generator.sample(16, ForceFieldEnergy(system, temperature=320.0), seed=1)
    drawn.save(tmp_path / "s.h5")
    assert read_header(tmp_path / "s.h5").temperature == 320.0
    assert repr(generator) == (
        f"<BoltzmannGenerator alanine_dipeptide: 22 atoms, {len(system.torsions)} torsions, "
        f"{sum(p.numel() for p in generator.parameters()):,} parameters, temperature 300 K, device cpu>"
    )
    assert "<td" in generator._repr_html_()


def test_samples_say_what_they_are(samples: WeightedSamples, system: System) -> None:
    said = repr(samples)
    assert said.startswith(
        "<WeightedSamples alanine_dipeptide: 300 conformations, 22 atoms, temperature 310 K"
    )
    assert f"sampling efficiency {100 * samples.sampling_efficiency:.3g} %" in said
    assert "\n" not in said
    html = samples._repr_html_()
    assert "alanine_dipeptide" in html
    assert "310 K" in html
    assert "sampling efficiency none" in repr(samples[::100])
    assert "0 conformations" in repr(samples[:0])
    assert repr(replace(samples[:5], system=None)).startswith("<WeightedSamples: 5 conformations")


def test_systems_say_what_they_are(system: System) -> None:
    assert repr(system) == (
        "<System alanine_dipeptide: 22 atoms, 3 residues, temperature 300 K, "
        "basins C7ax, alphaL, alphaR, C7eq, C5>"
    )
    assert "phi, psi" in system._repr_html_()


def test_a_data_frame_has_weights_and_torsions(samples: WeightedSamples) -> None:
    frame = samples.to_dataframe()
    assert list(frame.columns) == ["u", "log_q", "log_w", "weight", *samples.system.torsions]  # type: ignore[union-attr]
    np.testing.assert_allclose(frame["weight"], samples.weights)
    np.testing.assert_allclose(frame["phi"], np.degrees(samples.torsion("phi").numpy()), rtol=1e-5)
    assert list(replace(samples, system=None).to_dataframe()) == ["u", "log_q", "log_w", "weight"]


def test_without_pandas_it_is_named(samples: WeightedSamples, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="needs pandas: `pip install pandas`"):
        samples.to_dataframe()
