"""Pages of analyses to look at."""

import json
from pathlib import Path

import pytest

from boltzgen.analysis.report import analyze
from boltzgen.molecule.system import System
from boltzgen.samples.writer import SamplesWriter
from tests.helpers.posing import made_up_samples

N = 4000


@pytest.fixture(scope="session")
def analysed(system: System, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with samples of alanine dipeptide, `s.h5`, their analysis, `out`, and `page.html`."""
    folder = tmp_path_factory.mktemp("page")
    with SamplesWriter(folder / "s.h5", system, 300.0, seed=5) as writer:
        writer.write(made_up_samples(system, N))
    analyze(folder / "s.h5", folder / "out", html=folder / "page.html")
    return folder


@pytest.fixture(scope="session")
def report(analysed: Path) -> dict:
    return json.loads((analysed / "out" / "report.json").read_text())
