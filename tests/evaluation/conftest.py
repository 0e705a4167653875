"""What tests of references share: one of frames whose distribution is known."""

import pytest

from boltzgen.evaluation.reference import Reference
from boltzgen.molecule.system import System
from tests.helpers.references import frames


@pytest.fixture(scope="session")
def reference(system: System) -> Reference:
    return Reference.from_frames(
        system, *frames(system, 20_000), metadata={"seed": 0, "command": "a test"}, n_configurations=2000
    )
