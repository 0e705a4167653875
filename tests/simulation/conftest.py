"""What tests of simulations share: a finished one."""

from pathlib import Path

import pytest

from boltzgen.molecule.system import System
from boltzgen.simulation.run import record
from tests.helpers.simulations import SMALL


@pytest.fixture(scope="session")
def small(alanine: System, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished replica exchange of three checkpoints."""
    folder = tmp_path_factory.mktemp("simulation") / "run"
    record(alanine, folder, 6, plan=SMALL)
    return folder
