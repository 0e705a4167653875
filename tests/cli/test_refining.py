"""`boltzgen sample --refine` with a real generator: what it prints beside the plain draws' figures."""

import json
from pathlib import Path

import pytest

from boltzgen.samples.file import read_header, read_samples
from boltzgen.units import percent
from tests.helpers.command_line import call


def test_what_the_moves_gain_is_said(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("boltzgen.generator.annealed_importance._PILOT_MOVES", 5)
    at = ("alanine_dipeptide", "-n", 2048, "--temperature", 400, "--refine", 1)
    file = tmp_path / "s.h5"
    code, out, _ = call(capfd, "sample", *at, "-o", file, "--json")
    assert code == 0
    found = json.loads(out)
    gain = found["refinement"]
    assert found["refined"] == gain["steps"] == 1
    assert 0 < gain["plain_sampling_efficiency"] < found["sampling_efficiency"]
    # A plain energy, one where the draw begins, five of its move, one where it ends; and the pilots'.
    assert 8 * 2048 < found["n_energy_evaluations"] < 8 * 2048 + 50_000
    size = found["effective_sample_size"]
    assert gain["per_energy"] == pytest.approx(size / found["n_energy_evaluations"])
    assert gain["plain_per_energy"] == gain["plain_sampling_efficiency"]
    assert 0 < gain["per_second"] < gain["plain_per_second"]
    assert read_header(file).refined == 1
    assert read_samples(file).effective_sample_size == pytest.approx(size)
    code, out, _ = call(capfd, "sample", *at)
    assert code == 0
    said = " ".join(out.split())
    per_energy = f"{gain['per_energy']:.2g}, without {gain['plain_per_energy']:.2g}"
    assert f"effective per energy {per_energy}" in said
    assert f"without the moves {percent(gain['plain_sampling_efficiency'])}" in said
