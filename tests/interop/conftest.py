"""bgflow, for the tests that run against it."""

from typing import Any

import pytest

from boltzgen.interop.bgflow_package import bgflow


@pytest.fixture(scope="session")
def bg() -> Any:
    """The real bgflow; tests that ask for it are skipped, and say so, where it cannot be imported."""
    try:
        return bgflow()
    except ImportError:
        pytest.skip("the real bgflow cannot be imported; docs/interop.md says how to get it")
