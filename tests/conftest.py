"""What every test shares."""

import pytest
import torch


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Untrained networks are the same in every run, whatever ran before: a test that fails fails again. Runs
    before fixtures of any scope.
    """
    torch.manual_seed(0)
