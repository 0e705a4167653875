"""What tests of training share: a trained generator."""

import pytest

from boltzgen.generator.generator import BoltzmannGenerator
from boltzgen.molecule.system import System


@pytest.fixture
def shipped(system: System) -> BoltzmannGenerator:
    return BoltzmannGenerator.load(system.folder, system)
