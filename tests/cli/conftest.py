"""A run to give to the command line."""

import json
from pathlib import Path

import pytest

import boltzgen.training.run  # noqa: F401 - before the class below is replaced in what it imports from
from tests.helpers.command_line import FakeGenerator


@pytest.fixture
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that looks like a finished run, and a generator to load from it."""
    monkeypatch.setattr("boltzgen.generator.generator.BoltzmannGenerator", FakeGenerator)
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "checkpoint.safetensors").touch()
    (folder / "summary.json").write_text(json.dumps({"system": "alanine_dipeptide"}))
    return folder
