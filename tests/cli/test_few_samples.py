"""One sample, or two, or ten: every command says what it can, and nothing warns of a division by zero."""

import warnings
from pathlib import Path

import pytest
import torch

from boltzgen.coordinates.molecular import MolecularCoordinates
from boltzgen.samples.weighted_samples import WeightedSamples
from boltzgen.samples.writer import SamplesWriter
from tests.helpers.command_line import FakeGenerator, call
from tests.helpers.molecules import peptide, random_y


@pytest.mark.parametrize("n", [1, 2, 10])
def test_sample(
    n: int, run_folder: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks = FakeGenerator.sample_chunks
    # The first one has no weight.
    monkeypatch.setattr(
        FakeGenerator, "sample_chunks", lambda self, n, *a, **k: (c[1:] for c in chunks(self, n + 1, *a, **k))
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        code, out, _ = call(capfd, "sample", run_folder, "-n", n)
    assert code == 0
    rows = {line[:19].strip(): line[19:].strip() for line in out.splitlines()}
    assert rows["draws"] == str(n)
    assert rows["PSIS k-hat"] == "not estimated: too few draws, or equal weights"
    assert rows["log Z"].endswith(" (error not estimated)")
    assert "nan" not in out and "inf" not in out


@pytest.mark.parametrize("n", [1, 2, 10])
def test_analyze_and_export(n: int, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    system = peptide("phe_pro_trp")
    coordinates = MolecularCoordinates(system)
    x = coordinates(random_y(coordinates, n))[0]
    with SamplesWriter(tmp_path / "s.h5", system, 300.0) as writer:
        writer.write(WeightedSamples.from_energies(x, torch.arange(n) / n, torch.zeros(n)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        code, out, _ = call(capfd, "analyze", tmp_path / "s.h5", "-o", tmp_path / "report")
        assert call(capfd, "export", tmp_path / "s.h5", tmp_path / "f.dcd", "--resample", 3)[0] == 0
    assert code == 0
    assert "not estimated" in out and "nan" not in out and "±" not in out
