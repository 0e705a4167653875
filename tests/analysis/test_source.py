"""References and trajectories are analysed like samples of equal weight."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from boltzgen.analysis.report import analyze
from boltzgen.analysis.source import open_source
from boltzgen.evaluation.reference import REFERENCE, Reference
from boltzgen.molecule.basins import Basin
from boltzgen.molecule.shipped import shipped_systems
from boltzgen.molecule.system import System
from boltzgen.samples.sizes import radius_of_gyration
from boltzgen.samples.weighted_samples import WeightedSamples
from tests.helpers.posing import made_up_samples

WEIGHTS_SAY = ("sampling_efficiency", "psis_k_hat", "log_z", "log_z_error", "largest_weight_share")


@pytest.fixture(scope="module")
def samples(system: System) -> WeightedSamples:
    """With a weight each."""
    drawn = made_up_samples(system, 300)
    return replace(drawn[drawn.log_w > -torch.inf], temperature=300.0)


@pytest.fixture(scope="module")
def alanine_reference(system: System) -> Path:
    assert system.folder is not None
    return system.folder / REFERENCE


def test_a_reference_has_equal_weights(system: System, alanine_reference: Path, tmp_path: Path) -> None:
    reference = Reference.load(alanine_reference, system)
    zero = torch.zeros(len(reference))
    expected = WeightedSamples(reference.x, zero, zero, zero, system)
    result = analyze(alanine_reference, tmp_path)
    assert (result["source"], result["system"], result["n_samples"]) == (
        "reference",
        system.name,
        len(reference),
    )
    assert result["effective_sample_size"] == len(reference)
    assert [result[name] for name in WEIGHTS_SAY] == [None] * len(WEIGHTS_SAY)
    assert [b["population"] for b in result["basins"]] == pytest.approx(
        [b.population for b in expected.populations()]
    )
    assert result["sizes"]["radius_of_gyration"]["mean"] == pytest.approx(
        expected.mean(radius_of_gyration).value
    )


@pytest.mark.parametrize("suffix", [".xtc", ".dcd", ".h5"])
def test_a_trajectory_has_equal_weights(
    samples: WeightedSamples, system: System, tmp_path: Path, suffix: str
) -> None:
    from boltzgen.samples.export import write_frames

    path = tmp_path / f"frames{suffix}"
    write_frames(path, system.mdtraj_topology, [samples.x.numpy()])
    source = open_source(path, "alanine_dipeptide")
    assert (source.kind, source.n, source.is_weighted) == ("trajectory", len(samples), False)
    x = torch.cat([chunk.x for chunk in source.chunks()])
    np.testing.assert_allclose(x, samples.x, atol=6e-4)
    with pytest.raises(ValueError, match=r"which molecule it is of: give `system`"):
        open_source(path)
    if suffix == ".xtc":
        result = analyze(path, tmp_path / "out", system=system)
        equal = replace(samples, log_w=torch.zeros(len(samples)))
        assert [b["population"] for b in result["basins"]] == pytest.approx(
            [b.population for b in equal.populations()], abs=0.02
        )


def test_the_system_of_a_reference_is_found_or_asked_for(alanine_reference: Path, tmp_path: Path) -> None:
    # Of a system that ships, wherever the file lies.
    shutil.copy(alanine_reference, tmp_path / "ours.h5")
    assert open_source(tmp_path / "ours.h5").molecule.name == "alanine_dipeptide"
    # Of another one, beside the file or given.
    reference = replace(Reference.load(alanine_reference), system="mine")
    reference.save(tmp_path / "mine.h5")
    with pytest.raises(
        ValueError, match="a reference of 'mine', which does not lie beside it and does not ship"
    ):
        open_source(tmp_path / "mine.h5")
    folder = shipped_systems()["alanine_dipeptide"]
    assert open_source(tmp_path / "mine.h5", folder).molecule.name == "alanine_dipeptide"
    for name in ("system.toml", "topology.pdb"):
        shutil.copy(folder / name, tmp_path / name)
    assert open_source(tmp_path / "mine.h5").kind == "reference"
    with pytest.raises(ValueError, match="is a reference of another system than 'dimethoxyethane'"):
        open_source(tmp_path / "mine.h5", "dimethoxyethane")


def test_a_system_brings_its_basins_to_samples(
    samples: WeightedSamples, system: System, tmp_path: Path
) -> None:
    samples.save(tmp_path / "s.h5")
    mine = System.load("alanine_dipeptide")
    mine.basins = (Basin("left", phi=(-180, 0)), Basin("right", phi=(0, 180)))
    result = analyze(tmp_path / "s.h5", tmp_path / "out", system=mine)
    assert [b["name"] for b in result["basins"]] == ["left", "right"]
    with pytest.raises(ValueError, match="for another target .* than dimethoxyethane; leave out `system`"):
        open_source(tmp_path / "s.h5", "dimethoxyethane")


def test_what_is_no_such_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no samples file at"):
        open_source(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("text")
    for given in (None, "alanine_dipeptide"):
        with pytest.raises(ValueError, match=r"text\.h5 cannot be read as a samples file"):
            open_source(tmp_path / "text.h5", given)
    with pytest.raises(FileNotFoundError, match="no system called 'nonsense'"):
        open_source(tmp_path / "none.h5", "nonsense")
