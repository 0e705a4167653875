"""Draws of a generator whose forward test failed."""

from pathlib import Path
from typing import Any

import pytest

from boltzgen.analysis.report import analyze
from boltzgen.analysis.surfaces import save_surfaces
from boltzgen.molecule.system import System
from boltzgen.samples.writer import SamplesWriter
from tests.helpers.command_line import call
from tests.helpers.posing import made_up_samples


def test_they_are_marked(
    alanine: System, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In what stands above tables and pictures, beside the warning."""
    path, titles = tmp_path / "s.h5", []
    with SamplesWriter(path, alanine, 310.0, doubt="the forward test failed badly") as writer:
        writer.write(made_up_samples(alanine, 500))
    code, out, err = call(capfd, "free-energy", "states", path)
    assert code == 0 and "500 draws; forward test failed" in " ".join(out.split())
    assert "the forward test failed badly" in " ".join(err.split())

    def saved(*arguments: Any) -> Any:
        titles.append(arguments[-1])
        return save_surfaces(*arguments)

    monkeypatch.setattr("boltzgen.analysis.report.save_surfaces", saved)
    analyze(path, tmp_path / "out")
    assert [title.split("; ")[1:] for title in titles] == [["forward test failed"]]
